/*
 * relay_load - both ends of a relay in one process, with as little work of their own as there can
 * be: how many frames (PROTOCOL.md 7.3) a relay sends on when nobody else needs the CPU.
 *
 *   relay_load ADDRESS PORT DIRECTORY [--seconds N (3)] [--window N]
 *
 * Two peers make tunnels with the node at ADDRESS and a relay from the first to the second. Then
 * the first sends trains of frames, and at most so many frames are on their way as the window says.
 * Without --window several are tried for half a second each, and the best is used. What is inside
 * of the frames is nothing: a relay does not look. The second end checks the tag of the first frame
 * of everything that it receives.
 *
 * DIRECTORY has ca.crt and ca.key. Prints "trial WINDOW BITS-PER-SECOND LOST" for each window, then
 * "relayed BITS-PER-SECOND window WINDOW frames N lost N wrong N per_receive N": payload of UDP
 * that came out, frames that never did, and how many came at once. Exit status 1 when a tag was
 * wrong or nothing came.
 */
#include "crowd.h"

#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sodium.h>
#include <string.h>

#include "crypto/seal.h"
#include "handshake/machine.h"
#include "peers/relay_wire.h"

#define FRAME_BYTES  1364        /* around a packet of 1300 bytes */
#define TRAIN_FRAMES 48          /* what one send takes of them */
#define BATCH        8           /* receives in one call */
#define LOST_NS      20000000ull /* of silence, and the window is opened again */
#define TRIAL_NS     500000000ull
#define SETTLE_MS    200 /* of silence, and nothing more is waited for */
#define WAIT_MS      200 /* for an answer, before the question is repeated */
#define TRIES        25

struct end {
	struct pki pki;
	struct tunnel tunnel; /* remote_index, keys and counter are used */
	struct tunnel_keys keys;
	struct addr addr;
	int fd;
};

static struct end ends[2];   /* the first sends to the second */
static uint32_t frame_index; /* the relay's, of the entry that leads to the second */
static uint64_t sent, got, lost, wrong, receives;

/* --- tunnels and the relay between them --------------------------------------------------------
 */

static void say(struct end *end, enum wire_type type, const uint8_t *bytes, uint32_t length)
{
	uint8_t packet[DATAGRAM_MAX];
	uint64_t counter;

	if (!seal_reserve(&end->tunnel, 1, &counter))
		fail("no counter left", "tunnel");
	seal_packet(&end->tunnel, type, WIRE_LABEL_NONE, counter, bytes, length, packet);
	(void)send(end->fd, packet, length + WIRE_OVERHEAD, 0);
}

/* The next datagram within WAIT_MS, or 0. */
static size_t hear(struct end *end, uint8_t *bytes, size_t size)
{
	struct pollfd wait = {.fd = end->fd, .events = POLLIN};
	ssize_t length = poll(&wait, 1, WAIT_MS) > 0 ? recv(end->fd, bytes, size, 0) : 0;

	return length > 0 ? (size_t)length : 0;
}

static void meet(struct end *end, uint32_t index)
{
	struct machine_self self = {AEAD_AES256GCM, &end->pki, NULL};
	uint8_t e_private[NOISE_KEY_BYTES], stage1[HANDSHAKE_BYTES_MAX], stage2[DATAGRAM_MAX];
	struct machine machine;
	struct machine_keys keys;
	struct machine_peer peer;
	size_t length, answered;
	bool met = false;

	randombytes_buf(e_private, sizeof(e_private));
	if (machine_begin(&machine, &self, index, wall_ns(), e_private, stage1, sizeof(stage1),
			  &length) != MACHINE_OK)
		fail("cannot make stage 1", "certificate too large");
	for (unsigned tries = 0; tries < TRIES && !met; tries++) {
		(void)send(end->fd, stage1, length, 0);
		answered = hear(end, stage2, sizeof(stage2));
		met = answered > 0 && machine_read_stage2(&machine, &self, stage2, answered,
							  (int64_t)(wall_ns() / 1000000000u), &peer,
							  &keys) == MACHINE_OK;
	}
	if (!met)
		fail("no answer to the handshake", "is a node there?");
	end->tunnel.keys = &end->keys;
	end->tunnel.remote_index = peer.index;
	atomic_store(&end->tunnel.counter, COUNTER_FIRST - 1);
	if (aead_key_init(&end->keys.seal, AEAD_AES256GCM, keys.seal) != 0 ||
	    aead_key_init(&end->keys.open, AEAD_AES256GCM, keys.open) != 0)
		fail("no memory", "keys");
	machine_peer_release(&peer);
	say(end, WIRE_TEST_REQUEST, NULL, 0);
}

