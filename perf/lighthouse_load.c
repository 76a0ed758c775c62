/*
 * lighthouse_load.c - hosts that ask a lighthouse, as fast as wanted, over real tunnels.
 *
 *	lighthouse_load --ca FILE --ca-key FILE --to ADDRESS:PORT [--rate N] [--seconds N]
 *			[--askers N] [--targets N] [--train N] [--network A.B]
 *
 * Makes a certificate for each host (A.B.200.<n>), a handshake, and one report of where it is; then
 * the askers ask for the targets in turn. Says how many questions were answered, and how many
 *orders to punch the targets got. --train N sends N questions of one asker in one go; 1, which is
 *harder to answer, is what many hosts look like. A filter on each socket lets one message in 64
 *through, by chance, so that taking them costs the machine little; those are opened and read, and
 *stand for 64.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "addr_text.h"
#include "aead.h"
#include "handshake/machine.h"
#include "identity/pem.h"
#include "identity/pem_file.h"
#include "peers/lighthouse_wire.h"
#include "wire.h"

#define HOSTS_MAX  250
#define BATCH      64
#define PACKET_MAX 2048
#define VERIFY     64 /* one answer in so many comes through */

struct host {
	int fd;
	bool alive;
	uint32_t remote_index;
	uint64_t counter;
	struct addr addr;
	struct pki pki;
	struct machine machine;
	struct aead_key seal, open;
};

static struct host hosts[HOSTS_MAX];
static struct {
	const char *ca, *ca_key, *to, *network;
	uint32_t rate, seconds, askers, targets, train;
} options = {
	.network = "10.42", .rate = 50000, .seconds = 5, .askers = 8, .targets = 32, .train = 1};
static struct {
	uint64_t asked, answered, punched, verified, wrong, unsent;
} counts;

static void die(const char *what)
{
	fprintf(stderr, "lighthouse_load: %s\n", what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- who the hosts are ------------------------------------------------------------------------ */

static void make_identity(struct host *host, const struct cert *ca, const uint8_t *key,
			  size_t key_len)
{
	struct prefix network = {host->addr, ADDR_V4_BITS + 16};
	struct cert wanted = {
		.version = CERT_VERSION_1,
		.name = "load",
		.has_issuer = true,
		.networks = &network,
		.network_count = 1,
		.not_before = ca->not_before,
		.not_after = ca->not_after,
	};
	char error[PKI_ERROR_MAX] = "";

	if (pki_init(&host->pki) != 0 ||
	    pki_load_ca(&host->pki, options.ca, time(NULL), error) != 0)
		die(error);
	host->pki.private_key = sodium_malloc(32);
	host->pki.private_key_len = 32;
	randombytes_buf(host->pki.private_key, 32);
	crypto_scalarmult_curve25519_base(wanted.public_key, host->pki.private_key);
	wanted.public_key_len = 32;
	memcpy(wanted.issuer, ca->fingerprint, sizeof(wanted.issuer));
	if (cert_sign(&wanted, key, key_len, &host->pki.v1.cert) != CERT_OK ||
	    cert_encode_handshake(host->pki.v1.cert, &host->pki.v1.handshake_bytes,
				  &host->pki.v1.handshake_len) != 0)
		die("cannot sign a certificate");
}

static void make_identities(uint32_t count)
{
	char *text, error[PKI_ERROR_MAX] = "", name[32];
	struct pem_block block;
	struct pki authority;
	const char *at;
	size_t length;

	/* The CA's certificate, read as if it were ours, says whose signature is wanted. */
	if (pki_init(&authority) != 0 ||
	    pki_load_ca(&authority, options.ca, time(NULL), error) != 0)
		die(error);
	if (pem_file_read(options.ca_key, &text, &length) != 0)
		die("cannot read the CA's key");
	at = text;
	if (pem_next(&at, text + length, &block) != 0)
		die("no key in the CA's key file");
	for (uint32_t i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s.200.%u", options.network, i + 1);
		if (addr_parse(name, &hosts[i].addr) != 0)
			die("--network is not two numbers with a dot");
		make_identity(&hosts[i], ca_pool_get(authority.ca, 0), block.bytes, block.len);
	}
}

/* --- packets ---------------------------------------------------------------------------------- */

static size_t seal(struct host *host, enum wire_type type, const uint8_t *bytes, size_t length,
		   uint8_t *packet)
{
	wire_write(packet, type, host->remote_index, ++host->counter);
	aead_seal(&host->seal, host->counter, packet, WIRE_HEADER_BYTES, bytes, length,
		  packet + WIRE_HEADER_BYTES);
	return length + WIRE_OVERHEAD;
}

static void say(struct host *host, enum wire_type type, const uint8_t *bytes, size_t length)
{
	uint8_t packet[PACKET_MAX];

	(void)!send(host->fd, packet, seal(host, type, bytes, length, packet), 0);
}

/* A test request is answered: the tunnel is to stay. */
static void receive(struct host *host, const uint8_t *packet, size_t length, bool asks)
{
	struct lighthouse_message message;
	uint8_t plain[PACKET_MAX];
	uint64_t *count = asks ? &counts.answered : &counts.punched;
	int type = length >= WIRE_OVERHEAD ? wire_type_of(packet) : -1;
	size_t bytes = length - WIRE_OVERHEAD;

	if (type == WIRE_LIGHTHOUSE)
		*count += VERIFY;
	if ((type != WIRE_LIGHTHOUSE && type != WIRE_TEST_REQUEST) ||
	    aead_open(&host->open, wire_counter(packet), packet, WIRE_HEADER_BYTES,
		      packet + WIRE_HEADER_BYTES, bytes, plain) != 0)
		return;
	if (type == WIRE_TEST_REQUEST) {
		say(host, WIRE_TEST_REPLY, plain, bytes);
		return;
	}
	counts.verified++;
	counts.wrong += lighthouse_decode(plain, bytes, &message) != 0 ||
			(message.type != LIGHTHOUSE_REPLY && message.type != LIGHTHOUSE_PUNCH) ||
			message.v4_count == 0;
}

static void drain(struct host *host, bool asks)
{
	static uint8_t packets[BATCH][PACKET_MAX];
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	int got;

	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){packets[i], PACKET_MAX};
		messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
	}
	do {
		got = recvmmsg(host->fd, messages, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < got; i++)
			receive(host, packets[i], messages[i].msg_len, asks);
	} while (got == BATCH);
}

