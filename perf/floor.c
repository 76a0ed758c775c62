/*
 * floor - the yardstick of `make bench`: what a pass-through without a node's work can reach.
 *
 *   floor IFNAME LOCAL-ADDRESS PEER-ADDRESS PORT [aes|chacha]
 *
 * One thread, poll and plain system calls. A super-packet of the tun goes, its virtio header with
 * it, as one GSO send to the peer; what arrives there is written to the tun as it was. Nothing is
 * parsed, cut, joined or looked up, and both ends share a fixed key: nothing to keep a secret with.
 * With a cipher
 * ("floor+AEAD") each PIECE_BYTES are sealed and opened once by the backend that m57 chooses: the
 * limit for a real node on this machine. Without ("floor") bytes pass as they are.
 *
 * A message is struct envelope and then the packet. It is cut into pieces of PIECE_BYTES, the last
 * one shorter; a datagram is one piece, or with a cipher its 8-byte counter padded to a header of
 * 16, the sealed piece and the tag. The receiver appends pieces until the envelope's length is
 * reached; what comes out of turn (a loss) ends the message under way.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "aead.h"
#include "limits.h"
#include "vnet.h"

#define MAGIC        0x666c6f6fu
#define PIECE_BYTES  1316u /* an inner packet of MTU 1300 and the envelope are one piece */
#define HEADER_BYTES 16u   /* as large as Nebula's */
#define SOCKET_BYTES (8 << 20)
#define BURST        16 /* messages of one direction before the other is looked at */

struct envelope {
	uint32_t magic;
	uint16_t bytes; /* of vnet and packet */
	struct virtio_net_hdr vnet;
};
_Static_assert(sizeof(struct envelope) == 16, "MTU 1300 and the envelope are one piece");
#define ENVELOPE_HEAD (sizeof(struct envelope) - sizeof(struct virtio_net_hdr))

static struct {
	int tun, udp;
	bool sealed;
	struct aead_key key;
	uint64_t sent, expected;
	uint32_t have;          /* bytes of the message that is being received */
	uint64_t lost, refused; /* messages cut short on the way; packets too large for one send */
	uint8_t message[SLOT_BYTES] __attribute__((aligned(64)));
	uint8_t train[SLOT_BYTES] __attribute__((aligned(64)));
	uint8_t received[SLOT_BYTES + PIECE_BYTES + AEAD_TAG_BYTES] __attribute__((aligned(64)));
} state;

static void fail(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int tun_open(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0)
		fail(name);
	if (ioctl(fd, TUNSETOFFLOAD, offloads | TUN_F_USO4 | TUN_F_USO6) != 0 &&
	    ioctl(fd, TUNSETOFFLOAD, offloads) != 0)
		fail("TUNSETOFFLOAD");
	return fd;
}

