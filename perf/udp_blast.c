/*
 * udp_blast - a source and a sink of UDP packets, to count packets that really arrived.
 *
 *   udp_blast sink PORT [--idle MS] [--limit S]
 *   udp_blast send ADDRESS PORT [--bytes N] [--seconds S] [--packets N] [--rate PPS] [--ports N]
 *
 * The sink says "ready", waits for the first packet, ends when none has come for --idle ms (500) or
 * after --limit seconds (60), and prints two lines: packets, bytes, seconds between first and last
 * packet, and how many came out of order; then how many numbers below the highest are missing, and
 * the longest time without a packet. Each packet starts with a sequence number (8 bytes, host
 * order) when it is long enough. The source uses no segmentation offload: every packet pays its own
 * way through the stack. --ports N sends to PORT .. PORT+N-1 in turn: N flows.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH        64
#define PACKET_BYTES 9000

static uint8_t buffers[BATCH][PACKET_BYTES];
static struct mmsghdr messages[BATCH];
static struct iovec vectors[BATCH];

struct options {
	unsigned long bytes, seconds, packets, rate, ports, idle_ms, limit_s;
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int usage(void)
{
	fprintf(stderr, "usage: udp_blast sink PORT [--idle MS] [--limit S]\n"
			"       udp_blast send ADDRESS PORT [--bytes N] [--seconds S] [--packets N]"
			" [--rate PPS] [--ports N]\n");
	return 2;
}

static bool parse_options(int argc, char **argv, int from, struct options *o)
{
	const struct {
		const char *name;
		unsigned long *value;
	} table[] = {{"--bytes", &o->bytes},     {"--seconds", &o->seconds},
		     {"--packets", &o->packets}, {"--rate", &o->rate},
		     {"--ports", &o->ports},     {"--idle", &o->idle_ms},
		     {"--limit", &o->limit_s}};

	for (int i = from; i < argc; i += 2) {
		bool known = false;
		for (size_t k = 0; k < sizeof(table) / sizeof(table[0]) && i + 1 < argc; k++) {
			if (strcmp(argv[i], table[k].name) == 0) {
				*table[k].value = strtoul(argv[i + 1], NULL, 10);
				known = true;
			}
		}
		if (!known)
			return false;
	}
	return o->bytes >= 1 && o->bytes <= PACKET_BYTES && o->ports >= 1 && o->ports <= 60000;
}

static void prepare(unsigned long bytes)
{
	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){buffers[i], bytes};
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static int sink(unsigned port, const struct options *o)
{
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	uint64_t packets = 0, bytes = 0, first = 0, last = 0, next = 0, disorder = 0, pause = 0;
	int size = 8 << 20;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)) != 0) {
		perror("udp_blast: bind");
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	prepare(PACKET_BYTES);
	uint64_t end = now_ns() + o->limit_s * 1000000000u;
	while (now_ns() < end) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		if (poll(&wait, 1, packets ? (int)o->idle_ms : 100) == 0) {
			if (packets)
				break;
			continue;
		}
		int n = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
		if (n <= 0)
			continue;
		uint64_t now = now_ns();
		if (packets == 0)
			first = last = now;
		if (now - last > pause)
			pause = now - last;
		last = now;
		packets += (uint64_t)n;
		for (int i = 0; i < n; i++) {
			uint64_t sequence;
			bytes += messages[i].msg_len;
			if (messages[i].msg_len < sizeof(sequence))
				continue;
			memcpy(&sequence, buffers[i], sizeof(sequence));
			if (sequence < next)
				disorder++;
			else
				next = sequence + 1;
		}
	}
	printf("packets %lu bytes %lu seconds %.6f disorder %lu\n", packets, bytes,
	       (double)(last - first) / 1e9, disorder);
	printf("missing %ld pause_ms %.1f\n", (long)(next - packets), (double)pause / 1e6);
	return packets ? 0 : 1;
}

static int source(const char *address, unsigned port, const struct options *o)
{
	static struct sockaddr_in to[BATCH];
	struct in_addr ip;
	uint64_t sent = 0, start = now_ns(), end = start + o->seconds * 1000000000u;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || inet_pton(AF_INET, address, &ip) != 1) {
		fprintf(stderr, "udp_blast: %s is no IPv4 address\n", address);
		return 1;
	}
	prepare(o->bytes);
	while (now_ns() < end && (o->packets == 0 || sent < o->packets)) {
		/* with a rate: small bursts, which no queue on the way has to drop */
		unsigned n = o->rate ? BATCH / 8 : BATCH;
		if (o->packets && o->packets - sent < n)
			n = (unsigned)(o->packets - sent);
		for (unsigned i = 0; i < n; i++) {
			uint64_t sequence = sent + i;
			unsigned to_port = port + (unsigned)(sequence % o->ports);
			to[i] = (struct sockaddr_in){.sin_family = AF_INET,
						     .sin_port = htons((uint16_t)to_port),
						     .sin_addr = ip};
			messages[i].msg_hdr.msg_name = &to[i];
			messages[i].msg_hdr.msg_namelen = sizeof(to[i]);
			if (o->bytes >= sizeof(sequence))
				memcpy(buffers[i], &sequence, sizeof(sequence));
		}
		int done = sendmmsg(fd, messages, n, 0);
		if (done > 0)
			sent += (uint64_t)done;
		else if (errno != ENOBUFS && errno != ECONNREFUSED && errno != EPERM) {
			perror("udp_blast: send");
			return 1;
		}
		while (o->rate && sent * 1000000000u / o->rate > now_ns() - start && now_ns() < end)
			usleep(200);
	}
	printf("sent %lu seconds %.6f\n", sent, (double)(now_ns() - start) / 1e9);
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = {.bytes = 64, .seconds = 2, .ports = 1, .idle_ms = 500, .limit_s = 60};

	if (argc >= 3 && strcmp(argv[1], "sink") == 0 && parse_options(argc, argv, 3, &o))
		return sink((unsigned)strtoul(argv[2], NULL, 10), &o);
	if (argc >= 4 && strcmp(argv[1], "send") == 0 && parse_options(argc, argv, 4, &o))
		return source(argv[2], (unsigned)strtoul(argv[3], NULL, 10), &o);
	return usage();
}
