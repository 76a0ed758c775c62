/*
 * crowd - many peers of one node in one process: each has its own key, certificate, overlay address
 * (10.42.1.1 and on) and UDP port, speaks real handshakes and seals real packets.
 *
 *   crowd tunnels ADDRESS PORT DIRECTORY [options]
 *	Every peer begins a tunnel with the node at ADDRESS and holds it; then the first --active of
 *	them send numbered UDP packets to TO:5302 in the overlay, where `crowd echo` returns them,
 *	and watch their order.
 *	--peers N (1000)  --window N (64): handshakes under way at once  --active N (0)  --to
 *ADDRESS
 *	--rate PPS (2000): of all active peers  --seconds S (3)  --hold S (0): idle, before that
 *	--rounds N (1): each peer makes so many handshakes, one after the other
 *   crowd echo PORT
 *	Returns every UDP packet to where it came from, until it is killed.
 *
 * DIRECTORY has ca.crt and ca.key. Prints "tunnels", "ready" when all are made, "traffic" at the
 * end: lines of names and numbers. Exit status 1 when a tunnel was not made or a packet was out of
 * order.
 */
#include "crowd.h"

#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sodium.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "crypto/seal.h"
#include "handshake/machine.h"

#define AGAIN_NS   500000000ull /* a stage 1 without answer is sent again */
#define TRIES      20
#define INNER_MAX  1500
#define ECHO_PORT  5302
#define BODY_BYTES 64

enum state { IDLE, ASKED, KEYED, ALIVE };

struct peer {
	struct pki pki;
	struct tunnel tunnel; /* remote_index, keys and counter are used */
	struct machine machine;
	uint8_t stage1[HANDSHAKE_BYTES_MAX / 8];
	size_t stage1_bytes;
	uint64_t asked_ns;
	unsigned number, tries, rounds;
	int fd;
	enum state state;
	uint64_t sent, got, next, disorder; /* numbered packets */
};

static struct options {
	unsigned long peers, window, active, rate, seconds, hold, rounds;
	const char *to;
} o = {.peers = 1000, .window = 64, .rate = 2000, .seconds = 3, .rounds = 1};

static struct authority authority;
static struct verified known; /* all meet the same node */
static struct peer *peers;
static int epoll_fd;
static unsigned begun, under_way, alive, failed, handshakes;
static uint32_t own_index; /* of the last handshake */

/* --- handshakes --------------------------------------------------------------------------------
 */

static struct machine_self self_of(const struct peer *peer)
{
	return (struct machine_self){AEAD_AES256GCM, &peer->pki, &known};
}

static void stage1_prepare(struct peer *peer)
{
	struct machine_self self = self_of(peer);
	uint8_t e_private[NOISE_KEY_BYTES];

	randombytes_buf(e_private, sizeof(e_private));
	if (machine_begin(&peer->machine, &self, ++own_index, wall_ns(), e_private, peer->stage1,
			  sizeof(peer->stage1), &peer->stage1_bytes) != MACHINE_OK)
		fail("cannot make stage 1", "certificate too large");
	peer->state = IDLE;
	peer->tries = 0;
}

static void ask(struct peer *peer, uint64_t now)
{
	if (peer->state == IDLE)
		under_way++;
	peer->state = ASKED;
	peer->asked_ns = now;
	peer->tries++;
	(void)send(peer->fd, peer->stage1, peer->stage1_bytes, 0);
}

static void seal_and_send(struct peer *peer, enum wire_type type, const uint8_t *bytes,
			  uint32_t length)
{
	uint8_t datagram[INNER_MAX + WIRE_OVERHEAD];
	uint64_t counter;

	if (!seal_reserve(&peer->tunnel, 1, &counter))
		return;
	seal_packet(&peer->tunnel, type, 0, counter, bytes, length, datagram);
	(void)send(peer->fd, datagram, length + WIRE_OVERHEAD, 0);
}

static void stage2_read(struct peer *peer, const uint8_t *bytes, size_t length)
{
	struct machine_self self = self_of(peer);
	struct machine_peer answer;
	struct machine_keys keys;

	if (peer->state == ASKED &&
	    machine_read_stage2(&peer->machine, &self, bytes, length,
				(int64_t)(wall_ns() / 1000000000u), &answer, &keys) == MACHINE_OK) {
		if (peer->tunnel.keys->seal.backend) {
			aead_key_wipe(&peer->tunnel.keys->seal);
			aead_key_wipe(&peer->tunnel.keys->open);
		}
		if (aead_key_init(&peer->tunnel.keys->seal, AEAD_AES256GCM, keys.seal) != 0 ||
		    aead_key_init(&peer->tunnel.keys->open, AEAD_AES256GCM, keys.open) != 0)
			fail("no memory", "keys");
		peer->tunnel.remote_index = answer.index;
		atomic_store(&peer->tunnel.counter, COUNTER_FIRST - 1);
		peer->state = KEYED;
		peer->asked_ns = now_ns();
		handshakes++;
		machine_peer_release(&answer);
		seal_and_send(peer, WIRE_TEST_REQUEST, NULL, 0);
	}
}