static int udp_open(const char *local, const char *peer, const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, bytes = SOCKET_BYTES;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	if (fd < 0 || setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) != 0 ||
	    inet_pton(AF_INET, local, &address.sin_addr) != 1 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		fail(local);
	if (inet_pton(AF_INET, peer, &address.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		fail(peer);
	return fd;
}

/* Sends bytes as one GSO train of segment bytes each. */
static void train_send(uint8_t *bytes, uint32_t length, uint32_t segment)
{
	struct iovec vector = {bytes, length};
	char control[CMSG_SPACE(sizeof(uint16_t))] __attribute__((aligned(8))) = {0};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};

	if (length > GSO_BYTES_MAX || (length - 1) / segment + 1 > GSO_SEGMENTS_MAX) {
		state.refused++;
		return;
	}
	if (length > segment) {
		struct cmsghdr *c = (struct cmsghdr *)control;
		uint16_t size = (uint16_t)segment;
		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		*c = (struct cmsghdr){CMSG_LEN(sizeof(size)), IPPROTO_UDP, UDP_SEGMENT};
		memcpy(CMSG_DATA(c), &size, sizeof(size));
	}
	if (sendmsg(state.udp, &message, 0) < 0)
		state.refused++; /* the peer is not there yet, or the wire takes no GSO */
}

static bool outbound(void)
{
	struct envelope *envelope = (struct envelope *)state.message;
	ssize_t got = read(state.tun, state.message + ENVELOPE_HEAD,
			   sizeof(state.message) - ENVELOPE_HEAD);
	uint32_t length, out = 0;

	if (got <= (ssize_t)sizeof(envelope->vnet))
		return false;
	length = (uint32_t)got + ENVELOPE_HEAD;
	if (length > GSO_BYTES_MAX) {
		state.refused++;
		return true;
	}
	envelope->magic = MAGIC;
	envelope->bytes = (uint16_t)got;
	if (!state.sealed) {
		train_send(state.message, length, PIECE_BYTES);
		return true;
	}
	for (uint32_t at = 0; at < length; at += PIECE_BYTES) {
		uint32_t piece = length - at < PIECE_BYTES ? length - at : PIECE_BYTES;
		uint8_t *header = state.train + out;
		if (out + HEADER_BYTES + piece + AEAD_TAG_BYTES > GSO_BYTES_MAX) {
			state.refused++;
			return true;
		}
		memset(header, 0, HEADER_BYTES);
		state.sent++;
		memcpy(header + 8, &state.sent, 8);
		aead_seal(&state.key, state.sent, header, HEADER_BYTES, state.message + at, piece,
			  header + HEADER_BYTES);
		out += HEADER_BYTES + piece + AEAD_TAG_BYTES;
	}
	train_send(state.train, out, HEADER_BYTES + PIECE_BYTES + AEAD_TAG_BYTES);
	return true;
}

/* bytes more of the message stand at received + have: the tun gets it when it is complete. */
static void received(uint32_t bytes)
{
	struct envelope *envelope = (struct envelope *)state.received;
	uint32_t length;

	state.have += bytes;
	length = state.have < sizeof(*envelope) ? 0 : ENVELOPE_HEAD + envelope->bytes;
	if (length == 0 || envelope->magic != MAGIC || state.have > length) {
		state.lost++;
		state.have = 0;
	} else if (state.have == length) {
		if (write(state.tun, (uint8_t *)envelope + ENVELOPE_HEAD, envelope->bytes) < 0)
			state.refused++;
		state.have = 0;
	}
}

/* One datagram in the clear. A first piece begins with the magic: then what was under way is lost.
 */
static void piece_plain(const uint8_t *piece, uint32_t bytes)
{
	if (state.have && bytes >= 4 && memcmp(piece, &(uint32_t){MAGIC}, 4) == 0) {
		state.lost++;
		state.have = 0;
	}
	if (state.have + bytes > sizeof(state.received))
		state.have = 0;
	memcpy(state.received + state.have, piece, bytes);
	received(bytes);
}

static void piece_sealed(const uint8_t *piece, uint32_t bytes)
{
	uint64_t counter;
	uint32_t plain = bytes - HEADER_BYTES - AEAD_TAG_BYTES;

	if (bytes <= HEADER_BYTES + AEAD_TAG_BYTES || plain > PIECE_BYTES)
		return;
	memcpy(&counter, piece + 8, sizeof(counter));
	if (counter != state.expected && state.have) {
		state.lost++;
		state.have = 0;
	}
	state.expected = counter + 1;
	if (state.have + plain > SLOT_BYTES)
		state.have = 0;
	if (aead_open(&state.key, counter, piece, HEADER_BYTES, piece + HEADER_BYTES, plain,
		      state.received + state.have) == 0)
		received(plain);
}

static bool inbound(void)
{
	struct iovec vector = {state.train, sizeof(state.train)};
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct msghdr message = {.msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(state.udp, &message, MSG_DONTWAIT);
	struct cmsghdr *c = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	struct envelope *envelope = (struct envelope *)state.train;
	int segment = (int)got;

	if (got <= 0)
		return got == 0;
	if (c && c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
		memcpy(&segment, CMSG_DATA(c), sizeof(segment));
	/* the whole message in one train: written from where it lies */
	if (!state.sealed && state.have == 0 && got > (ssize_t)sizeof(*envelope) &&
	    envelope->magic == MAGIC && ENVELOPE_HEAD + envelope->bytes == (size_t)got) {
		if (write(state.tun, (uint8_t *)envelope + ENVELOPE_HEAD, envelope->bytes) < 0)
			state.refused++;
		return true;
	}
	for (ssize_t at = 0; at < got; at += segment) {
		uint32_t bytes = (uint32_t)(got - at < segment ? got - at : segment);
		if (state.sealed)
			piece_sealed(state.train + at, bytes);
		else
			piece_plain(state.train + at, bytes);
	}
	return true;
}

static volatile sig_atomic_t ended;
static void end(int number)
{
	ended = number;
}

int main(int argc, char **argv)
{
	const uint8_t raw[AEAD_KEY_BYTES] = {1, 2, 3};
	struct sigaction action = {.sa_handler = end};

	if (argc < 5) {
		fprintf(stderr,
			"usage: floor IFNAME LOCAL-ADDRESS PEER-ADDRESS PORT [aes|chacha]\n");
		return 2;
	}
	if (argc > 5) {
		bool chacha = strcmp(argv[5], "chacha") == 0;
		aead_select();
		if (aead_key_init(&state.key, chacha ? AEAD_CHACHA20POLY1305 : AEAD_AES256GCM,
				  raw) != 0)
			return 1;
		state.sealed = true;
		printf("AEAD %s %s\n", state.key.backend->name, state.key.backend->architecture);
		fflush(stdout);
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	state.tun = tun_open(argv[1]);
	state.udp = udp_open(argv[2], argv[3], argv[4]);
	while (!ended) {
		struct pollfd wait[2] = {{.fd = state.tun, .events = POLLIN},
					 {.fd = state.udp, .events = POLLIN}};
		if (poll(wait, 2, -1) < 0)
			continue;
		for (int i = 0; wait[0].revents && i < BURST && outbound(); i++)
			;
		for (int i = 0; wait[1].revents && i < BURST && inbound(); i++)
			;
	}
	printf("lost %lu refused %lu\n", state.lost, state.refused);
	return 0;
}
