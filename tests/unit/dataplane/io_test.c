/*
 * io_test.c - the engine on a real ring: sockets on loopback, a tun and a tap in a network of the
 * test's own, and every error that an operation can end with (uring.h, io_faults).
 *
 * An error is forced by spoiling the request (a file that is not registered), so that the kernel
 * does nothing and cancels what is linked behind; its EBADF is then rewritten to the error wanted.
 */
#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "io/uring.h"
#include "sockaddr.h"
#include "unit/dataplane/packets.h"

TestSuite(io, .timeout = 60);

struct engine {
	struct io *io;
	struct counters counters;
	struct io_uring control;
	int udp, peer, tun;
	struct sockaddr_in udp_name, peer_name;
	/* the fault: the next `times` requests of `operation` after `skip` end with `result` */
	enum operation operation;
	int skip, times, result, hits;
};

static void submitting(void *context, struct io_uring *ring)
{
	struct engine *e = context;

	for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
		struct io_uring_sqe *sqe = &ring->sq.sqes[i & *ring->sq.kring_mask];
		if (TAG_OP(sqe->user_data) != e->operation || sqe->user_data == 0)
			continue;
		if (e->skip > 0) {
			e->skip--;
		} else if (e->times > 0) {
			e->times--;
			sqe->fd = 77;
		}
	}
}

static void completed(void *context, struct io_uring_cqe *cqe)
{
	struct engine *e = context;

	if (TAG_OP(cqe->user_data) == e->operation && cqe->res == -EBADF) {
		cqe->res = e->result;
		e->hits++;
	}
}

static void fault(struct engine *e, enum operation operation, int skip, int times, int result)
{
	e->operation = operation;
	e->skip = skip;
	e->times = times;
	e->result = result;
	e->hits = 0;
}

static int udp_socket(uint32_t address, struct sockaddr_in *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t bytes = sizeof(*name);

	*name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
	cr_assert_eq(bind(fd, (struct sockaddr *)name, sizeof(*name)), 0);
	getsockname(fd, (struct sockaddr *)name, &bytes);
	return fd;
}

/* Brings device up; address 0: none. */
static void link_up(const char *device, uint32_t address)
{
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq r = {0};
	struct sockaddr_in *in = (struct sockaddr_in *)&r.ifr_addr;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", device);
	if (address) {
		in->sin_family = AF_INET;
		in->sin_addr.s_addr = htonl(address);
		cr_assert_eq(ioctl(fd, SIOCSIFADDR, &r), 0);
		in->sin_addr.s_addr = htonl(0xffffff00);
		cr_assert_eq(ioctl(fd, SIOCSIFNETMASK, &r), 0);
	}
	cr_assert_eq(ioctl(fd, SIOCGIFFLAGS, &r), 0);
	r.ifr_flags |= IFF_UP;
	cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	close(fd);
}

static int device(const char *name, short flags)
{
	struct ifreq r = {.ifr_flags = (short)(flags | IFF_NO_PI)};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		cr_skip("needs /dev/net/tun");
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	cr_assert_eq(ioctl(fd, TUNSETIFF, &r), 0);
	return fd;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return;
	fputs(text, f);
	fclose(f);
}

/* The test's process is its own; so is its network from here on. The tun is 10.9.8.1/24. */
static void begin(struct engine *e, enum io_tier tier)
{
	char error[256] = "";

	if (dataplane_probe_tier(error) < tier)
		cr_skip("needs a newer kernel's io_uring");
	if (unshare(CLONE_NEWNET) != 0)
		cr_skip("needs root");
	memset(e, 0, sizeof(*e));
	link_up("lo", 0);
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	e->tun = device("tun0", IFF_TUN | IFF_VNET_HDR);
	link_up("tun0", 0x0a090801);
	e->udp = udp_socket(INADDR_LOOPBACK, &e->udp_name);
	e->peer = udp_socket(INADDR_LOOPBACK, &e->peer_name);
	setsockopt(e->udp, IPPROTO_UDP, 104 /* UDP_GRO */, &(int){1}, sizeof(int));
	cr_assert_eq(io_uring_queue_init(64, &e->control, 0), 0);
	struct io_options options = {
		.tun_fd = e->tun,
		.udp_fd = e->udp,
		.control_ring_fd = e->control.ring_fd,
		.tier = tier,
		.tun_vnet_hdr = true,
		.gso = true,
		.counters = &e->counters,
	};
	cr_assert_eq(io_create(&e->io, &options, error), 0, "%s", error);
	static struct io_faults faults;
	faults = (struct io_faults){e, submitting, completed};
	e->io->faults = &faults;
	cr_assert_eq(io_enable(e->io), 0);
	io_turn(e->io, false);
}

