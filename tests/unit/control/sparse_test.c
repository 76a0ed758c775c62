/*
 * sparse_test.c - the program that chooses the tun's queue, run by the kernel on packets of ours.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "system/sparse.h"

TestSuite(sparse, .timeout = 60);

#define SECOND     1000000000
#define ETHERNET   14 /* bytes that the kernel's test runs want in front; at most a page in all */
#define PACKET_MAX 3000

/* Nobody's machine is slow enough to leave these windows by accident. */
static const struct sparse_share patient = {.packets = 4,
					    .bytes = 1000,
					    .large = 700,
					    .window_ns = 2 * SECOND,
					    .silence_ns = SECOND,
					    .settle_ns = 0,
					    .forced_ns = 60ll * SECOND};

static int program_of(const struct sparse_share *share)
{
	/* one under which the flows of these tests have places of their own */
	static const uint64_t key[2] = {0x0123456789abcdef, 0xfedcba9876543210};
	int program = sparse_program_load(share, key);

	if (program == -EPERM)
		cr_skip("no right to load eBPF programs");
	cr_assert_geq(program, 0, "%s", strerror(-program));
	return program;
}

/* The queue that the program chooses for bytes of a packet. */
static int queue_of_bytes(int program, const uint8_t *packet, uint32_t length)
{
	uint8_t frame[ETHERNET + PACKET_MAX] = {[12] = 0x88, [13] = 0xb5}; /* no IP to look into */
	union bpf_attr run = {0};

	memcpy(frame + ETHERNET, packet, length);
	run.test.prog_fd = (uint32_t)program;
	run.test.data_in = (uintptr_t)frame;
	run.test.data_size_in = ETHERNET + length;
	cr_assert_eq(syscall(SYS_bpf, BPF_PROG_TEST_RUN, &run, sizeof(run)), 0, "%s",
		     strerror(errno));
	return (int)run.test.retval;
}

struct packet {
	int version, protocol;
	uint8_t from, to; /* last byte of the address */
	uint16_t source_port, destination_port;
	uint16_t fragment; /* offset and flags, host order */
	uint32_t length, options;
};

static int queue_of(int program, struct packet p)
{
	uint8_t bytes[PACKET_MAX] = {0};
	uint32_t header = p.version == 4 ? 20 + p.options : 40;
	uint16_t ports[2] = {htons(p.source_port), htons(p.destination_port)};

	if (p.version == 4) {
		bytes[0] = (uint8_t)(0x40 | header / 4);
		bytes[6] = (uint8_t)(p.fragment >> 8);
		bytes[7] = (uint8_t)p.fragment;
		bytes[9] = (uint8_t)p.protocol;
		bytes[12] = bytes[16] = 10;
		bytes[15] = p.from;
		bytes[19] = p.to;
	} else {
		bytes[0] = 0x60;
		bytes[6] = (uint8_t)p.protocol;
		bytes[8] = bytes[24] = 0xfd;
		bytes[23] = p.from;
		bytes[39] = p.to;
	}
	memcpy(bytes + header, ports, sizeof(ports));
	return queue_of_bytes(program, bytes, p.length ? p.length : 100);
}

static const struct packet udp4 = {4, IPPROTO_UDP, 1, 2, 5000, 53, 0, 0, 0};
static const struct packet udp6 = {6, IPPROTO_UDP, 1, 2, 5000, 53, 0, 0, 0};

/* More than the share: from now on bulk. */
static void make_bulk(int program, struct packet p)
{
	for (int i = 0; i < patient.packets; i++)
		cr_assert_eq(queue_of(program, p), SPARSE_QUEUE, "packet %d", i);
	for (int i = 0; i < 300; i++)
		cr_assert_eq(queue_of(program, p), BULK_QUEUE, "packet %d more", i);
}

Test(sparse, a_flow_is_sparse_until_it_has_sent_its_share_of_packets)
{
	int program = program_of(&patient);

	make_bulk(program, udp4);
	make_bulk(program, udp6);
	close(program);
}

