/*
 * flood - a source of datagrams that a node should not like, at a steady rate.
 *
 *   flood junk ADDRESS PORT [options]             all sizes and types, nothing of it authentic
 *   flood stage1 ADDRESS PORT DIRECTORY [options] valid stage 1 packets
 *	--rate PPS (100000)  --seconds S (5)  --packets N (no limit)  --seed N
 *	--from ADDRESS       of our own
 *	--hosts N (16)       stage1: made by the CA in DIRECTORY, which claim in turn
 *	--cert FILE          stage1: instead, one certificate that somebody else owns
 *
 * A stage 1 is not encrypted and proves nothing (PROTOCOL.md 2.11): whoever has seen a certificate
 * makes as many as he likes. Any 32 bytes are an ephemeral key, so here they are drawn, not
 * computed: each packet has its own, a newer time than the one before, and an index. So the source
 * costs little more than its system calls, and what it takes of the machine is the kernel's share.
 *
 * Sends bursts of at most BURST datagrams, one by one through the stack (no segmentation offload: a
 * stranger's packets do not come in trains). Prints how many were sent, and its own CPU seconds.
 */
#include "crowd.h"

#include <sodium.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "handshake/noise.h"
#include "handshake/payload.h"
#include "wire.h"

#define BURST     64
#define PREPARED  4096 /* junk packets, made before the first is sent */
#define BYTES_MAX 9000
#define HOSTS_MAX 1000

struct options {
	unsigned long rate, seconds, packets, seed, hosts;
	const char *from, *cert;
};

struct packet {
	uint8_t *bytes;
	size_t length;
};

static struct packet packets[PREPARED]; /* stage1: the first BURST */
static uint64_t random_state;