/* --- what comes in the tunnel ------------------------------------------------------------------
 */

static void came_alive(struct peer *peer)
{
	if (peer->state != KEYED)
		return;
	peer->state = ALIVE;
	under_way--;
	if (++peer->rounds < o.rounds) {
		stage1_prepare(peer);
		ask(peer, now_ns());
	} else {
		alive++;
	}
}

static void echo_came(struct peer *peer, const uint8_t *packet, uint32_t length)
{
	uint64_t number;

	if (length < sizeof(struct iphdr) + sizeof(struct udphdr) + sizeof(number) ||
	    packet[9] != IPPROTO_UDP)
		return;
	memcpy(&number, packet + sizeof(struct iphdr) + sizeof(struct udphdr), sizeof(number));
	peer->got++;
	if (number < peer->next)
		peer->disorder++;
	else
		peer->next = number + 1;
}

static void datagram_came(struct peer *peer, const uint8_t *bytes, size_t length)
{
	uint8_t plain[DATAGRAM_MAX];
	int type;

	if (length < WIRE_HEADER_BYTES || (type = wire_type_of(bytes)) < 0)
		return;
	if (type == WIRE_HANDSHAKE) {
		stage2_read(peer, bytes, length);
		return;
	}
	if (length < WIRE_OVERHEAD || !peer->tunnel.keys->open.backend ||
	    seal_open(&peer->tunnel, bytes, (uint32_t)length, plain) != 0)
		return;
	uint32_t inner = (uint32_t)length - WIRE_OVERHEAD;
	if (type == WIRE_MESSAGE)
		echo_came(peer, plain, inner);
	else if (type == WIRE_TEST_REQUEST && inner <= INNER_MAX)
		seal_and_send(peer, WIRE_TEST_REPLY, plain, inner);
	if (type != WIRE_TEST_REQUEST)
		came_alive(peer);
}

static void take_in(int timeout_ms)
{
	struct epoll_event events[64];
	uint8_t bytes[DATAGRAM_MAX];
	int n = epoll_wait(epoll_fd, events, 64, timeout_ms);

	for (int i = 0; i < n; i++) {
		struct peer *peer = events[i].data.ptr;
		ssize_t length;

		while ((length = recv(peer->fd, bytes, sizeof(bytes), 0)) >= 0)
			datagram_came(peer, bytes, (size_t)length);
	}
}

/* --- the whole crowd ---------------------------------------------------------------------------
 */

static void peers_make(const char *address, unsigned port)
{
	struct rlimit files = {o.peers + 64, o.peers + 64};

	if (setrlimit(RLIMIT_NOFILE, &files) != 0 && o.peers > 900)
		fail("cannot open a socket for each peer", "needs root");
	epoll_fd = epoll_create1(0);
	peers = aligned_alloc(64, o.peers * sizeof(*peers));
	if (!peers || epoll_fd < 0)
		fail("no memory", "peers");
	memset(peers, 0, o.peers * sizeof(*peers));
	for (unsigned i = 0; i < o.peers; i++) {
		struct peer *peer = &peers[i];
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};

		host_make(&peer->pki, &authority, i);
		peer->number = i;
		peer->fd = socket_to(address, port, NULL);
		peer->tunnel.keys = aligned_alloc(64, sizeof(*peer->tunnel.keys));
		if (!peer->tunnel.keys || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, peer->fd, &event) != 0)
			fail("no memory", "peers");
		memset(peer->tunnel.keys, 0, sizeof(*peer->tunnel.keys));
		stage1_prepare(peer);
	}
}

/* Asks again where no answer came; gives up at last. */
static void ask_again(uint64_t now)
{
	for (unsigned i = 0; i < begun; i++) {
		struct peer *peer = &peers[i];

		if ((peer->state != ASKED && peer->state != KEYED) ||
		    peer->asked_ns + AGAIN_NS > now)
			continue;
		if (peer->state == KEYED) { /* the first packet was lost, or came too early */
			peer->asked_ns = now;
			seal_and_send(peer, WIRE_TEST_REQUEST, NULL, 0);
		} else if (peer->tries < TRIES) {
			ask(peer, now);
		} else {
			peer->state = IDLE;
			under_way--;
			failed++;
		}
	}
}

