/* pending_test.c - back-off and the bounds of what waits (PROTOCOL.md 2.6). */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "handshake/pending.h"

TestSuite(pending);

#define MS 1000000ull

static int hold(struct pending *pending, uint64_t *total, uint32_t queue,
		const struct virtio_net_hdr *vnet, const uint8_t *bytes, uint32_t length)
{
	struct waiting_run run = {.vnet = *vnet, .bytes = bytes, .length = length};

	return pending_hold(pending, total, queue, &run);
}

Test(pending, times_of_the_attempts)
{
	/* attempts * try_interval after each: 0, 100, 300, 600 ... 4500, and the end at 5500 ms */
	for (int at_once = 0; at_once < 2; at_once++) {
		struct pending pending;
		uint64_t start = 7000 * MS, due = start + (at_once ? 0 : 100 * MS);

		pending_init(&pending, 100 * MS, 10, start, at_once);
		for (uint64_t attempt = 1; attempt <= 10; attempt++) {
			cr_assert_eq(pending.due_ns, due);
			cr_assert_eq(pending_due(&pending, due - 1), PENDING_WAIT);
			cr_assert_eq(pending_due(&pending, due), PENDING_SEND);
			due += attempt * 100 * MS;
		}
		cr_assert_eq(pending_due(&pending, due - 1), PENDING_WAIT);
		cr_assert_eq(pending_due(&pending, due), PENDING_TIMEOUT);
		cr_assert_eq(due - start, (at_once ? 5500 : 5600) * MS);
	}
}

static void take_all(struct pending *pending, uint64_t *total)
{
	struct held_run *run;

	while ((run = pending_take(pending, total)))
		free(run);
}

Test(pending, bounds)
{
	static const uint8_t bytes[65536] = {[20 + 12] = 0x50}; /* TCP behind 20 bytes of IP */
	struct virtio_net_hdr single = {0};
	struct virtio_net_hdr train = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				       .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
				       .gso_size = 1000,
				       .csum_start = 20};
	struct pending pending;
	uint64_t total = 0;

	pending_init(&pending, MS, 1, 0, true);
	for (int i = 0; i < PENDING_PACKETS_MAX; i++)
		cr_assert_eq(hold(&pending, &total, 0, &single, bytes, 60), 0);
	cr_assert_eq(hold(&pending, &total, 0, &single, bytes, 60), -ENOBUFS);
	cr_assert_eq(total, 60 * PENDING_PACKETS_MAX);
	take_all(&pending, &total);
	cr_assert_eq(total, 0);
	cr_assert_eq(pending.packets, 0);

	/* A train counts its segments. */
	cr_assert_eq(hold(&pending, &total, 0, &train, bytes, 60040), 0);
	cr_assert_eq(pending.packets, 60);
	cr_assert_eq(hold(&pending, &total, 0, &train, bytes, 60040), -ENOBUFS);
	cr_assert_eq(hold(&pending, &total, 0, &train, bytes, 40040), 0);
	take_all(&pending, &total);

	/* Bytes of one handshake, bytes of all. */
	for (unsigned i = 0; i < PENDING_BYTES_MAX / 65536; i++)
		cr_assert_eq(hold(&pending, &total, 0, &single, bytes, 65536), 0);
	cr_assert_eq(hold(&pending, &total, 0, &single, bytes, 1), -ENOBUFS);
	take_all(&pending, &total);
	total = PENDING_TOTAL_BYTES_MAX - 10;
	cr_assert_eq(hold(&pending, &total, 0, &single, bytes, 11), -ENOBUFS);
	cr_assert_eq(hold(&pending, &total, 0, &single, bytes, 10), 0);
	take_all(&pending, &total);
}

Test(pending, order_and_move)
{
	struct virtio_net_hdr vnet = {.csum_start = 20};
	struct pending from, to;
	uint64_t total = 0;
	struct held_run *run;

	pending_init(&from, MS, 1, 0, true);
	pending_init(&to, MS, 1, 0, true);
	pending_move(&from, &to);
	cr_assert_null(pending_take(&to, &total));
	for (uint8_t i = 0; i < 5; i++)
		cr_assert_eq(hold(&from, &total, i, &vnet, &i, 1), 0);
	pending_move(&from, &to);
	cr_assert_null(pending_take(&from, &total));
	cr_assert_eq(from.packets, 0);
	cr_assert_eq(hold(&from, &total, 9, &vnet, (uint8_t *)"x", 1), 0);
	cr_assert_eq(hold(&to, &total, 5, &vnet, (uint8_t *)"\x05", 1), 0);
	for (uint8_t i = 0; i < 6; i++) {
		run = pending_take(&to, &total);
		cr_assert_eq(run->queue, i);
		cr_assert_eq(run->bytes[0], i);
		cr_assert_eq(run->vnet.csum_start, 20);
		free(run);
	}
	cr_assert_null(pending_take(&to, &total));
	take_all(&from, &total);
	cr_assert_eq(total, 0);
}

Test(pending, runs_that_another_gateway_may_take)
{
	static const struct addr one = {{1}}, two = {{2}}, three = {{3}};
	const struct addr both[] = {one, two};
	struct waiting_run runs[] = {
		{.bytes = (const uint8_t *)"a", .length = 1, .gateway_count = 2, .gateways = both},
		{.bytes = (const uint8_t *)"b", .length = 1},
		{.bytes = (const uint8_t *)"c", .length = 1, .gateway_count = 1, .gateways = &two},
	};
	struct pending pending;
	struct held_run *run;
	uint64_t total = 0;
	char order[8] = "";

	pending_init(&pending, 1, 1, 0, false);
	for (size_t i = 0; i < 3; i++)
		cr_assert_eq(pending_hold(&pending, &total, 0, &runs[i]), 0);
	cr_assert_null(pending_take_for(&pending, &total, &three));
	while ((run = pending_take_for(&pending, &total, &two))) {
		strncat(order, (const char *)run->bytes, 1);
		free(run);
	}
	cr_assert_str_eq(order, "ac");
	cr_assert_null(pending_take_for(&pending, &total, &one));
	cr_assert_eq(pending_hold(&pending, &total, 0, &runs[0]), 0,
		     "the end of the list is right");
	cr_assert_eq(total, 2);
	while ((run = pending_take(&pending, &total))) {
		strncat(order, (const char *)run->bytes, 1);
		free(run);
	}
	cr_assert_str_eq(order, "acba");
	cr_assert_eq(pending.packets, 0);
	cr_assert_eq(total, 0);
	pending_release(&pending);
}