static uint64_t draw(void)
{
	random_state += 0x9e3779b97f4a7c15u;
	uint64_t x = random_state;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void draw_bytes(uint8_t *at, size_t length)
{
	for (size_t i = 0; i < length; i += 8) {
		uint64_t word = draw();
		memcpy(at + i, &word, length - i < 8 ? length - i : 8);
	}
}

/* --- junk --------------------------------------------------------------------------------------
 */

/* Bodies of this length at most behind a header of this kind; -1: no header of ours. */
static const struct {
	int type, subtype;
	uint32_t body;
	uint64_t counter; /* 0: any */
	bool no_index;
} kinds[] = {
	{-1, 0, 0, 0, false},                          /* empty: ends a multishot receive */
	{-1, 0, 1, 0, false},                          /* a punch */
	{-1, 0, 15, 0, false},                         /* shorter than a header */
	{-1, 0, 1400, 0, false},                       /* noise */
	{-1, 0, 8980, 0, false},                       /* noise in fragments */
	{1, 0, 1400, 0, false},                        /* message */
	{1, 1, 1400, 0, false},                        /* relayed */
	{2, 0, 0, 0, false},                           /* recv_error */
	{3, 0, 200, 0, false},                         /* lighthouse */
	{4, 0, 200, 0, false},                         /* test */
	{4, 1, 200, 0, false},   {5, 0, 40, 0, false}, /* close */
	{0, 0, 1000, 1, true},                         /* stage 1 of noise */
	{0, 0, 1000, 2, false},                        /* stage 2 of noise */
	{6, 0, 300, 0, false},                         /* relay control */
	{15, 200, 100, 0, true},                       /* a type that does not exist */
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void junk_prepare(void)
{
	for (unsigned i = 0; i < PREPARED; i++) {
		const unsigned kind = (unsigned)(draw() % KINDS);
		size_t body = kinds[kind].body ? draw() % (kinds[kind].body + 1) : 0;
		size_t header = kinds[kind].type < 0 ? 0 : WIRE_HEADER_BYTES;
		uint8_t *bytes = malloc(header + body + 8);

		draw_bytes(bytes, header + body);
		if (header) {
			uint32_t index = kinds[kind].no_index ? 0 : (uint32_t)draw();
			wire_write(bytes,
				   (enum wire_type)(kinds[kind].type << 8 | kinds[kind].subtype),
				   index, kinds[kind].counter ? kinds[kind].counter : draw());
		}
		packets[i] = (struct packet){bytes, header + body};
	}
}

/* --- stage 1 -----------------------------------------------------------------------------------
 */

struct claimant {
	const uint8_t *public_key;
	const uint8_t *cert;
	size_t cert_bytes;
};

static struct claimant claimants[HOSTS_MAX];
static unsigned claimant_count;
static uint64_t last_time;

static void stage1_prepare(const char *directory, const struct options *o)
{
	static struct authority authority;
	static struct pki hosts[HOSTS_MAX];

	if (o->cert) {
		struct cert *cert = certificate_load(o->cert);
		uint8_t *bytes;
		size_t length;

		if (cert_encode_handshake(cert, &bytes, &length) != 0)
			fail("cannot encode", o->cert);
		claimants[claimant_count++] = (struct claimant){cert->public_key, bytes, length};
	} else {
		authority_load(&authority, directory);
		for (unsigned i = 0; i < o->hosts && i < HOSTS_MAX; i++) {
			host_make(&hosts[i], &authority, i);
			claimants[claimant_count++] = (struct claimant){
				hosts[i].v1.cert->public_key, hosts[i].v1.handshake_bytes,
				hosts[i].v1.handshake_len};
		}
	}
	if (claimant_count == 0)
		fail("stage1 needs", "--hosts or --cert");
	for (unsigned i = 0; i < BURST; i++)
		packets[i].bytes = malloc(BYTES_MAX);
}

static void stage1_write(struct packet *packet, uint64_t number)
{
	const struct claimant *who = &claimants[number % claimant_count];
	uint64_t now = wall_ns();
	struct payload payload = {.cert = who->cert,
				  .cert_length = who->cert_bytes,
				  .initiator_index = (uint32_t)draw() | 1,
				  .cert_version = CERT_VERSION_1};

	last_time = now > last_time ? now : last_time + 1;
	payload.time = last_time;
	wire_write(packet->bytes, WIRE_HANDSHAKE, 0, 1);
	draw_bytes(packet->bytes + WIRE_HEADER_BYTES, NOISE_KEY_BYTES);
	memcpy(packet->bytes + WIRE_HEADER_BYTES + NOISE_KEY_BYTES, who->public_key,
	       NOISE_KEY_BYTES);
	packet->length =
		WIRE_HEADER_BYTES + NOISE_1_OVERHEAD +
		payload_encode(&payload, packet->bytes + WIRE_HEADER_BYTES + NOISE_1_OVERHEAD,
			       BYTES_MAX - WIRE_HEADER_BYTES - NOISE_1_OVERHEAD);
}

/* --- sending -----------------------------------------------------------------------------------
 */

static uint64_t send_all(int fd, bool stage1, const struct options *o)
{
	static struct mmsghdr messages[BURST];
	static struct iovec vectors[BURST];
	uint64_t sent = 0, start = now_ns(), now = start, end = start + o->seconds * 1000000000u;

	while (now < end && (!o->packets || sent < o->packets)) {
		uint64_t due = (now - start) * o->rate / 1000000000u + 1;
		unsigned n = due > sent + BURST ? BURST : due > sent ? (unsigned)(due - sent) : 0;

		if (o->packets && sent + n > o->packets)
			n = (unsigned)(o->packets - sent);
		for (unsigned i = 0; i < n; i++) {
			struct packet *packet = &packets[stage1 ? i : draw() % PREPARED];
			if (stage1)
				stage1_write(packet, sent + i);
			vectors[i] = (struct iovec){packet->bytes, packet->length};
			messages[i].msg_hdr.msg_iov = &vectors[i];
			messages[i].msg_hdr.msg_iovlen = 1;
		}
		/* ECONNREFUSED: nobody listens any more; ENOBUFS, EAGAIN: lost, as on any network
		 */
		if (n > 0)
			(void)sendmmsg(fd, messages, n, 0);
		sent += n;
		if (n < BURST)
			usleep(200);
		now = now_ns();
	}
	return sent;
}

int main(int argc, char **argv)
{
	struct options o = {.rate = 100000, .seconds = 5, .seed = wall_ns(), .hosts = 16};
	const struct crowd_option table[] = {
		{"--rate", &o.rate, NULL},   {"--seconds", &o.seconds, NULL},
		{"--seed", &o.seed, NULL},   {"--packets", &o.packets, NULL},
		{"--hosts", &o.hosts, NULL}, {"--from", NULL, &o.from},
		{"--cert", NULL, &o.cert},
	};
	bool stage1 = argc > 1 && strcmp(argv[1], "stage1") == 0;
	int operands = stage1 ? 5 : 4;
	struct rusage usage;

	if (argc < operands || (!stage1 && strcmp(argv[1], "junk") != 0)) {
		fprintf(stderr, "usage: flood junk ADDRESS PORT [options]\n"
				"       flood stage1 ADDRESS PORT DIRECTORY [options]\n"
				"       options: --rate --seconds --packets --seed --from --hosts "
				"--cert\n");
		return 2;
	}
	options_parse(argc, argv, operands, table, sizeof(table) / sizeof(table[0]));
	if (sodium_init() < 0)
		fail("libsodium", "does not start");
	random_state = o.seed;
	if (stage1)
		stage1_prepare(argv[4], &o);
	else
		junk_prepare();
	int fd = socket_to(argv[2], (unsigned)strtoul(argv[3], NULL, 10), o.from);
	uint64_t start = now_ns(), sent = send_all(fd, stage1, &o);

	getrusage(RUSAGE_SELF, &usage);
	printf("sent %lu seconds %.3f cpu_s %.3f seed %lu\n", sent,
	       (double)(now_ns() - start) / 1e9,
	       (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
	       o.seed);
	return 0;
}
