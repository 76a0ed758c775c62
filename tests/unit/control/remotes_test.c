/* remotes_test.c - the cache by owner and the order of remotes (PROTOCOL.md 6.7, 6.9). */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "addr_text.h"
#include "peers/remotes.h"

TestSuite(remotes);

static struct endpoint at(const char *text)
{
	struct endpoint e;

	cr_assert_eq(endpoint_parse(text, &e), 0, "%s", text);
	return e;
}

static const struct addr host = {{[15] = 1}}, lighthouse = {{[15] = 2}}, other = {{[15] = 3}};

static void expect(const struct remotes *remotes, const char *const *texts)
{
	uint32_t count = 0;

	for (; texts[count]; count++) {
		char text[ENDPOINT_TEXT_MAX];

		cr_assert_lt(count, remotes->count, "%s is missing", texts[count]);
		cr_assert_str_eq(endpoint_format(&remotes->list[count].to, text), texts[count]);
	}
	cr_assert_eq(remotes->count, count);
}
#define EXPECT(remotes, ...) expect(remotes, (const char *const[]){__VA_ARGS__, NULL})

Test(remotes, order)
{
	struct prefix preferred[2];
	struct remotes_order order = {preferred, 2};
	struct remotes *remotes = remotes_create(&order);
	static const char *const in[] = {
		"192.168.1.1:1", "10.0.0.1:2",   "10.0.0.1:1",    "172.32.0.1:1", "8.8.8.8:1",
		"172.31.0.1:1",  "[fd00::1]:1",  "[2001::1]:1",   "1.1.1.1:1",    "198.51.100.9:1",
		"10.77.0.1:1",   "10.0.0.1:256", "192.168.1.1:1",
	};

	cr_assert_eq(prefix_parse("10.77.0.0/16", &preferred[0]), 0);
	cr_assert_eq(prefix_parse("198.51.100.0/24", &preferred[1]), 0);
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
		struct endpoint to = at(in[i]);
		cr_assert_eq(remotes_add(remotes, &to), 0);
	}
	EXPECT(remotes, "198.51.100.9:1", "10.77.0.1:1", "[2001::1]:1", "[fd00::1]:1", "1.1.1.1:1",
	       "8.8.8.8:1", "172.32.0.1:1", "10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:256",
	       "172.31.0.1:1", "192.168.1.1:1");
	remotes_free(remotes);
}

static int report(struct remotes *remotes, const struct addr *owner, const char *v4, const char *v6)
{
	struct endpoint four = v4 ? at(v4) : (struct endpoint){0};
	struct endpoint six = v6 ? at(v6) : (struct endpoint){0};
	struct remotes_report words = {.v4 = &four, .v6 = &six, .v4_count = !!v4, .v6_count = !!v6};

	return remotes_report(remotes, owner, &words);
}

Test(remotes, owners)
{
	struct remotes *remotes = remotes_create(NULL);
	struct endpoint fixed = at("192.0.2.1:1"), learned = at("192.0.2.2:1"),
			moved = at("192.0.2.3:1"), six = at("[2001::9]:1");
	uint32_t changes;

	remotes_add(remotes, &fixed);
	remotes_learn(remotes, &host, &learned);
	report(remotes, &lighthouse, "192.0.2.10:1", NULL);
	report(remotes, &other, "192.0.2.11:1", "[2001::1]:1");
	report(remotes, &host, "192.0.2.2:1", NULL);
	EXPECT(remotes, "[2001::1]:1", "192.0.2.1:1", "192.0.2.2:1", "192.0.2.10:1",
	       "192.0.2.11:1");

	/* a newer word replaces the older one of its owner alone; the same again changes nothing */
	report(remotes, &lighthouse, "192.0.2.12:1", NULL);
	changes = remotes->changes;
	report(remotes, &lighthouse, "192.0.2.12:1", NULL);
	cr_assert_eq(remotes->changes, changes);
	remotes_learn(remotes, &host, &moved);
	remotes_learn(remotes, &host, &six);
	report(remotes, &host, NULL, NULL);
	cr_assert_neq(remotes->changes, changes);
	EXPECT(remotes, "[2001::1]:1", "[2001::9]:1", "192.0.2.1:1", "192.0.2.3:1", "192.0.2.11:1",
	       "192.0.2.12:1");
	cr_assert(endpoint_equal(&remotes_of(remotes, &host)->learned[0], &moved));
	cr_assert(endpoint_equal(&remotes_of(remotes, &host)->learned[1], &six));
	cr_assert_null(remotes_of(NULL, &host));

	report(remotes, &lighthouse, NULL, NULL);
	report(remotes, &other, NULL, NULL);
	EXPECT(remotes, "[2001::9]:1", "192.0.2.1:1", "192.0.2.3:1");
	remotes_free(remotes);
}

