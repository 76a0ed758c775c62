#include "system/steer.h"

#include <errno.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include "wire.h"

#define ANY_SOCKET 0xffffffffu /* no queue has this number: the kernel falls back to its hash */

int steer_by(enum steering by, int fd, uint32_t queues, bool sparse)
{
	/* dataplane/lookup/label.h: label_owner() is the same sum; a label of 0 adds nothing */
	uint32_t label_mask = by == STEER_LABEL ? 0xffff : 0;
	uint32_t last = queues - 1, shared = sparse ? last : queues;
	/* 65536 is no label */
	uint32_t sparse_label = sparse ? WIRE_LABEL_SPARSE : 0x10000;

	/* the program sees the UDP payload: 0 is its first byte (PROTOCOL.md 1.1) */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, WIRE_HEADER_BYTES, 0, 10),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WIRE_VERSION << 4 | WIRE_HANDSHAKE >> 8, 8, 0),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 2),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, sparse_label, 7, 0),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, label_mask),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, shared),
		BPF_STMT(BPF_RET | BPF_A, 0),
		BPF_STMT(BPF_RET | BPF_K, shared > 1 ? ANY_SOCKET : 0),
		BPF_STMT(BPF_RET | BPF_K, last),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) != 0)
		return -errno;
	return 0;
}

const char *steering_name(enum steering steering)
{
	static const char *const names[] = {
		[STEER_HASH] = "hash", [STEER_INDEX] = "index", [STEER_LABEL] = "label"};

	return names[steering];
}
