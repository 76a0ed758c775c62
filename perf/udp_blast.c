/*
 * udp_blast - a source and a sink of UDP packets, to count packets that really arrived.
 *
 *   udp_blast sink PORT [--idle MS] [--limit S] [--ports N]
 *   udp_blast send ADDRESS PORT [--bytes N] [--seconds S] [--packets N] [--rate PPS] [--ports N]
 *                               [--from PORT]
 *
 * The sink says "ready", waits for the first packet, ends when none has come for --idle ms (500) or
 * after --limit seconds (60), and prints three lines: packets, bytes, seconds between first and
 * last packet, and how many came out of order; then how many numbers below the highest are missing,
 * and the longest time without a packet; then the number from which on all came in order. Each
 * packet starts with a sequence number (8 bytes, host order) when it is long enough. The source
 * uses no segmentation offload: every packet pays its own way through the stack. --ports N sends to
 * PORT .. PORT+N-1 in turn: N flows; the sink judges the order of each port by itself. --from names
 * the source port.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH        64
#define PACKET_BYTES 9000

static uint8_t buffers[BATCH][PACKET_BYTES];
static struct mmsghdr messages[BATCH];
static struct iovec vectors[BATCH];

struct options {
	unsigned long bytes, seconds, packets, rate, ports, from, idle_ms, limit_s;
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int usage(void)
{
	fprintf(stderr, "usage: udp_blast sink PORT [--idle MS] [--limit S] [--ports N]\n"
			"       udp_blast send ADDRESS PORT [--bytes N] [--seconds S] [--packets N]"
			" [--rate PPS] [--ports N] [--from PORT]\n");
	return 2;
}

static bool parse_options(int argc, char **argv, int from, struct options *o)
{
	const struct {
		const char *name;
		unsigned long *value;
	} table[] = {{"--bytes", &o->bytes}, {"--seconds", &o->seconds}, {"--packets", &o->packets},
		     {"--rate", &o->rate},   {"--ports", &o->ports},     {"--idle", &o->idle_ms},
		     {"--from", &o->from},   {"--limit", &o->limit_s}};

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

struct tally {
	uint64_t packets, bytes, first_ns, last_ns, pause_ns, disorder;
	uint64_t end;   /* behind the highest sequence number */
	uint64_t late;  /* behind the highest one that came out of order */
	uint64_t *next; /* by port: the sequence number that is due */
};

/* A socket on port, watched by events; false: said. */
static bool sink_open(int events, unsigned port, unsigned long at, int buffer)
{
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	struct epoll_event event = {.events = EPOLLIN,
				    .data.u64 = (uint64_t)at << 32 | (uint32_t)fd};

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) != 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	if (fd < 0 || bind(fd, (struct sockaddr *)&local, sizeof(local)) != 0 ||
	    epoll_ctl(events, EPOLL_CTL_ADD, fd, &event) != 0) {
		perror("udp_blast: bind");
		return false;
	}
	return true;
}

static void sink_take(const struct epoll_event *event, struct tally *t)
{
	int n = recvmmsg((int)(event->data.u64 & UINT32_MAX), messages, BATCH, MSG_DONTWAIT, NULL);
	uint64_t *next = &t->next[event->data.u64 >> 32];

	if (n <= 0)
		return;
	uint64_t now = now_ns();
	if (t->packets == 0)
		t->first_ns = t->last_ns = now;
	if (now - t->last_ns > t->pause_ns)
		t->pause_ns = now - t->last_ns;
	t->last_ns = now;
	t->packets += (uint64_t)n;
	for (int i = 0; i < n; i++) {
		uint64_t sequence;
		t->bytes += messages[i].msg_len;
		if (messages[i].msg_len < sizeof(sequence))
			continue;
		memcpy(&sequence, buffers[i], sizeof(sequence));
		if (sequence >= *next) {
			*next = sequence + 1;
		} else {
			t->disorder++;
			if (sequence >= t->late)
				t->late = sequence + 1;
		}
		if (*next > t->end)
			t->end = *next;
	}
}

static int sink(unsigned port, const struct options *o)
{
	struct rlimit files;
	struct tally t = {.next = calloc(o->ports, sizeof(*t.next))};
	int events = epoll_create1(0), buffer = o->ports > 64 ? 256 << 10 : 8 << 20;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	for (unsigned long i = 0; i < o->ports; i++)
		if (!t.next || !sink_open(events, port + (unsigned)i, i, buffer))
			return 1;
	printf("ready\n");
	fflush(stdout);
	prepare(PACKET_BYTES);
	uint64_t end = now_ns() + o->limit_s * 1000000000u;
	while (now_ns() < end) {
		struct epoll_event ready[BATCH];
		int n = epoll_wait(events, ready, BATCH, t.packets ? (int)o->idle_ms : 100);
		if (n == 0 && t.packets)
			break;
		for (int i = 0; i < n; i++)
			sink_take(&ready[i], &t);
	}
	printf("packets %lu bytes %lu seconds %.6f disorder %lu\n", t.packets, t.bytes,
	       (double)(t.last_ns - t.first_ns) / 1e9, t.disorder);
	printf("missing %ld pause_ms %.1f\n", (long)(t.end - t.packets), (double)t.pause_ns / 1e6);
	printf("in_order_from %lu\n", t.late);
	free(t.next);
	return t.packets ? 0 : 1;
}

static int source(const char *address, unsigned port, const struct options *o)
{
	static struct sockaddr_in to[BATCH];
	struct in_addr ip;
	uint64_t sent = 0, start = now_ns(), end = start + o->seconds * 1000000000u;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->from)};

	if (fd < 0 || inet_pton(AF_INET, address, &ip) != 1) {
		fprintf(stderr, "udp_blast: %s is no IPv4 address\n", address);
		return 1;
	}
	/* several sources may have one port: none is connected */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) != 0 ||
	    bind(fd, (struct sockaddr *)&local, sizeof(local)) != 0) {
		perror("udp_blast: bind");
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
