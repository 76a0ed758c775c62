/*
 * sparse.c - see sparse.h. Assembled here, as the program is short and an assembler shorter than
 * what a compiler for it would need: emit in order, jump to labels, resolve at the end.
 *
 * Registers: R6 the packet, R7 protocol and then the time, R8 the hash, R9 its multiplier and then
 * the flow's counts. R0 to R5 do not survive a call nor a load from the packet, which the kernel
 * ends with BULK_QUEUE when the packet is shorter.
 */
#include "system/sparse.h"

#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "limits.h"

#define INSTRUCTIONS_MAX 250 /* a place fits a byte */
#define FLOW_BITS        10
#define LOAD_TRIES       10
_Static_assert(SPARSE_FLOWS == 1 << FLOW_BITS, "a place for each value of the hash's high bits");

/* What the program keeps of a flow. */
struct flow_counts {
	uint64_t last_ns;   /* of its last packet */
	uint64_t window_ns; /* begin of what is counted */
	uint32_t packets, bytes;
	uint32_t bulk; /* enum bulk, or 0; then all since the last silence is counted */
	uint32_t unused;
	uint64_t until_ns; /* FORCED: stays bulk until then */
};
#define COUNT(member) offsetof(struct flow_counts, member)

/* Beyond its share: it has changed behind a moment of silence, or without one. */
enum bulk { CALM = 1, FORCED };

enum label {
	IPV4,
	IPV6,
	PORTS, /* R0: their offset */
	HAS_PORTS,
	HASHED,
	SAME_BURST,
	BEGIN,
	ADD,
	SETTLED,
	BEYOND,
	BULK,
	SPARSE,
	LABELS
};

struct assembler {
	struct bpf_insn code[INSTRUCTIONS_MAX];
	uint8_t jumps_to[INSTRUCTIONS_MAX]; /* label + 1, or 0 */
	uint8_t place[LABELS];
	uint32_t count;
};

/* The program is the same each time but for constants: a test that loads it has seen its length. */
static void emit(struct assembler *a, int code, int to, int from, int offset, int32_t value)
{
	assert(a->count < INSTRUCTIONS_MAX);
	a->code[a->count++] = (struct bpf_insn){.code = (uint8_t)code,
						.dst_reg = (uint8_t)(to & 15),
						.src_reg = (uint8_t)(from & 15),
						.off = (int16_t)offset,
						.imm = value};
}

static void label(struct assembler *a, enum label label)
{
	a->place[label] = (uint8_t)a->count;
}

/* if (reg OP value) goto label; OP: BPF_JA for always */
static void jump_if(struct assembler *a, int op, int reg, int32_t value, enum label label)
{
	a->jumps_to[a->count] = (uint8_t)(label + 1);
	emit(a, BPF_JMP | op | BPF_K, reg, 0, 0, value);
}

static void jump(struct assembler *a, enum label label)
{
	jump_if(a, BPF_JA, 0, 0, label);
}

static void resolve(struct assembler *a)
{
	for (uint32_t i = 0; i < a->count; i++)
		if (a->jumps_to[i])
			a->code[i].off = (int16_t)(a->place[a->jumps_to[i] - 1] - i - 1);
}

static void copy(struct assembler *a, int to, int from)
{
	emit(a, BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0);
}

/* to = to OP value */
static void change(struct assembler *a, int op, int to, int32_t value)
{
	emit(a, BPF_ALU64 | op | BPF_K, to, 0, 0, value);
}

static void change_by(struct assembler *a, int op, int to, int from)
{
	emit(a, BPF_ALU64 | op | BPF_X, to, from, 0, 0);
}

static void constant(struct assembler *a, int to, int kind, uint64_t value)
{
	emit(a, BPF_LD | BPF_DW | BPF_IMM, to, kind, 0, (int32_t)(uint32_t)value);
	emit(a, 0, 0, 0, 0, (int32_t)(uint32_t)(value >> 32));
}

/* R0 = bytes of the packet at a fixed place, in host order */
static void packet_load(struct assembler *a, int size, int32_t at)
{
	emit(a, BPF_LD | BPF_ABS | size, 0, 0, 0, at);
}

static void count_load(struct assembler *a, int size, int to, size_t at)
{
	emit(a, BPF_LDX | BPF_MEM | size, to, BPF_REG_9, (int)at, 0);
}

static void count_store(struct assembler *a, int size, size_t at, int from)
{
	emit(a, BPF_STX | BPF_MEM | size, BPF_REG_9, from, (int)at, 0);
}

static void count_clear(struct assembler *a, size_t at)
{
	emit(a, BPF_ST | BPF_MEM | BPF_W, BPF_REG_9, 0, (int)at, 0);
}

static void become(struct assembler *a, enum bulk bulk)
{
	emit(a, BPF_ST | BPF_MEM | BPF_W, BPF_REG_9, 0, COUNT(bulk), (int32_t)bulk);
}

static void call(struct assembler *a, int function)
{
	emit(a, BPF_JMP | BPF_CALL, 0, 0, 0, function);
}