Test(remotes, bounds)
{
	struct remotes *remotes = remotes_create(NULL);
	struct endpoint v4[40], v6[40];
	struct addr relays[40], owner = host;
	struct remotes_report words = {v4, v6, relays, 40, 40, 40};
	struct endpoint named = at("192.168.255.253:65535"), early = at("192.168.255.254:65535");
	struct endpoint fixed = at("192.168.255.255:65535"); /* the last in order */

	for (unsigned i = 0; i < 40; i++) {
		v4[i] = (struct endpoint){addr_from_v4(0x01000000 + i), 1};
		v6[i] = (struct endpoint){{{0x20, 1, [15] = (uint8_t)i}}, 1};
		relays[i] = addr_from_v4(i + 1);
	}
	cr_assert_eq(remotes_resolved(remotes, &named, 1), 0);
	remotes_add(remotes, &early);
	cr_assert_eq(remotes_report(remotes, &host, &words), 0);
	cr_assert_eq(remotes->count, 2 + 2 * REPORTED_MAX);
	cr_assert_eq(remotes_of(remotes, &host)->relay_count, REPORTED_MAX);
	/* many owners, all different: the list is full, the configuration is still in it */
	for (unsigned i = 0; i < 10; i++) {
		owner.bytes[0] = (uint8_t)(i + 1);
		for (unsigned j = 0; j < 40; j++)
			v4[j].port = v6[j].port = (uint16_t)(i + 2);
		remotes_report(remotes, &owner, &words);
	}
	cr_assert_eq(remotes->count, REMOTES_MAX);
	cr_assert(endpoint_equal(&remotes->list[REMOTES_MAX - 1].to, &early));
	cr_assert(endpoint_equal(&remotes->list[REMOTES_MAX - 2].to, &named), "its names, too");
	remotes_add(remotes, &fixed);
	cr_assert_eq(remotes->count, REMOTES_MAX);
	cr_assert(endpoint_equal(&remotes->list[REMOTES_MAX - 1].to, &fixed));
	for (unsigned i = 0; i < 200; i++) {
		fixed.port = (uint16_t)(i + 1);
		remotes_add(remotes, &fixed);
	}
	cr_assert_eq(remotes_add(remotes, &v4[0]), -ENOBUFS);
	remotes_free(remotes);
}

/* Of all owners, in the order of their addresses, each once; of too many the first ones. */
Test(remotes, relays_of_several_owners)
{
	struct remotes *remotes = remotes_create(NULL);
	struct addr one[] = {addr_from_v4(5), addr_from_v4(1)};
	struct addr two[] = {addr_from_v4(3), addr_from_v4(5), addr_from_v4(1), addr_from_v4(4)};
	struct remotes_report first = {.relays = one, .relay_count = 2};
	struct remotes_report second = {.relays = two, .relay_count = 4};
	static const uint8_t sorted[] = {1, 3, 4, 5};
	struct addr got[5] = {0};

	cr_assert_eq(remotes_report(remotes, &lighthouse, &first), 0);
	cr_assert_eq(remotes_report(remotes, &other, &second), 0);
	for (uint32_t most = 1; most <= 4; most++) {
		got[most] = host; /* the list ends before it */
		cr_assert_eq(remotes_relays(remotes, got, most), most);
		for (uint32_t i = 0; i < most; i++)
			cr_expect_eq(addr_v4(&got[i]), sorted[i], "%u of %u", i, most);
		cr_expect(addr_equal(&got[most], &host));
	}
	cr_assert_eq(remotes_relays(remotes, got, 5), 4);
	cr_assert_eq(remotes_relays(NULL, got, 5), 0);
	remotes_free(remotes);
}