/* --- tunnels ---------------------------------------------------------------------------------- */

/* The data of a UDP socket's filter begins at the UDP header. */
static void thin_out(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, WIRE_VERSION << 4 | WIRE_LIGHTHOUSE >> 8, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, VERIFY - 1),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0)
		die("cannot attach a filter");
}

static void open_socket(struct host *host, const struct endpoint *to)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(to->port)};
	int bytes = 4 << 20;

	address.sin_addr.s_addr = htonl(addr_v4(&to->addr));
	host->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (host->fd < 0 || connect(host->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		die(strerror(errno));
	(void)setsockopt(host->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	(void)setsockopt(host->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
}

/* Reports where the host is, so that others may ask for it. */
static void report(struct host *host)
{
	struct lighthouse_message update = {
		.type = LIGHTHOUSE_UPDATE,
		.form = LIGHTHOUSE_V1,
		.has_addr = true,
		.addr = host->addr,
		.v4_count = 1,
	};
	struct sockaddr_in self;
	socklen_t size = sizeof(self);
	uint8_t bytes[LIGHTHOUSE_BYTES_MAX];

	getsockname(host->fd, (struct sockaddr *)&self, &size);
	update.v4[0] =
		(struct endpoint){addr_from_v4(ntohl(self.sin_addr.s_addr)), ntohs(self.sin_port)};
	say(host, WIRE_LIGHTHOUSE, bytes, lighthouse_encode(&update, bytes, sizeof(bytes)));
}

static void meet(struct host *host, uint32_t index)
{
	struct machine_self self = {AEAD_AES256GCM, &host->pki, NULL};
	uint8_t e_private[NOISE_KEY_BYTES], packet[HANDSHAKE_BYTES_MAX];
	struct pollfd wait = {.fd = host->fd, .events = POLLIN};
	struct machine_keys keys;
	struct machine_peer peer;
	size_t length;

	randombytes_buf(e_private, sizeof(e_private));
	if (machine_begin(&host->machine, &self, index, (uint64_t)time(NULL) * 1000000000u,
			  e_private, packet, sizeof(packet), &length) != MACHINE_OK)
		die("cannot begin a handshake");
	for (int tries = 0; tries < 20 && !host->alive; tries++) {
		ssize_t got;

		(void)!send(host->fd, packet, length, 0);
		if (poll(&wait, 1, 200) <= 0)
			continue;
		uint8_t answer[HANDSHAKE_BYTES_MAX];
		got = recv(host->fd, answer, sizeof(answer), 0);
		if (got <= 0)
			continue;
		host->alive = machine_read_stage2(&host->machine, &self, answer, (size_t)got,
						  time(NULL), &peer, &keys) == MACHINE_OK;
		if (host->alive)
			host->remote_index = peer.index;
		machine_peer_release(&peer);
	}
	if (!host->alive)
		die("the lighthouse does not answer the handshake");
	host->counter = 2;
	if (aead_key_init(&host->seal, AEAD_AES256GCM, keys.seal) != 0 ||
	    aead_key_init(&host->open, AEAD_AES256GCM, keys.open) != 0)
		die("no key");
	report(host);
}

/* --- the load --------------------------------------------------------------------------------- */

/* options.train questions of one asker, for targets in turn: as one train, or one by one. */
static void ask(struct host *asker, uint32_t *target)
{
	static uint8_t packets[BATCH * 128];
	uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {0}, bytes[LIGHTHOUSE_BYTES_MAX];
	struct iovec part = {packets, 0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	size_t each = 0;

	for (uint32_t i = 0; i < options.train; i++) {
		struct lighthouse_message query = {
			.type = LIGHTHOUSE_QUERY,
			.form = LIGHTHOUSE_V1,
			.has_addr = true,
			.addr = hosts[options.askers + (*target)++ % options.targets].addr,
		};
		size_t length = lighthouse_encode(&query, bytes, sizeof(bytes));

		each = seal(asker, WIRE_LIGHTHOUSE, bytes, length, packets + part.iov_len);
		part.iov_len += each;
	}
	if (options.train > 1) {
		struct cmsghdr *segment = (struct cmsghdr *)control;
		uint16_t size = (uint16_t)each;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		*segment = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(size)),
					    .cmsg_level = SOL_UDP,
					    .cmsg_type = UDP_SEGMENT};
		memcpy(CMSG_DATA(segment), &size, sizeof(size));
	}
	if (sendmsg(asker->fd, &message, MSG_DONTWAIT) >= 0)
		counts.asked += options.train;
	else
		counts.unsent += options.train;
}

static void drain_all(void)
{
	for (uint32_t i = 0; i < options.askers + options.targets; i++)
		drain(&hosts[i], i < options.askers);
}

/* In steps of a millisecond: what is due is sent, then the answers are taken. Returns how long. */
static double load(void)
{
	uint64_t start = now_ns(), end = start + options.seconds * 1000000000ull, sent = 0,
		 drains = 0;
	uint32_t asker = 0, target = 0;

	while (now_ns() < end) {
		uint64_t due = (now_ns() - start) * options.rate / 1000000000u;

		while (sent < due) {
			ask(&hosts[asker++ % options.askers], &target);
			sent += options.train;
			if (sent % 4096 < options.train)
				drain_all();
		}
		if (drains++ % 4 == 0)
			drain_all();
		usleep(500);
	}
	double took = (double)(now_ns() - start) / 1e9;
	usleep(100000);
	drain_all();
	return took;
}

static uint32_t number(const char *text, uint32_t least, uint32_t most)
{
	unsigned long value = text ? strtoul(text, NULL, 10) : 0;

	if (value < least || value > most)
		die("a number is out of range");
	return (uint32_t)value;
}

static void read_options(int argc, char **argv)
{
	for (int i = 1; i < argc; i += 2) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--ca") == 0)
			options.ca = value;
		else if (strcmp(argv[i], "--ca-key") == 0)
			options.ca_key = value;
		else if (strcmp(argv[i], "--to") == 0)
			options.to = value;
		else if (strcmp(argv[i], "--network") == 0)
			options.network = value;
		else if (strcmp(argv[i], "--rate") == 0)
			options.rate = number(value, 1, 10000000);
		else if (strcmp(argv[i], "--seconds") == 0)
			options.seconds = number(value, 1, 3600);
		else if (strcmp(argv[i], "--askers") == 0)
			options.askers = number(value, 1, HOSTS_MAX);
		else if (strcmp(argv[i], "--targets") == 0)
			options.targets = number(value, 1, HOSTS_MAX);
		else if (strcmp(argv[i], "--train") == 0)
			options.train = number(value, 1, BATCH);
		else
			die("unknown option; the head of perf/lighthouse_load.c has them");
	}
	if (!options.ca || !options.ca_key || !options.to || !options.network)
		die("--ca, --ca-key and --to are needed");
	if (options.askers + options.targets > HOSTS_MAX)
		die("too many hosts");
}

int main(int argc, char **argv)
{
	struct endpoint to;
	double took;

	read_options(argc, argv);
	if (endpoint_parse(options.to, &to) != 0 || !addr_is_v4(&to.addr))
		die("--to is not ADDRESS:PORT");
	aead_select();
	make_identities(options.askers + options.targets);
	for (uint32_t i = 0; i < options.askers + options.targets; i++) {
		open_socket(&hosts[i], &to);
		meet(&hosts[i], i + 1);
		usleep(3000); /* a lighthouse answers only so many handshakes a second */
	}
	usleep(300000);
	drain_all();
	for (uint32_t i = 0; i < options.askers + options.targets; i++)
		thin_out(hosts[i].fd);
	memset(&counts, 0, sizeof(counts));
	printf("ready\n");
	fflush(stdout);
	took = load();
	printf("asked %.0f answered %.0f punched %.0f per_second verified %llu wrong %llu "
	       "unsent %llu\n",
	       (double)counts.asked / took, (double)counts.answered / took,
	       (double)counts.punched / took, (unsigned long long)counts.verified,
	       (unsigned long long)counts.wrong, (unsigned long long)counts.unsent);
	return counts.wrong != 0;
}
