/*
 * engine.h - the engine on a real ring: sockets on loopback, a tun in a network of the test's own,
 * and every error that an operation can end with (uring.h, io_faults).
 *
 * An error is forced by spoiling the request (a file that is not registered), so that the kernel
 * does nothing and cancels what is linked behind; its EBADF is then rewritten to the error wanted.
 */
#ifndef M57_TEST_ENGINE_H
#define M57_TEST_ENGINE_H

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

static inline void submitting(void *context, struct io_uring *ring)
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

static inline void completed(void *context, struct io_uring_cqe *cqe)
{
	struct engine *e = context;

	if (TAG_OP(cqe->user_data) == e->operation && cqe->res == -EBADF) {
		cqe->res = e->result;
		e->hits++;
	}
}

static inline void fault(struct engine *e, enum operation operation, int skip, int times,
			 int result)
{
	e->operation = operation;
	e->skip = skip;
	e->times = times;
	e->result = result;
	e->hits = 0;
}

static inline int udp_socket(uint32_t address, struct sockaddr_in *name)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t bytes = sizeof(*name);

	*name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
	cr_assert_eq(bind(fd, (struct sockaddr *)name, sizeof(*name)), 0);
	getsockname(fd, (struct sockaddr *)name, &bytes);
	return fd;
}

/* Brings device up; address 0: none. */
static inline void link_up(const char *device, uint32_t address)
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

static inline int device(const char *name, short flags)
{
	struct ifreq r = {.ifr_flags = (short)(flags | IFF_NO_PI)};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		cr_skip("needs /dev/net/tun");
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	cr_assert_eq(ioctl(fd, TUNSETIFF, &r), 0);
	return fd;
}

static inline void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return;
	fputs(text, f);
	fclose(f);
}

/* The test's process is its own; so is its network from here on. The tun is 10.9.8.1/24. */
static inline void begin_with(struct engine *e, enum io_tier tier, bool busy_poll)
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
		.busy_poll = busy_poll,
		.counters = &e->counters,
	};
	cr_assert_eq(io_create(&e->io, &options, error), 0, "%s", error);
	static struct io_faults faults;
	faults = (struct io_faults){e, submitting, completed};
	e->io->faults = &faults;
	cr_assert_eq(io_enable(e->io), 0);
	io_turn(e->io, false);
}

static inline void begin(struct engine *e, enum io_tier tier)
{
	begin_with(e, tier, false);
}

static inline void end(struct engine *e)
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

static inline uint64_t drops(const struct engine *e, enum drop reason)
{
	return e->counters.drops[reason];
}

static inline uint64_t stat_of(const struct engine *e, enum statistic stat)
{
	return e->counters.stats[stat];
}

/* The next event of the type; others are released, notes counted off. Sleeps: one must come. */
static inline struct io_event next(struct engine *e, enum io_event_type type)
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

/* Enough turns for what was written, refused, and written again; events are released. */
static inline void settle_writes(struct engine *e)
{
	struct io_event event;

	for (int i = 0; i < 4; i++) {
		io_turn(e->io, false);
		while (io_next(e->io, &event))
			if (event.type != IO_NOTE)
				io_release(e->io, &event);
	}
}

static inline void from_peer(struct engine *e, const void *bytes, size_t length)
{
	cr_assert_eq(sendto(e->peer, bytes, length, 0, (struct sockaddr *)&e->udp_name,
			    sizeof(e->udp_name)),
		     (ssize_t)length);
}

/* A packet that the kernel routes into the tun. */
static inline void into_tun(const void *bytes, size_t length)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(0x0a090802)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	cr_assert_eq(sendto(fd, bytes, length, 0, (struct sockaddr *)&to, sizeof(to)),
		     (ssize_t)length);
	close(fd);
}

static inline void expect_train(struct engine *e, const char *text)
{
	struct io_event event = next(e, IO_UDP_TRAIN);

	cr_assert_eq(event.length, strlen(text), "%u", event.length);
	cr_expect_arr_eq(event.packet, text, event.length);
	cr_expect_eq(event.source.port, ntohs(e->peer_name.sin_port));
	io_release(e->io, &event);
}

static inline void expect_run(struct engine *e, const char *text)
{
	struct io_event event = next(e, IO_TUN_RUN);

	cr_assert_eq(event.length, 28 + strlen(text));
	cr_expect_arr_eq(event.packet + 28, text, strlen(text));
	io_release(e->io, &event);
}

#endif