/* What came in the tunnel: a test is answered, a relay message is in *message (then true). */
static bool take(struct end *end, const uint8_t *packet, size_t length,
		 struct relay_message *message)
{
	uint8_t plain[DATAGRAM_MAX];
	int type = length >= WIRE_OVERHEAD ? wire_type_of(packet) : -1;

	if ((type != WIRE_TEST_REQUEST && type != WIRE_CONTROL) ||
	    seal_open(&end->tunnel, packet, (uint32_t)length, plain) != 0)
		return false;
	if (type == WIRE_CONTROL)
		return relay_decode(plain, length - WIRE_OVERHEAD, message) == 0;
	say(end, WIRE_TEST_REPLY, plain, (uint32_t)length - WIRE_OVERHEAD);
	return false;
}

static bool heard(struct end *end, enum relay_message_type type, struct relay_message *message)
{
	uint8_t packet[DATAGRAM_MAX];
	size_t length;

	while ((length = hear(end, packet, sizeof(packet))) > 0)
		if (take(end, packet, length, message) && message->type == type)
			return true;
	return false;
}

static void control_say(struct end *end, const struct relay_message *message)
{
	uint8_t bytes[128];

	say(end, WIRE_CONTROL, bytes, (uint32_t)relay_encode(message, bytes, sizeof(bytes)));
}

/* PROTOCOL.md 7.2, both ends of it. */
static void relay_set_up(void)
{
	struct relay_message request = {
		.type = RELAY_REQUEST,
		.form = RELAY_V1,
		.initiator_index = 1001,
		.from = ends[0].addr,
		.to = ends[1].addr,
	};
	struct relay_message message;

	for (unsigned tries = 0; tries < TRIES && frame_index == 0; tries++) {
		control_say(&ends[0], &request);
		if (heard(&ends[1], RELAY_REQUEST, &message)) {
			message.type = RELAY_RESPONSE;
			message.responder_index = 1002;
			control_say(&ends[1], &message);
		}
		if (heard(&ends[0], RELAY_RESPONSE, &message))
			frame_index = message.responder_index;
	}
	if (frame_index == 0)
		fail("no relay to the other end", "is relay.am_relay set?");
}

/* --- the load ----------------------------------------------------------------------------------
 */

static bool train_send(void)
{
	static uint8_t train[TRAIN_FRAMES][FRAME_BYTES];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control = {.header = {.cmsg_len = CMSG_LEN(sizeof(uint16_t)),
				.cmsg_level = SOL_UDP,
				.cmsg_type = UDP_SEGMENT}};
	const uint16_t segment = FRAME_BYTES;
	struct iovec part = {train, sizeof(train)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	uint64_t counter;

	memcpy(CMSG_DATA(&control.header), &segment, sizeof(segment));
	if (!seal_reserve(&ends[0].tunnel, TRAIN_FRAMES, &counter))
		fail("no counter left", "tunnel");
	for (uint32_t i = 0; i < TRAIN_FRAMES; i++)
		seal_frame(&ends[0].tunnel, frame_index, WIRE_LABEL_NONE, counter + i, train[i],
			   FRAME_BYTES - WIRE_OVERHEAD);
	if (sendmsg(ends[0].fd, &message, MSG_DONTWAIT) < 0)
		return false;
	sent += TRAIN_FRAMES;
	return true;
}

static uint32_t segment_of(struct msghdr *message, uint32_t length)
{
	int segment = (int)length;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
		if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
			memcpy(&segment, CMSG_DATA(c), sizeof(segment));
	return (uint32_t)segment;
}

static uint64_t missing(void)
{
	return sent > got ? sent - got : 0;
}

static void train_came(const uint8_t *bytes, uint32_t length, uint32_t segment)
{
	struct relay_message message;

	if (length < WIRE_OVERHEAD || wire_type_of(bytes) != WIRE_RELAY) {
		(void)take(&ends[1], bytes, length, &message);
		return;
	}
	wrong += seal_check_frame(&ends[1].tunnel, bytes, segment) != 0;
	got += (length + segment - 1) / segment;
	if (got + lost > sent) /* they were late, not lost */
		lost = missing();
	receives++;
}

/* All that is there. False: nothing. */
static bool drain(void)
{
	static uint8_t bytes[BATCH][65536];
	static char control[BATCH][CMSG_SPACE(sizeof(int))];
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	bool any = false;
	int n;

	do {
		for (int i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
			messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i],
							      .msg_iovlen = 1,
							      .msg_control = control[i],
							      .msg_controllen = sizeof(control[i])};
		}
		n = recvmmsg(ends[1].fd, messages, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++)
			train_came(bytes[i], messages[i].msg_len,
				   segment_of(&messages[i].msg_hdr, messages[i].msg_len));
		any |= n > 0;
	} while (n == BATCH);
	return any;
}