Test(sparse, or_of_bytes)
{
	int program = program_of(&patient);
	struct packet large = udp4;

	large.length = 490;
	cr_expect_eq(queue_of(program, large), SPARSE_QUEUE);
	cr_expect_eq(queue_of(program, large), SPARSE_QUEUE);
	large.length = 21;
	cr_expect_eq(queue_of(program, large), BULK_QUEUE);
	large.source_port++;
	large.length = 1001; /* alone too large for a sparse flow */
	cr_expect_eq(queue_of(program, large), BULK_QUEUE);
	close(program);
}

Test(sparse, a_large_packet_makes_it_bulk_unless_it_would_overtake)
{
	struct sparse_share share = patient;
	struct packet large = udp4;

	large.length = 701;
	int program = program_of(&share);
	cr_expect_eq(queue_of(program, large), BULK_QUEUE, "the first of all");
	large.source_port++;
	large.length = 700;
	cr_expect_eq(queue_of(program, large), SPARSE_QUEUE);
	close(program);

	share.settle_ns = 2 * SECOND;
	program = program_of(&share);
	large.length = 100;
	cr_expect_eq(queue_of(program, large), SPARSE_QUEUE);
	large.length = 701;
	for (int i = 0; i < 5; i++)
		cr_expect_eq(queue_of(program, large), SPARSE_QUEUE, "%d", i);
	cr_expect_eq(queue_of(program, large), BULK_QUEUE, "far beyond its share");
	close(program);
}

static void expect_others(struct packet flow)
{
	int program = program_of(&patient);
	struct packet others[7];

	for (uint32_t i = 0; i < 7; i++)
		others[i] = flow;
	others[0].source_port++;
	others[1].destination_port++;
	others[2].protocol = flow.protocol == IPPROTO_UDP ? IPPROTO_TCP : IPPROTO_UDP;
	others[3].from++;
	others[4].to += 7;
	others[5].protocol = IPPROTO_ICMP;
	others[6].version = flow.version == 4 ? 6 : 4;
	make_bulk(program, flow);
	for (uint32_t i = 0; i < 7; i++)
		cr_expect_eq(queue_of(program, others[i]), SPARSE_QUEUE, "flow %u", i);
	close(program);
}

Test(sparse, other_flows_are_none_of_its_business)
{
	struct packet tcp = udp4;

	tcp.protocol = IPPROTO_TCP;
	expect_others(udp4);
	expect_others(udp6);
	expect_others(tcp);
}

Test(sparse, ports_are_found_behind_options_and_not_in_fragments)
{
	struct packet with = udp4, first = udp4, later = udp4;
	int program = program_of(&patient);

	with.options = 12;
	make_bulk(program, udp4);
	cr_expect_eq(queue_of(program, with), BULK_QUEUE, "the same flow");
	first.fragment = 0x2000; /* has ports, the next have none: all go by addresses */
	first.source_port = 9;
	later.fragment = 0x00b9;
	later.source_port = 77;
	make_bulk(program, first);
	cr_expect_eq(queue_of(program, later), BULK_QUEUE);
	close(program);
}

Test(sparse, it_changes_when_its_last_packet_has_had_time_or_far_beyond_its_share)
{
	struct sparse_share share = patient;
	struct packet large = udp4;

	share.settle_ns = 2 * SECOND;
	int program = program_of(&share);
	for (int i = 0; i < 4 * share.packets; i++)
		cr_assert_eq(queue_of(program, udp4), SPARSE_QUEUE, "packet %d", i);
	cr_expect_eq(queue_of(program, udp4), SPARSE_QUEUE);
	cr_expect_eq(queue_of(program, udp4), BULK_QUEUE);
	large.source_port++;
	cr_expect_eq(queue_of(program, large), SPARSE_QUEUE);
	large.length = 1900; /* large, too */
	cr_expect_eq(queue_of(program, large), SPARSE_QUEUE);
	cr_expect_eq(queue_of(program, large), SPARSE_QUEUE);
	cr_expect_eq(queue_of(program, large), BULK_QUEUE);
	large.source_port++;
	cr_expect_eq(queue_of(program, large), BULK_QUEUE, "it has no packet to overtake");
	close(program);
}

static void silence(void)
{
	const struct timespec longer = {.tv_sec = 1, .tv_nsec = 100000000};

	nanosleep(&longer, NULL);
}