/* R0 into the hash */
static void hash_in(struct assembler *a)
{
	change_by(a, BPF_XOR, BPF_REG_8, BPF_REG_0);
	change_by(a, BPF_MUL, BPF_REG_8, BPF_REG_9);
	copy(a, BPF_REG_0, BPF_REG_8);
	change(a, BPF_RSH, BPF_REG_0, 29);
	change_by(a, BPF_XOR, BPF_REG_8, BPF_REG_0);
}

/* Both addresses, bytes first to end, and the protocol, which stays in R7. */
static void hash_names(struct assembler *a, int32_t first, int32_t end, int32_t protocol)
{
	for (int32_t at = first; at < end; at += 4) {
		packet_load(a, BPF_W, at);
		hash_in(a);
	}
	packet_load(a, BPF_B, protocol);
	copy(a, BPF_REG_7, BPF_REG_0);
	hash_in(a);
}

/* R8: a hash of the flow; fragments and what has no ports go by addresses and protocol. */
static void hash_flow(struct assembler *a, const uint64_t key[2])
{
	copy(a, BPF_REG_6, BPF_REG_1);
	constant(a, BPF_REG_8, 0, key[0]);
	constant(a, BPF_REG_9, 0, key[1] | 1);
	packet_load(a, BPF_B, 0);
	change(a, BPF_RSH, BPF_REG_0, 4);
	jump_if(a, BPF_JEQ, BPF_REG_0, 4, IPV4);
	jump_if(a, BPF_JEQ, BPF_REG_0, 6, IPV6);
	jump(a, BULK);

	label(a, IPV4);
	hash_names(a, 12, 20, 9);
	packet_load(a, BPF_H, 6);
	change(a, BPF_AND, BPF_REG_0, 0x3fff); /* more fragments, or not the first */
	jump_if(a, BPF_JNE, BPF_REG_0, 0, HASHED);
	packet_load(a, BPF_B, 0);
	change(a, BPF_AND, BPF_REG_0, 15);
	change(a, BPF_LSH, BPF_REG_0, 2);
	jump(a, PORTS);

	label(a, IPV6);
	hash_names(a, 8, 40, 6);
	change(a, BPF_MOV, BPF_REG_0, 40);

	label(a, PORTS);
	copy(a, BPF_REG_1, BPF_REG_0);
	jump_if(a, BPF_JEQ, BPF_REG_7, IPPROTO_TCP, HAS_PORTS);
	jump_if(a, BPF_JNE, BPF_REG_7, IPPROTO_UDP, HASHED);
	label(a, HAS_PORTS);
	emit(a, BPF_LD | BPF_IND | BPF_W, 0, BPF_REG_1, 0, 0);
	hash_in(a);
	label(a, HASHED);
}

/* R9: the flow's counts, R7: the time, R2: since its last packet, R1: bytes of this one */
static void find_counts(struct assembler *a, int map)
{
	change(a, BPF_RSH, BPF_REG_8, 64 - FLOW_BITS);
	emit(a, BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, BPF_REG_8, -4, 0);
	copy(a, BPF_REG_2, BPF_REG_10);
	change(a, BPF_ADD, BPF_REG_2, -4);
	constant(a, BPF_REG_1, BPF_PSEUDO_MAP_FD, (uint32_t)map);
	call(a, BPF_FUNC_map_lookup_elem);
	jump_if(a, BPF_JEQ, BPF_REG_0, 0, BULK);
	copy(a, BPF_REG_9, BPF_REG_0);
	call(a, BPF_FUNC_ktime_get_ns);
	copy(a, BPF_REG_7, BPF_REG_0);
	copy(a, BPF_REG_2, BPF_REG_7);
	count_load(a, BPF_DW, BPF_REG_3, COUNT(last_ns));
	change_by(a, BPF_SUB, BPF_REG_2, BPF_REG_3);
	count_store(a, BPF_DW, COUNT(last_ns), BPF_REG_7);
	emit(a, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_1, BPF_REG_6, offsetof(struct __sk_buff, len),
	     0);
}

/* Behind a silence or a window counts begin anew; a bulk flow's only behind a silence. */
static void begin_window(struct assembler *a, const struct sparse_share *share)
{
	count_load(a, BPF_W, BPF_REG_5, COUNT(bulk));
	jump_if(a, BPF_JLE, BPF_REG_2, share->silence_ns, SAME_BURST);
	count_load(a, BPF_W, BPF_REG_3, COUNT(packets));
	jump_if(a, BPF_JGT, BPF_REG_3, share->packets, BEGIN);
	count_load(a, BPF_W, BPF_REG_3, COUNT(bytes));
	jump_if(a, BPF_JGT, BPF_REG_3, share->bytes, BEGIN);
	count_load(a, BPF_DW, BPF_REG_3, COUNT(until_ns));
	change_by(a, BPF_SUB, BPF_REG_3, BPF_REG_7);
	jump_if(a, BPF_JSGT, BPF_REG_3, 0, BEGIN);
	change(a, BPF_MOV, BPF_REG_5, 0); /* what it sent last was little */
	count_clear(a, COUNT(bulk));
	jump(a, BEGIN);

	label(a, SAME_BURST);
	jump_if(a, BPF_JNE, BPF_REG_5, 0, ADD);
	count_load(a, BPF_DW, BPF_REG_4, COUNT(window_ns));
	copy(a, BPF_REG_3, BPF_REG_7);
	change_by(a, BPF_SUB, BPF_REG_3, BPF_REG_4);
	jump_if(a, BPF_JLE, BPF_REG_3, share->window_ns, ADD);

	label(a, BEGIN);
	count_store(a, BPF_DW, COUNT(window_ns), BPF_REG_7);
	count_clear(a, COUNT(packets));
	count_clear(a, COUNT(bytes));
	label(a, ADD);
}