static void tunnels_make(void)
{
	uint64_t start = now_ns(), again = start + AGAIN_NS;

	while (alive + failed < o.peers) {
		while (begun < o.peers && under_way < o.window)
			ask(&peers[begun++], now_ns());
		take_in(10);
		if (now_ns() > again) {
			ask_again(now_ns());
			again = now_ns() + AGAIN_NS / 5;
		}
	}
	double seconds = (double)(now_ns() - start) / 1e9;
	printf("tunnels %u failed %u handshakes %u seconds %.3f per_second %.0f\nready\n", alive,
	       failed, handshakes, seconds, handshakes / seconds);
	fflush(stdout);
}

static uint32_t sum16(const void *bytes, size_t length, uint32_t sum)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)at[i] << 8 | at[i + 1];
	return sum;
}

static uint16_t folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static void send_numbered(struct peer *peer, uint32_t to)
{
	struct {
		struct iphdr ip;
		struct udphdr udp;
		uint8_t body[BODY_BYTES];
	} packet = {.ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP}};
	uint16_t udp_bytes = sizeof(packet.udp) + BODY_BYTES;

	packet.ip.tot_len = htons(sizeof(packet));
	packet.ip.saddr = htonl(crowd_address(peer->number));
	packet.ip.daddr = htonl(to);
	packet.ip.check = folded(sum16(&packet.ip, sizeof(packet.ip), 0));
	packet.udp.source = packet.udp.dest = htons(ECHO_PORT);
	packet.udp.len = htons(udp_bytes);
	memcpy(packet.body, &peer->sent, sizeof(peer->sent));
	packet.udp.check = folded(
		sum16(&packet.udp, udp_bytes, sum16(&packet.ip.saddr, 8, IPPROTO_UDP + udp_bytes)));
	peer->sent++;
	seal_and_send(peer, WIRE_MESSAGE, (uint8_t *)&packet, sizeof(packet));
}

static int traffic(void)
{
	uint64_t sent = 0, got = 0, disorder = 0, silent = 0, start = now_ns(), now = start;
	uint64_t end = start + o.seconds * 1000000000u;
	struct in_addr to;

	if (!o.to || inet_pton(AF_INET, o.to, &to) != 1)
		fail("traffic needs", "--to ADDRESS");
	for (; now < end; now = now_ns()) {
		for (; sent < (now - start) * o.rate / 1000000000u; sent++)
			send_numbered(&peers[sent % o.active], ntohl(to.s_addr));
		take_in(1);
	}
	for (end = now + 500000000u; now_ns() < end;)
		take_in(10);
	for (unsigned i = 0; i < o.active; i++) {
		got += peers[i].got;
		disorder += peers[i].disorder;
		silent += peers[i].got == 0;
	}
	printf("traffic sent %lu got %lu disorder %lu silent %lu\n", sent, got, disorder, silent);
	return disorder || silent || got < sent * 9 / 10;
}

static void hold(void)
{
	uint64_t end = now_ns() + o.hold * 1000000000u;

	while (now_ns() < end)
		take_in(100);
}

static int echo(unsigned port)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)}, from;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint8_t bytes[INNER_MAX];

	if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0)
		fail("cannot bind", "echo");
	printf("ready\n");
	fflush(stdout);
	for (;;) {
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &size);
		if (n >= 0)
			(void)sendto(fd, bytes, (size_t)n, 0, (struct sockaddr *)&from, size);
	}
}

int main(int argc, char **argv)
{
	const struct crowd_option table[] = {
		{"--peers", &o.peers, NULL},   {"--window", &o.window, NULL},
		{"--active", &o.active, NULL}, {"--rate", &o.rate, NULL},
		{"--hold", &o.hold, NULL},     {"--seconds", &o.seconds, NULL},
		{"--rounds", &o.rounds, NULL}, {"--to", NULL, &o.to},
	};

	if (argc == 3 && strcmp(argv[1], "echo") == 0)
		return echo((unsigned)strtoul(argv[2], NULL, 10));
	if (argc < 5 || strcmp(argv[1], "tunnels") != 0) {
		fprintf(stderr, "usage: crowd tunnels ADDRESS PORT DIRECTORY [options]\n"
				"       crowd echo PORT\n"
				"       options: --peers --window --rounds --hold --active --to "
				"--rate --seconds\n");
		return 2;
	}
	options_parse(argc, argv, 5, table, sizeof(table) / sizeof(table[0]));
	if (o.peers < 1 || o.peers > CROWD_MAX || o.active > o.peers)
		fail("--peers", "1 to 60000, and not fewer than --active");
	if (sodium_init() < 0)
		fail("libsodium", "does not start");
	authority_load(&authority, argv[4]);
	peers_make(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
	tunnels_make();
	hold();
	return (o.active ? traffic() : 0) || failed > 0;
}
