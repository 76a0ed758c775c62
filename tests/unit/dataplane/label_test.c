/*
 * Unit tests of dataplane/lookup/label.c: the hash is SipHash-1-3, packets of a flow share a label,
 * labels spread over any number of workers.
 */
#include <criterion/criterion.h>

#include "lookup/label.h"
#include "packets.h"
#include "random.h"

static struct inner parsed(const struct packet *p, enum direction direction)
{
	uint8_t bytes[2000];
	struct inner inner;

	cr_assert_eq(inner_parse(bytes, packet_build(bytes, p), direction, &inner), DROP_NONE);
	return inner;
}

Test(label, is_siphash_1_3_of_the_flow)
{
	/* computed by CPython 3.11 with PYTHONHASHSEED=0, which hashes bytes with it and key 0 */
	static const struct {
		uint8_t first, step;
		uint16_t label;
	} rows[] = {{0, 1, 249}, {100, 1, 136}, {0, 0, 74}, {255, 0, 98}};
	static const struct label_key zero = {.labels = 255};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct inner inner = {.plain_ip = true};
		uint8_t *bytes = (uint8_t *)&inner.flow;

		for (size_t k = 0; k < sizeof(inner.flow); k++)
			bytes[k] = (uint8_t)(rows[i].first + k * rows[i].step);
		cr_expect_eq(label_of(&zero, &inner), rows[i].label, "row %zu", i);
	}
}

Test(label, fragments_of_a_datagram_share_one)
{
	static const struct label_key key = {{1, 2}, FLOW_LABELS_MAX};
	struct packet p = {.version = 4,
			   .protocol = IPPROTO_UDP,
			   .source_port = 5000,
			   .dest_port = 53,
			   .payload_bytes = 800};
	struct inner whole = parsed(&p, OUTBOUND), first, later;

	p.fragment = 0x2000;
	first = parsed(&p, OUTBOUND);
	p.fragment = 100;
	later = parsed(&p, OUTBOUND);
	cr_expect_eq(label_of(&key, &first), label_of(&key, &later));
	cr_expect_neq(label_of(&key, &first), label_of(&key, &whole), "ports count in whole ones");
}

/* IP options and extension headers stand in some packets of a flow and not in others. */
Test(label, what_stands_between_ip_and_ports_is_not_the_flow)
{
	static const struct label_key key = {{1, 2}, FLOW_LABELS_MAX};
	static const uint8_t no_operations[8] = {1, 1, 1, 1, 1, 1, 1, 0};
	static const uint8_t padding[8] = {IPPROTO_UDP, 0, 1, 4};
	struct packet p = {
		.version = 4, .protocol = IPPROTO_UDP, .source_port = 5000, .dest_port = 53};
	struct inner plain = parsed(&p, OUTBOUND), other;

	p.ip_options = no_operations;
	p.ip_options_bytes = sizeof(no_operations);
	other = parsed(&p, OUTBOUND);
	cr_expect_eq(label_of(&key, &other), label_of(&key, &plain));

	p = (struct packet){
		.version = 6, .protocol = IPPROTO_UDP, .source_port = 5000, .dest_port = 53};
	plain = parsed(&p, OUTBOUND);
	p.extension = padding;
	p.extension_bytes = sizeof(padding);
	p.extension_first = IPPROTO_DSTOPTS;
	other = parsed(&p, OUTBOUND);
	cr_expect_eq(label_of(&key, &other), label_of(&key, &plain));
}

Test(label, fragments_of_a_datagram_over_ipv6)
{
	static const struct label_key key = {{1, 2}, FLOW_LABELS_MAX};
	uint8_t header[8] = {IPPROTO_UDP};
	struct packet p = {.version = 6,
			   .protocol = IPPROTO_UDP,
			   .source_port = 5000,
			   .dest_port = 53,
			   .payload_bytes = 80,
			   .extension = header,
			   .extension_bytes = sizeof(header),
			   .extension_first = IPPROTO_FRAGMENT};
	struct inner whole = parsed(&p, OUTBOUND), first, later, plain;

	header[3] = 1; /* more follow */
	first = parsed(&p, OUTBOUND);
	header[2] = 1;
	later = parsed(&p, OUTBOUND);
	header[3] = 0; /* none does */
	cr_expect_eq(label_of(&key, &first), label_of(&key, &later));
	later = parsed(&p, OUTBOUND);
	cr_expect_eq(label_of(&key, &first), label_of(&key, &later));
	cr_expect_neq(label_of(&key, &first), label_of(&key, &whole));
	p.extension_bytes = 0;
	plain = parsed(&p, OUTBOUND);
	cr_expect_eq(label_of(&key, &whole), label_of(&key, &plain), "a fragment that is all");
}

/* A sender of n workers and a receiver of as many. */
Test(label, flows_spread_evenly_over_any_number_of_workers)
{
	static const uint32_t queues[] = {2, 3, 4, 7, 16, 48, 64};
	struct label_key key;
	uint64_t seed = random_start();

	for (int i = 0; i < 2; i++)
		key.words[i] = random_u64();
	for (size_t q = 0; q < sizeof(queues) / sizeof(queues[0]); q++) {
		uint32_t got[QUEUES_MAX] = {0}, n = queues[q], mean = 64000 / n;
		key.labels = n;

		for (uint32_t i = 0; i < 64000; i++) {
			struct inner inner = {.plain_ip = true};
			inner.flow.local_port = (uint16_t)i;
			uint16_t label = label_of(&key, &inner);
			cr_assert(label >= 1 && label <= n);
			got[label_owner(0xfff00000, label, n)]++;
		}
		for (uint32_t i = 0; i < n; i++)
			cr_expect(got[i] > mean * 3 / 4 && got[i] < mean * 4 / 3,
				  "%u workers: %u has %u of %u (seed %llu)", n, i, got[i], mean,
				  (unsigned long long)seed);
	}
}