static void end(struct engine *e)
{
	struct io_event event;

	e->times = 0;
	io_stop(e->io);
	while (!io_stopped(e->io)) {
		io_turn(e->io, false);
		while (io_next(e->io, &event))
			if (event.type == IO_TUN_RUN || event.type == IO_UDP_TRAIN)
				io_release(e->io, &event);
	}
	cr_expect_eq(e->io->tun_reads, 0);
	cr_expect_not(e->io->udp_armed);
	cr_expect_eq(e->io->free_write_count, WRITE_SLOTS);
	cr_expect_eq(e->io->free_send_count, SEND_SLOTS);
	cr_expect_eq(e->io->inline_pending, 0);
	/* every buffer is in the ring or free */
	cr_expect_eq(e->io->udp_buffers.in_ring + e->io->udp_buffers.free_count, UDP_SLOTS);
	cr_expect_eq(e->io->tun_buffers.in_ring + e->io->tun_buffers.free_count, TUN_SLOTS);
	io_destroy(e->io);
	io_uring_queue_exit(&e->control);
}

static uint64_t drops(const struct engine *e, enum drop reason)
{
	return e->counters.drops[reason];
}

static uint64_t stat_of(const struct engine *e, enum statistic stat)
{
	return e->counters.stats[stat];
}

/* The next event of the type; others are released, notes counted off. Sleeps: one must come. */
static struct io_event next(struct engine *e, enum io_event_type type)
{
	struct io_event event;

	for (;;) {
		while (io_next(e->io, &event)) {
			if (event.type == type)
				return event;
			if (event.type == IO_TUN_RUN || event.type == IO_UDP_TRAIN)
				io_release(e->io, &event);
		}
		io_turn(e->io, !io_ready(e->io));
	}
}

static void from_peer(struct engine *e, const void *bytes, size_t length)
{
	cr_assert_eq(sendto(e->peer, bytes, length, 0, (struct sockaddr *)&e->udp_name,
			    sizeof(e->udp_name)),
		     (ssize_t)length);
}

/* A packet that the kernel routes into the tun. */
static void into_tun(const void *bytes, size_t length)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x0a090802)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	cr_assert_eq(sendto(fd, bytes, length, 0, (struct sockaddr *)&to, sizeof(to)),
		     (ssize_t)length);
	close(fd);
}

static void expect_train(struct engine *e, const char *text)
{
	struct io_event event = next(e, IO_UDP_TRAIN);

	cr_assert_eq(event.length, strlen(text), "%u", event.length);
	cr_expect_arr_eq(event.packet, text, event.length);
	cr_expect_eq(event.source.port, ntohs(e->peer_name.sin_port));
	io_release(e->io, &event);
}

static void expect_run(struct engine *e, const char *text)
{
	struct io_event event = next(e, IO_TUN_RUN);

	cr_assert_eq(event.length, 28 + strlen(text));
	cr_expect_arr_eq(event.packet + 28, text, strlen(text));
	io_release(e->io, &event);
}