static void judge(struct assembler *a, const struct sparse_share *share)
{
	count_load(a, BPF_W, BPF_REG_3, COUNT(packets));
	jump_if(a, BPF_JGT, BPF_REG_3, SPARSE_BEYOND * share->packets, BEYOND); /* no overflow */
	change(a, BPF_ADD, BPF_REG_3, 1);
	count_store(a, BPF_W, COUNT(packets), BPF_REG_3);
	count_load(a, BPF_W, BPF_REG_4, COUNT(bytes));
	jump_if(a, BPF_JGT, BPF_REG_4, SPARSE_BEYOND * share->bytes, BEYOND);
	change_by(a, BPF_ADD, BPF_REG_4, BPF_REG_1);
	count_store(a, BPF_W, COUNT(bytes), BPF_REG_4);
	jump_if(a, BPF_JGT, BPF_REG_4, SPARSE_BEYOND * share->bytes, BEYOND);
	jump_if(a, BPF_JNE, BPF_REG_5, 0, BULK);
	jump_if(a, BPF_JGT, BPF_REG_1, share->large, SETTLED);
	jump_if(a, BPF_JGT, BPF_REG_3, share->packets, SETTLED);
	jump_if(a, BPF_JLE, BPF_REG_4, share->bytes, SPARSE);
	label(a, SETTLED); /* its last packet has left? */
	jump_if(a, BPF_JLE, BPF_REG_2, share->settle_ns, SPARSE);
	become(a, CALM);
	jump(a, BULK);

	label(a, BEYOND); /* it may overtake itself, or would have; not again soon */
	jump_if(a, BPF_JEQ, BPF_REG_5, CALM, BULK);
	become(a, FORCED);
	constant(a, BPF_REG_3, 0, (uint64_t)share->forced_ns);
	change_by(a, BPF_ADD, BPF_REG_3, BPF_REG_7);
	count_store(a, BPF_DW, COUNT(until_ns), BPF_REG_3);
	label(a, BULK);
	change(a, BPF_MOV, BPF_REG_0, BULK_QUEUE);
	emit(a, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
	label(a, SPARSE);
	change(a, BPF_MOV, BPF_REG_0, SPARSE_QUEUE);
	emit(a, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

const struct sparse_share sparse_share_default = {
	.packets = SPARSE_PACKETS,
	.bytes = SPARSE_BYTES,
	.large = SPARSE_LARGE,
	.window_ns = SPARSE_WINDOW_NS,
	.silence_ns = SPARSE_SILENCE_NS,
	.settle_ns = SPARSE_SETTLE_NS,
	.forced_ns = SPARSE_FORCED_NS,
};

static int bpf(int command, union bpf_attr *attributes)
{
	int result = (int)syscall(SYS_bpf, command, attributes, sizeof(*attributes));

	return result < 0 ? -errno : result;
}

/* The verifier gives up, with EAGAIN, where it finds a signal or task work waiting for the thread.
 */
static int load(union bpf_attr *program)
{
	int result = -EAGAIN;

	for (int tries = 0; tries < LOAD_TRIES && result == -EAGAIN; tries++)
		result = bpf(BPF_PROG_LOAD, program);
	return result;
}

int sparse_program_load(const struct sparse_share *share, const uint64_t key[2])
{
	union bpf_attr map = {.map_type = BPF_MAP_TYPE_ARRAY,
			      .key_size = sizeof(uint32_t),
			      .value_size = sizeof(struct flow_counts),
			      .max_entries = SPARSE_FLOWS,
			      .map_name = "m57_flows"};
	struct assembler a = {0};
	int map_fd = bpf(BPF_MAP_CREATE, &map);

	if (map_fd < 0)
		return map_fd;
	hash_flow(&a, key);
	find_counts(&a, map_fd);
	begin_window(&a, share);
	judge(&a, share);
	resolve(&a);

	union bpf_attr program = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
				  .insns = (uintptr_t)a.code,
				  .insn_cnt = a.count,
				  .license = (uintptr_t) "MIT",
				  .prog_name = "m57_sparse"};
	int program_fd = load(&program);

	close(map_fd); /* the program holds it */
	return program_fd;
}
