/*
 * refusals_test.c - flows and sends refused last: which stay, and what a reader sees meanwhile.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "counters.h"
#include "refusals.h"

TestSuite(refusals, .timeout = 60);

/* Every byte that tells flows apart says which one it is. */
static struct flow flow_of(uint32_t number)
{
	struct flow flow = {.local_port = (uint16_t)number, .remote_port = (uint16_t)number};

	memcpy(flow.local.bytes, &number, sizeof(number));
	memcpy(flow.remote.bytes + sizeof(flow.remote.bytes) - sizeof(number), &number,
	       sizeof(number));
	return flow;
}

static void note_flow(struct refusals *r, uint32_t number, enum direction direction,
		      enum drop reason, uint64_t now_ns)
{
	struct refusal refusal = {.times = 1,
				  .last_ns = now_ns,
				  .flow = flow_of(number),
				  .direction = direction,
				  .reason = reason};

	refusals_note(r, &refusal, sizeof(refusal));
}

static void note(struct refusals *r, uint32_t number, uint64_t now_ns)
{
	note_flow(r, number, number % 2 ? INBOUND : OUTBOUND, DROP_FIREWALL_NO_RULE, now_ns);
}

static void note_send(struct refusals *r, uint16_t port, uint32_t error, uint64_t times,
		      uint64_t now_ns)
{
	struct refused_send refused = {.times = times,
				       .last_ns = now_ns,
				       .to = {addr_from_v4(0xc0000202), port},
				       .error = error};

	refusals_note(r, &refused, sizeof(refused));
}

static uint32_t read_flows(struct refusals *r, struct refusal list[REFUSALS_MAX])
{
	return refusals_read(r, list, sizeof(*list));
}

static const struct refusal *find(const struct refusal *list, uint32_t count, uint32_t number)
{
	struct flow flow = flow_of(number);

	for (uint32_t i = 0; i < count; i++)
		if (memcmp(&list[i].flow, &flow, sizeof(flow)) == 0)
			return &list[i];
	return NULL;
}

Test(refusals, the_one_refused_longest_ago_makes_room)
{
	struct refusal list[REFUSALS_MAX];
	struct refusals r = {0};

	for (uint32_t i = 0; i < REFUSALS_MAX; i++)
		note(&r, i, 100 + i);
	note(&r, 0, 200); /* so 1 is the oldest */
	note(&r, 99, 201);
	cr_assert_eq(read_flows(&r, list), REFUSALS_MAX);
	cr_expect_null(find(list, REFUSALS_MAX, 1));
	const struct refusal *first = find(list, REFUSALS_MAX, 0);
	cr_assert(first && find(list, REFUSALS_MAX, 2) && find(list, REFUSALS_MAX, 99));
	cr_expect_eq(first->times, 2);
	cr_expect_eq(first->last_ns, 200);
	cr_expect_eq(first->direction, OUTBOUND);
}

Test(refusals, direction_and_reason_tell_entries_apart)
{
	struct refusal list[REFUSALS_MAX];
	struct refusals r = {0};

	note_flow(&r, 1, INBOUND, DROP_FIREWALL_NO_RULE, 1);
	note_flow(&r, 1, OUTBOUND, DROP_FIREWALL_NO_RULE, 2);
	note_flow(&r, 1, OUTBOUND, DROP_TUN_NO_ROUTE, 3);
	note_flow(&r, 1, OUTBOUND, DROP_TUN_NO_ROUTE, 4);
	cr_assert_eq(read_flows(&r, list), 3);
	cr_expect_eq(list[2].times, 2);
}

Test(refusals, sends_are_told_apart_by_address_and_error)
{
	struct refused_send list[REFUSALS_MAX];
	struct refusals r = {0};

	note_send(&r, 4242, EPERM, 14, 1);
	note_send(&r, 4242, ENETUNREACH, 1, 2);
	note_send(&r, 4243, EPERM, 1, 3);
	note_send(&r, 4242, EPERM, 64, 4);
	cr_assert_eq(refusals_read(&r, list, sizeof(*list)), 3);
	cr_expect_eq(list[0].times, 78, "datagrams, not sends");
	cr_expect_eq(list[0].last_ns, 4);
	cr_expect_eq(list[0].error, EPERM);
	cr_expect_eq(list[1].error, ENETUNREACH);
	cr_expect_eq(list[2].to.port, 4243);
	for (uint16_t i = 0; i < REFUSALS_MAX - 1; i++) /* the first is the newest of the three */
		note_send(&r, i, EPERM, 1, 5);
	cr_assert_eq(refusals_read(&r, list, sizeof(*list)), REFUSALS_MAX);
	cr_expect_eq(list[0].times, 78);
	cr_expect_eq(list[0].to.port, 4242);
}

static _Atomic bool ended;

static void *write_on(void *argument)
{
	for (uint32_t i = 0; !atomic_load(&ended); i++)
		note(argument, i, i + 1);
	return NULL;
}

/* A worker that puts in new flows all the time, and one that looks: never half of each. */
Test(refusals, a_reader_sees_whole_entries)
{
	struct refusal list[REFUSALS_MAX];
	static struct refusals r;
	pthread_t writer;
	uint32_t seen = 0;

	cr_assert_eq(pthread_create(&writer, NULL, write_on, &r), 0);
	for (int i = 0; i < 20000 || seen == 0; i++) {
		uint32_t count = read_flows(&r, list);

		for (uint32_t j = 0; j < count; j++) {
			uint32_t number;

			memcpy(&number, list[j].flow.local.bytes, sizeof(number));
			struct flow flow = flow_of(number);
			cr_assert_arr_eq(&list[j].flow, &flow, sizeof(flow));
			cr_assert_eq(list[j].last_ns, number + 1u);
			cr_assert_eq(list[j].direction, number % 2 ? INBOUND : OUTBOUND);
		}
		seen += count;
	}
	atomic_store(&ended, true);
	pthread_join(writer, NULL);
}