static const enum io_tier tiers[] = {IO_TIER_6_1, IO_TIER_6_7};
/* cr_skip and unshare end or change the process: one test per tier. */
#define FOR_TIERS(name)                                                                            \
	static void name(enum io_tier tier);                                                       \
	Test(io, name##_tier_6_1)                                                                  \
	{                                                                                          \
		name(tiers[0]);                                                                    \
	}                                                                                          \
	Test(io, name##_tier_6_7)                                                                  \
	{                                                                                          \
		name(tiers[1]);                                                                    \
	}                                                                                          \
	static void name(enum io_tier tier)

/* ---- reading --------------------------------------------------------------------------------- */

FOR_TIERS(an_empty_datagram_ends_nothing)
{
	struct engine e;

	begin(&e, tier);
	from_peer(&e, "", 0);
	from_peer(&e, "behind", 6);
	expect_train(&e, "");
	expect_train(&e, "behind");
	from_peer(&e, "", 0);
	expect_train(&e, "");
	from_peer(&e, "later", 5);
	expect_train(&e, "later");
	end(&e);
}

FOR_TIERS(all_buffers_taken_and_given_back)
{
	enum { MORE = 20 };
	static struct io_event held[UDP_SLOTS];
	struct engine e;
	char text[16];

	begin(&e, tier);
	for (uint32_t i = 0; i < UDP_SLOTS + MORE; i++) {
		snprintf(text, sizeof(text), "%03u", i);
		from_peer(&e, text, 3);
	}
	for (uint32_t i = 0; i < UDP_SLOTS; i++)
		held[i] = next(&e, IO_UDP_TRAIN);
	/* without a buffer nothing is armed, and nothing spins */
	struct io_event event;
	for (int i = 0; i < 3; i++) {
		io_turn(e.io, false);
		cr_expect_not(io_next(e.io, &event));
	}
	cr_expect_not(e.io->udp_armed);
	for (uint32_t i = 0; i < UDP_SLOTS; i++) {
		snprintf(text, sizeof(text), "%03u", i);
		cr_expect_arr_eq(held[i].packet, text, 3);
		io_release(e.io, &held[i]);
	}
	for (uint32_t i = UDP_SLOTS; i < UDP_SLOTS + MORE; i++) {
		snprintf(text, sizeof(text), "%03u", i);
		expect_train(&e, text);
	}
	cr_expect_gt(stat_of(&e, STAT_REARM_UDP), 0);
	end(&e);
}

FOR_TIERS(tun_buffers_taken_and_given_back)
{
	static struct io_event held[TUN_SLOTS];
	struct engine e;
	char text[16];

	begin(&e, tier);
	for (uint32_t i = 0; i < TUN_SLOTS + 20; i++) {
		snprintf(text, sizeof(text), "%03u", i);
		into_tun(text, 3);
	}
	for (uint32_t i = 0; i < TUN_SLOTS; i++) {
		held[i] = next(&e, IO_TUN_RUN);
		snprintf(text, sizeof(text), "%03u", i);
		cr_expect_arr_eq(held[i].packet + 28, text, 3);
	}
	for (uint32_t i = 0; i < TUN_SLOTS; i++)
		io_release(e.io, &held[i]);
	for (uint32_t i = TUN_SLOTS; i < TUN_SLOTS + 20; i++) {
		snprintf(text, sizeof(text), "%03u", i);
		expect_run(&e, text);
	}
	end(&e);
}

FOR_TIERS(a_read_that_fails_once_is_armed_again)
{
	static const int errors[] = {-EIO, -ENOMEM, -EINTR, -EFAULT, -ENOBUFS, -ECANCELED, -EAGAIN};
	struct engine e;

	begin(&e, tier);
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		/* an empty datagram ends the multishot receive: the next arming is the spoilt one
		 */
		fault(&e, OP_UDP_RECEIVE, 0, 1, errors[i]);
		from_peer(&e, "", 0);
		expect_train(&e, "");
		from_peer(&e, "on", 2);
		expect_train(&e, "on");
		cr_expect_eq(e.hits, 1, "%s", strerror(-errors[i]));
		cr_expect_eq(e.io->udp_errors, 0);
		into_tun("run", 3);
		expect_run(&e, "run");
	}
	end(&e);
}

/* Before the first turn of reads: spoils the arming itself. */
static void dead(enum operation operation, enum note note)
{
	struct engine e;
	struct io_event event;

	begin(&e, IO_TIER_6_1);
	fault(&e, operation, 0, ERRORS_MAX, -EIO);
	if (operation == OP_UDP_RECEIVE) {
		from_peer(&e, "", 0);
		expect_train(&e, "");
	} else {
		into_tun("one", 3);
		expect_run(&e, "one");
	}
	event = next(&e, IO_NOTE);
	cr_expect_eq(event.note, note);
	cr_expect_eq(event.error, EIO);
	cr_expect_eq(e.hits, ERRORS_MAX);
	io_turn(e.io, false);
	cr_expect_not(io_next(e.io, &event), "given up, said once");
	end(&e);
}

Test(io, a_socket_that_fails_for_good)
{
	dead(OP_UDP_RECEIVE, NOTE_UDP_DEAD);
}

Test(io, a_tun_that_fails_for_good)
{
	dead(OP_TUN_READ, NOTE_TUN_DEAD);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Queues a train of count datagrams of bytes, numbered on from *number, to name. */
static void train(struct engine *e, const struct sockaddr_in *to, uint32_t *number, uint32_t count,
		  uint32_t bytes)
{
	struct send_slot *slot = io_send_slot(e->io);

	cr_assert_not_null(slot);
	memcpy(&slot->to, to, sizeof(*to));
	slot->to_bytes = sizeof(*to);
	slot->segment_bytes = bytes;
	slot->count = count;
	slot->length = count * bytes;
	slot->tunnel = (struct tunnel_id){3, 4};
	for (uint32_t i = 0; i < count; i++, ++*number)
		memcpy(slot->bytes + (size_t)i * bytes, number, 4);
	io_send(e->io, slot);
}

/* Turns until all slots are back. */
static void flush(struct engine *e)
{
	struct io_event event;

	while (e->io->free_send_count < SEND_SLOTS) {
		io_turn(e->io, e->io->send_blocked);
		while (io_next(e->io, &event))
			if (event.type != IO_NOTE)
				io_release(e->io, &event);
	}
}

/* What the peer's socket has: the numbers from..to-1 but not `missing`, in order. */
static void expect_numbers(struct engine *e, uint32_t from, uint32_t to, uint32_t missing,
			   uint32_t bytes)
{
	static uint8_t datagram[65536];

	for (uint32_t i = from; i < to; i++) {
		uint32_t number;
		if (i == missing)
			continue;
		ssize_t n = recv(e->peer, datagram, sizeof(datagram), MSG_DONTWAIT);
		memcpy(&number, datagram, 4);
		cr_assert_eq(n, (ssize_t)bytes, "datagram %u: %zd", i, n);
		cr_assert_eq(number, i, "%u in the place of %u", number, i);
	}
	cr_expect_lt(recv(e->peer, datagram, sizeof(datagram), MSG_DONTWAIT), 0, "one too many");
}

Test(io, trains_arrive_in_order)
{
	struct engine e;
	uint32_t number = 0;

	begin(&e, IO_TIER_6_1);
	setsockopt(e.peer, SOL_SOCKET, SO_RCVBUFFORCE, &(int){8 << 20}, sizeof(int));
	train(&e, &e.peer_name, &number, 64, 1000);
	train(&e, &e.peer_name, &number, 1, 1000);
	flush(&e);
	expect_numbers(&e, 0, 65, UINT32_MAX, 1000);
	number = 0;
	train(&e, &e.peer_name, &number, 7, 9001);
	flush(&e);
	expect_numbers(&e, 0, 7, UINT32_MAX, 9001);
	cr_expect_eq(stat_of(&e, STAT_GSO_REFUSED), 0);
	end(&e);
}

Test(io, every_slot_in_one_chain)
{
	struct engine e;
	uint32_t number = 0;

	begin(&e, IO_TIER_6_1);
	setsockopt(e.peer, SOL_SOCKET, SO_RCVBUFFORCE, &(int){8 << 20}, sizeof(int));
	e.io->gso = false; /* singles: more requests than the submission queue holds */
	for (int i = 0; i < SEND_SLOTS; i++)
		train(&e, &e.peer_name, &number, 64, 100);
	flush(&e);
	expect_numbers(&e, 0, SEND_SLOTS * 64, UINT32_MAX, 100);
	end(&e);
}

Test(io, a_send_that_fails_does_not_take_the_others_along)
{
	static const int errors[] = {-EPERM,  -ENETUNREACH, -ENOBUFS,
				     -ENOMEM, -EINTR,       -ECONNREFUSED};
	struct engine e;

	begin(&e, IO_TIER_6_1);
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		for (int at = 0; at < 5; at++) {
			uint32_t number = 0;
			uint64_t before = drops(&e, DROP_SEND_ERROR);

			fault(&e, OP_SEND, at, 1, errors[i]);
			for (int k = 0; k < 5; k++)
				train(&e, &e.peer_name, &number, 1, 100);
			flush(&e);
			cr_expect_eq(e.hits, 1);
			cr_expect_eq(drops(&e, DROP_SEND_ERROR) - before, 1);
			expect_numbers(&e, 0, 5, (uint32_t)at, 100);
		}
	}
	end(&e);
}

Test(io, a_send_that_must_wait_or_is_cancelled_keeps_its_place)
{
	static const int errors[] = {-EAGAIN, -ECANCELED};
	struct engine e;

	begin(&e, IO_TIER_6_1);
	for (size_t i = 0; i < 2; i++) {
		for (int at = 0; at < 6; at++) {
			uint32_t number = 0;

			fault(&e, OP_SEND, at, 1, errors[i]);
			train(&e, &e.peer_name, &number, 4, 100);
			train(&e, &e.peer_name, &number, 4, 200);
			e.io->unsent.head->next->singles = true;
			train(&e, &e.peer_name, &number, 1, 100);
			io_turn(e.io, false);
			train(&e, &e.peer_name, &number, 1, 100); /* queued meanwhile */
			flush(&e);
			cr_expect_eq(e.hits, 1);
			for (uint32_t k = 0; k < 10; k++) {
				uint32_t got[50];
				cr_assert_gt(recv(e.peer, got, sizeof(got), MSG_DONTWAIT), 0);
				cr_assert_eq(got[0], k, "error %zu at %d", i, at);
			}
			cr_expect_lt(recv(e.peer, &number, 4, MSG_DONTWAIT), 0);
		}
	}
	cr_expect_eq(drops(&e, DROP_SEND_ERROR), 0);
	cr_expect_eq(stat_of(&e, STAT_SEND_BUSY), 6);
	end(&e);
}

Test(io, a_train_that_is_refused_goes_as_singles)
{
	static const struct {
		int error;
		enum note note;
		bool gso;
	} rows[] = {
		{-EMSGSIZE, NOTE_GSO_REMOTE, true},
		{-EINVAL, NOTE_GSO_REMOTE, true},
		{-EIO, NOTE_GSO_OFF, false},
	};
	struct engine e;

	begin(&e, IO_TIER_6_1);
	for (size_t i = 0; i < 3; i++) {
		uint32_t number = 0;
		struct io_event event;

		fault(&e, OP_SEND, 1, 1, rows[i].error);
		train(&e, &e.peer_name, &number, 1, 500);
		train(&e, &e.peer_name, &number, 10, 500);
		train(&e, &e.peer_name, &number, 10, 500);
		event = next(&e, IO_NOTE);
		cr_expect_eq(event.note, rows[i].note);
		cr_expect_eq(event.error, -rows[i].error);
		cr_expect_eq(event.bytes, 500);
		cr_expect_eq(event.tunnel.slot, 3);
		flush(&e);
		cr_expect_eq(io_gso(e.io), rows[i].gso);
		cr_expect_eq(stat_of(&e, STAT_GSO_REFUSED), i + 1);
		expect_numbers(&e, 0, 21, UINT32_MAX, 500);
	}
	/* from now on at once */
	cr_expect(io_send_slot(e.io)->singles);
	e.io->free_send_count = SEND_SLOTS;
	cr_expect_eq(drops(&e, DROP_SEND_ERROR), 0);
	end(&e);
}

/*
 * A really full socket: behind a tap whose neighbour does not answer ARP the datagrams wait and
 * keep the socket's buffer. When the neighbour is made known, they leave, the socket becomes
 * writable, and the tap shows what went over the wire.
 */
static void full_socket(int poll_error)
{
	enum { TRAINS = 12, EACH = 5 };
	struct engine e;
	uint32_t number = 0;
	uint8_t frame[2048];

	begin(&e, IO_TIER_6_1);
	int tap = device("tap0", IFF_TAP);
	link_up("tap0", 0x0a090701);
	fcntl(tap, F_SETFL, O_NONBLOCK);
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(7), .sin_addr.s_addr = htonl(0x0a090702)};
	int narrow = udp_socket(0x0a090701, &e.udp_name);
	setsockopt(narrow, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int));
	cr_assert_eq(dup2(narrow, e.udp), e.udp);
	io_uring_register_files_update(&e.io->ring, FILE_UDP, &narrow, 1);
	if (poll_error)
		fault(&e, OP_WRITABLE, 0, 1, poll_error);
	for (int i = 0; i < TRAINS; i++)
		train(&e, &to, &number, i % 3 == 0 ? 1 : EACH, 400);
	struct io_event event;
	for (int i = 0; i < 10; i++) {
		io_turn(e.io, false);
		while (io_next(e.io, &event))
			if (event.type != IO_NOTE)
				io_release(e.io, &event);
	}
	cr_expect(io_send_blocked(e.io));
	cr_expect_lt(e.io->free_send_count, SEND_SLOTS);

	struct arpreq known = {.arp_flags = ATF_COM | ATF_PERM};
	memcpy(&known.arp_pa, &to, sizeof(to));
	known.arp_ha.sa_family = ARPHRD_ETHER;
	memset(known.arp_ha.sa_data, 2, 6);
	snprintf(known.arp_dev, sizeof(known.arp_dev), "tap0");
	cr_assert_eq(ioctl(narrow, SIOCSARP, &known), 0);
	flush(&e);
	cr_expect_gt(stat_of(&e, STAT_SEND_BUSY), 0);
	uint32_t expected = 0;
	ssize_t n;
	while ((n = read(tap, frame, sizeof(frame))) > 0) {
		uint32_t got;
		if (frame[12] != 8 || frame[13] != 0 || frame[14 + 9] != IPPROTO_UDP)
			continue;
		memcpy(&got, frame + 14 + 28, 4);
		cr_assert_eq(got, expected, "%u in the place of %u", got, expected);
		expected++;
	}
	cr_expect_eq(expected, number, "none lost, none twice");
	cr_expect_eq(drops(&e, DROP_SEND_ERROR), 0);
	end(&e);
}