Test(remotes, blocked)
{
	struct remotes *remotes = remotes_create(NULL);
	struct endpoint a = at("192.0.2.1:1"), b = at("192.0.2.2:1"), foreign = at("192.0.2.9:9");

	cr_assert_eq(remotes_usable(NULL), 0);
	remotes_add(remotes, &a);
	remotes_add(remotes, &b);
	cr_assert_eq(remotes_block(remotes, &a), 0);
	cr_assert_eq(remotes_block(remotes, &foreign), 0);
	cr_assert_eq(remotes_usable(remotes), 1);
	/* it stays so when somebody reports the address again */
	report(remotes, &lighthouse, "192.0.2.1:1", NULL);
	report(remotes, &other, "192.0.2.9:9", NULL);
	cr_assert_eq(remotes_usable(remotes), 1);
	remotes_unblock(remotes);
	cr_assert_eq(remotes_usable(remotes), 3);
	for (uint16_t i = 0; i < REMOTES_BLOCKED_MAX; i++) {
		foreign.port = (uint16_t)(100 + i);
		cr_assert_eq(remotes_block(remotes, &foreign), 0);
	}
	cr_assert_eq(remotes_block(remotes, &foreign), 0, "is blocked already");
	cr_assert_eq(remotes_block(remotes, &a), -ENOBUFS);
	remotes_free(remotes);
}

static bool not_seven(const void *context, const struct endpoint *at)
{
	return at->port != *(const uint16_t *)context;
}

/* What a reload does to a list: each owner by itself, addresses that may not be, another order. */
Test(remotes, reload)
{
	struct prefix preferred;
	struct remotes_order order = {&preferred, 0};
	struct remotes *remotes = remotes_create(&order);
	struct endpoint said[] = {at("192.0.2.1:7"), at("192.0.2.2:8")};
	struct endpoint said6[] = {at("[2001:db8::1]:7"), at("[2001:db8::2]:8")};
	struct endpoint given = at("198.51.100.1:9"), heard = at("203.0.113.1:7");
	struct remotes_report report = {.v4 = said, .v6 = said6, .v4_count = 2, .v6_count = 2};
	static const struct addr configuration;
	uint16_t seven = 7, none = 0;

	cr_assert_eq(remotes_add(remotes, &given), 0);
	cr_assert_eq(remotes_learn(remotes, &host, &heard), 0);
	cr_assert_eq(remotes_report(remotes, &lighthouse, &report), 0);
	cr_assert_eq(remotes->count, 6);
	cr_assert_eq(prefix_parse("198.51.100.0/24", &preferred), 0);
	order.preferred_count = 1;
	remotes_retain(remotes, not_seven, &none);
	cr_assert_eq(remotes->count, 6);
	cr_assert(endpoint_equal(&remotes->list[0].to, &given));
	cr_assert(remotes_is_preferred(remotes, &given.addr));
	remotes_retain(remotes, not_seven, &seven);
	EXPECT(remotes, "198.51.100.1:9", "[2001:db8::2]:8", "192.0.2.2:8");
	cr_assert_eq(remotes_of(remotes, &lighthouse)->v4_count, 1);
	cr_assert_eq(remotes_of(remotes, &lighthouse)->v6_count, 1);
	remotes_forget(remotes, &configuration);
	EXPECT(remotes, "[2001:db8::2]:8", "192.0.2.2:8");
	remotes_forget(remotes, &other);
	remotes_forget(remotes, &lighthouse);
	cr_assert_eq(remotes->count, 0);
	cr_assert_eq(remotes_usable(remotes), 0);
	remotes_free(remotes);
}

/* What `private` means to listen.send_recv_error and accept_recv_error. */
Test(remotes, private_addresses)
{
	static const char *const yes[] = {"10.0.0.1:1",      "172.16.0.1:1", "172.31.255.1:1",
					  "192.168.255.1:1", "[fc00::1]:1",  "[fdff::1]:1"};
	static const char *const no[] = {"11.0.0.1:1",    "172.32.0.1:1", "192.169.0.1:1",
					 "169.254.0.1:1", "[fe80::1]:1",  "[2001:db8::1]:1"};

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		struct endpoint in = at(yes[i]), out = at(no[i]);

		cr_assert(remotes_is_private(&in.addr), "%s", yes[i]);
		cr_assert(!remotes_is_private(&out.addr), "%s", no[i]);
	}
}