Test(sparse, behind_a_silence_who_sent_little_is_sparse_again)
{
	struct packet quiet = udp4;
	int program = program_of(&patient);

	quiet.source_port++;
	make_bulk(program, udp4);
	for (int i = 0; i < patient.packets; i++)
		cr_expect_eq(queue_of(program, quiet), SPARSE_QUEUE);
	silence();
	cr_expect_eq(queue_of(program, udp4), BULK_QUEUE, "its burst was large");
	for (int i = 0; i < patient.packets; i++)
		cr_expect_eq(queue_of(program, quiet), SPARSE_QUEUE, "a share for each burst");
	silence();
	make_bulk(program, udp4);
	close(program);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* Else each of its large bursts between small ones would overtake itself. Who changed behind a
 * moment of silence, as the other tests have it, is not held. */
Test(sparse, who_was_forced_stays_bulk_for_a_while)
{
	struct sparse_share share = patient;
	int64_t again;

	share.settle_ns = 2 * SECOND;
	share.forced_ns = 3ll * SECOND;
	int program = program_of(&share);
	for (int i = 0; i <= 4 * share.packets; i++)
		cr_assert_eq(queue_of(program, udp4), SPARSE_QUEUE, "packet %d", i);
	cr_expect_eq(queue_of(program, udp4), BULK_QUEUE, "forced");
	silence();
	again = now_ns();
	for (int i = 0; i < 6 * share.packets; i++)
		cr_assert_eq(queue_of(program, udp4), BULK_QUEUE, "forced again, %d", i);
	silence();
	cr_expect_eq(queue_of(program, udp4), BULK_QUEUE);
	silence();
	int queue = queue_of(program, udp4);
	if (now_ns() < again + share.forced_ns) /* an idle enough machine */
		cr_expect_eq(queue, BULK_QUEUE, "it sent little, but much not long ago");
	silence();
	cr_expect_eq(queue_of(program, udp4), SPARSE_QUEUE);
	close(program);
}

Test(sparse, much_in_few_packets_is_much_too)
{
	struct packet large = udp4;
	int program = program_of(&patient);

	large.length = 1001;
	cr_expect_eq(queue_of(program, large), BULK_QUEUE);
	for (int i = 0; i <= patient.packets; i++)
		cr_expect_eq(queue_of(program, udp6),
			     i < patient.packets ? SPARSE_QUEUE : BULK_QUEUE);
	silence();
	cr_expect_eq(queue_of(program, udp4), BULK_QUEUE);
	cr_expect_eq(queue_of(program, udp6), BULK_QUEUE);
	close(program);
}

Test(sparse, the_burst_of_a_bulk_flow_is_counted_as_a_whole)
{
	struct sparse_share share = patient;
	struct packet large = udp4;

	share.window_ns = 0;
	int program = program_of(&share);
	large.length = 701;
	cr_expect_eq(queue_of(program, large), BULK_QUEUE);
	for (int i = 0; i < share.packets; i++)
		cr_expect_eq(queue_of(program, udp4), BULK_QUEUE);
	silence();
	cr_expect_eq(queue_of(program, udp4), BULK_QUEUE);
	silence();
	cr_expect_eq(queue_of(program, udp4), SPARSE_QUEUE);
	close(program);
}

Test(sparse, a_window_brings_a_new_share_to_who_is_sparse)
{
	struct sparse_share share = patient;

	share.window_ns = 0;
	int program = program_of(&share);
	for (int i = 0; i < 100; i++)
		cr_expect_eq(queue_of(program, udp4), SPARSE_QUEUE, "packet %d", i);
	close(program);
}

Test(sparse, what_is_no_packet_is_bulk)
{
	int program = program_of(&patient);
	uint8_t bytes[64] = {0x50};

	cr_expect_eq(queue_of_bytes(program, bytes, 64), BULK_QUEUE);
	bytes[0] = 0x45;
	bytes[9] = IPPROTO_UDP;
	for (uint32_t length = 1; length < 24; length++)
		cr_expect_eq(queue_of_bytes(program, bytes, length), BULK_QUEUE, "%u", length);
	bytes[0] = 0x60;
	bytes[6] = IPPROTO_UDP;
	for (uint32_t length = 1; length < 44; length++)
		cr_expect_eq(queue_of_bytes(program, bytes, length), BULK_QUEUE, "%u", length);
	close(program);
}