Test(io, a_full_socket_keeps_order_and_loses_nothing)
{
	full_socket(0);
}

Test(io, a_failed_poll_of_a_full_socket)
{
	full_socket(-EIO);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A joined UDP packet of count datagrams to the tun's own address, in a slot of its own. */
static void write_joined(struct engine *e, uint16_t port, uint32_t count)
{
	struct write_slot *slot = io_write_slot(e->io);
	uint8_t *packet = slot->bytes + WRITE_HEADROOM;
	uint32_t length = packet_build(packet, &(struct packet){.version = 4,
								.protocol = IPPROTO_UDP,
								.dest_port = port,
								.source_port = 9,
								.df = true,
								.payload_bytes = count * 100});
	memcpy(packet + 12, (uint8_t[]){10, 9, 8, 2, 10, 9, 8, 1}, 8);
	packet_fix(packet, length);
	struct virtio_net_hdr vnet = packet_vnet(packet, 100);
	uint16_t pseudo = packet_pseudo(packet, length);
	packet[26] = (uint8_t)(pseudo >> 8);
	packet[27] = (uint8_t)pseudo;
	io_write(e->io, slot, packet, length, &vnet);
	io_write_slot_done(e->io, slot);
}

static void settle_writes(struct engine *e)
{
	struct io_event event;

	for (int i = 0; i < 4; i++) {
		io_turn(e->io, false);
		while (io_next(e->io, &event))
			if (event.type != IO_NOTE)
				io_release(e->io, &event);
	}
}

Test(io, a_joined_packet_that_the_tun_refuses_is_written_as_singles)
{
	struct sockaddr_in name;
	uint8_t bytes[200];
	struct engine e;

	begin(&e, IO_TIER_6_1);
	int local = udp_socket(0x0a090801, &name);
	fault(&e, OP_WRITE, 0, 1, -EINVAL);
	write_joined(&e, ntohs(name.sin_port), 5);
	io_turn(e.io, false); /* a sleeping turn would wait for more than writes */
	struct io_event event = next(&e, IO_NOTE);
	cr_expect_eq(event.note, NOTE_USO_OFF);
	settle_writes(&e);
	for (int i = 0; i < 5; i++) {
		cr_assert_eq(recv(local, bytes, sizeof(bytes), MSG_DONTWAIT), 100, "single %d", i);
		cr_expect_eq(bytes[0], (uint8_t)(i * 100 * 7 + 1));
	}
	cr_expect_lt(recv(local, bytes, sizeof(bytes), MSG_DONTWAIT), 0);
	cr_expect_eq(stat_of(&e, STAT_TSO_REFUSED), 1);
	cr_expect_eq(drops(&e, DROP_WRITE_ERROR), 0);
	end(&e);
}

Test(io, a_write_that_fails_is_counted_by_its_packets)
{
	static const int errors[] = {-EIO, -ENOMEM, -EBADFD, -EFAULT};
	struct engine e;

	begin(&e, IO_TIER_6_1);
	for (size_t i = 0; i < 4; i++) {
		fault(&e, OP_WRITE, 0, 1, errors[i]);
		write_joined(&e, 9, 5);
		settle_writes(&e);
		cr_expect_eq(e.hits, 1);
		cr_expect_eq(drops(&e, DROP_WRITE_ERROR), 5 * (i + 1));
		cr_expect_eq(e.io->free_write_count, WRITE_SLOTS);
	}
	end(&e);
}

Test(io, no_slot_for_the_singles)
{
	struct write_slot *held[WRITE_SLOTS];
	struct engine e;

	begin(&e, IO_TIER_6_1);
	fault(&e, OP_WRITE, 0, 1, -EINVAL);
	write_joined(&e, 9, 5);
	for (int i = 0; i < WRITE_SLOTS - 1; i++)
		held[i] = io_write_slot(e.io);
	settle_writes(&e);
	cr_expect_eq(drops(&e, DROP_WRITE_ERROR), 5);
	for (int i = 0; i < WRITE_SLOTS - 1; i++)
		io_write_slot_done(e.io, held[i]);
	end(&e);
}

/* ---- messages -------------------------------------------------------------------------------- */

Test(io, a_punt_that_control_does_not_take_is_released_and_counted)
{
	struct punt punts[2] = {{.busy = 1}, {.busy = 1}};
	struct io_uring_cqe *cqe;
	struct engine e;

	begin(&e, IO_TIER_6_1);
	fault(&e, OP_PUNT, 1, 1, -EOVERFLOW);
	io_punt(e.io, &punts[0]);
	io_punt(e.io, &punts[1]);
	settle_writes(&e);
	cr_expect_eq(punts[0].busy, 1);
	cr_expect_eq(punts[1].busy, 0);
	cr_expect_eq(drops(&e, DROP_PUNT_POOL), 1);
	cr_assert_eq(io_uring_peek_cqe(&e.control, &cqe), 0);
	cr_expect_eq(cqe->user_data, (uintptr_t)&punts[0]);
	end(&e);
}

Test(io, orders_come_first_in_first_out)
{
	static struct order orders[50];
	struct engine e;

	begin(&e, IO_TIER_6_1);
	for (int i = 0; i < 50; i++) {
		struct io_uring_sqe *sqe = io_uring_get_sqe(&e.control);
		io_uring_prep_msg_ring(sqe, io_ring_fd(e.io), 0, io_order_tag(&orders[i]), 0);
		io_uring_submit_and_wait(&e.control, 1);
	}
	for (int i = 0; i < 50; i++)
		cr_expect_eq(next(&e, IO_ORDER).order, &orders[i]);
	end(&e);
}