/* The first end has the tests of an end that hears nothing else. */
static void tests_answer(void)
{
	uint8_t packet[DATAGRAM_MAX];
	struct relay_message message;
	ssize_t length;

	while ((length = recv(ends[0].fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0)
		(void)take(&ends[0], packet, (size_t)length, &message);
}

static uint64_t on_the_way(void)
{
	return sent > got + lost ? sent - got - lost : 0;
}

/* Keeps window frames on their way for that long; bits per second of what came. */
static double load(uint64_t window, uint64_t ns)
{
	struct pollfd wait = {.fd = ends[1].fd, .events = POLLIN};
	uint64_t start = now_ns(), now = start, heard_ns = start, before = got;

	while (now < start + ns) {
		while (on_the_way() + TRAIN_FRAMES <= window && train_send())
			;
		if (drain())
			heard_ns = now;
		else
			(void)poll(&wait, 1, 1);
		now = now_ns();
		if (now - heard_ns > LOST_NS) {
			lost += on_the_way();
			heard_ns = now;
			tests_answer();
		}
	}
	tests_answer();
	return (double)(got - before) * FRAME_BYTES * 8e9 / (double)(now - start);
}

static void settle(void)
{
	struct pollfd wait = {.fd = ends[1].fd, .events = POLLIN};

	while (got < sent && poll(&wait, 1, SETTLE_MS) > 0)
		(void)drain();
	lost = missing();
}

static uint64_t best_window(void)
{
	double most = 0;
	uint64_t best = TRAIN_FRAMES;

	for (uint64_t window = TRAIN_FRAMES; window <= 64 * TRAIN_FRAMES; window *= 2) {
		sent = got = lost = 0;
		double rate = load(window, TRIAL_NS);
		settle();
		printf("trial %llu %.0f %llu\n", (unsigned long long)window, rate,
		       (unsigned long long)lost);
		if (rate > most) {
			most = rate;
			best = window;
		}
	}
	return best;
}

static void end_make(struct end *end, const struct authority *authority, unsigned n,
		     const char *address, unsigned port)
{
	int bytes = 8 << 20;

	host_make(&end->pki, authority, n);
	end->addr = addr_from_v4(crowd_address(n));
	end->fd = socket_to(address, port, NULL);
	(void)setsockopt(end->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	(void)setsockopt(end->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	meet(end, n + 1);
}

int main(int argc, char **argv)
{
	unsigned long seconds = 3, window = 0;
	const struct crowd_option table[] = {
		{"--seconds", &seconds, NULL},
		{"--window", &window, NULL},
	};
	struct authority authority;
	int on = 1;

	if (argc < 4)
		fail("usage", "relay_load ADDRESS PORT DIRECTORY [--seconds N] [--window N]");
	options_parse(argc, argv, 4, table, sizeof(table) / sizeof(*table));
	aead_select();
	authority_load(&authority, argv[3]);
	for (unsigned n = 0; n < 2; n++)
		end_make(&ends[n], &authority, n, argv[1], (unsigned)atoi(argv[2]));
	relay_set_up();
	if (setsockopt(ends[1].fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) != 0)
		fail("no UDP_GRO", strerror(errno));
	if (window < TRAIN_FRAMES)
		window = best_window();
	sent = got = lost = receives = 0;
	double rate = load(window, seconds * 1000000000ull);
	settle();
	printf("relayed %.0f window %lu frames %llu lost %llu wrong %llu per_receive %.1f\n", rate,
	       window, (unsigned long long)got, (unsigned long long)lost, (unsigned long long)wrong,
	       receives ? (double)got / (double)receives : 0);
	return wrong > 0 || got == 0;
}
