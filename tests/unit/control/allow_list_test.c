/* allow_list_test.c - PROTOCOL.md 6.8. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "addr_text.h"
#include "peers/allow_list.h"

TestSuite(allow_list);

#define CASE_RULES 6

struct row {
	const char *prefix;
	bool allow;
};

static struct addr addr_of(const char *text)
{
	struct addr addr;

	cr_assert_eq(addr_parse(text, &addr), 0, "%s", text);
	return addr;
}

static int make(struct allow_list *list, struct allow_rule rules[CASE_RULES],
		const struct row *rows)
{
	bool v4;

	*list = (struct allow_list){.rules = rules};
	for (; list->count < CASE_RULES && rows[list->count].prefix; list->count++) {
		cr_assert_eq(prefix_parse(rows[list->count].prefix, &rules[list->count].prefix), 0);
		rules[list->count].allow = rows[list->count].allow;
	}
	return allow_list_finish(list, &v4);
}

Test(allow_list, permits)
{
	static const struct {
		struct row rows[CASE_RULES];
		const char *addr;
		bool permits;
	} cases[] = {
		{{{"10.0.0.0/8", false}}, "10.1.2.3", false},
		{{{"10.0.0.0/8", false}}, "11.1.2.3", true}, /* the rest: the opposite */
		{{{"10.0.0.0/8", true}}, "11.1.2.3", false},
		{{{"10.0.0.0/8", true}}, "fd00::1", true}, /* a family without rules */
		{{{"fd00::/8", false}}, "fd00::1", false},
		{{{"fd00::/8", false}}, "10.0.0.1", true},
		{{{"10.0.0.0/8", false}, {"10.1.0.0/16", true}, {"0.0.0.0/0", false}},
		 "10.1.9.9",
		 true},
		{{{"10.1.0.0/16", true}, {"10.0.0.0/8", false}, {"0.0.0.0/0", true}},
		 "10.2.9.9",
		 false},
		{{{"0.0.0.0/0", false}}, "1.2.3.4", false},
		{{{"0.0.0.0/0", false}}, "::1", true},
		{{{"10.1.2.3/8", false}}, "10.9.9.9", false}, /* host bits are no part of it */
		{{{"10.0.0.0/8", false}, {"10.0.0.0/8", true}}, "10.0.0.1", true}, /* the last */
		{{{"::/0", true}, {"2001:db8::/32", false}}, "2001:db8::1", false},
		{{{"::/0", true}, {"2001:db8::/32", false}}, "2001:db9::1", true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct allow_rule rules[CASE_RULES];
		struct addr addr = addr_of(cases[i].addr);
		struct allow_list list;

		cr_assert_eq(make(&list, rules, cases[i].rows), 0, "case %zu", i);
		cr_assert_eq(allow_list_permits(&list, &addr), cases[i].permits, "case %zu", i);
		cr_assert(allow_list_permits(NULL, &addr));
	}
}

Test(allow_list, mixed_without_default)
{
	static const struct {
		struct row rows[CASE_RULES];
		int result;
		bool v4;
	} cases[] = {
		{{{"10.0.0.0/8", false}, {"10.1.0.0/16", true}}, -EINVAL, true},
		{{{"fd00::/8", false}, {"fd01::/16", true}}, -EINVAL, false},
		{{{"10.0.0.0/8", false}, {"fd01::/16", true}}, 0, false},
		{{{"10.0.0.0/8", false}, {"10.1.0.0/16", true}, {"::/0", true}}, -EINVAL, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct allow_rule rules[CASE_RULES];
		struct allow_list list;
		bool v4;

		make(&list, rules, cases[i].rows);
		cr_assert_eq(allow_list_finish(&list, &v4), cases[i].result, "case %zu", i);
		if (cases[i].result)
			cr_assert_eq(v4, cases[i].v4);
	}
}

/* Both lists must permit; of the ranges the longest one that holds the overlay address counts. */
Test(allow_list, remote_ranges)
{
	struct allow_rule rules[3][CASE_RULES];
	struct allow_list all, narrow, wide;
	struct remote_allow_range ranges[2];
	struct remote_allow allow = {.all = &all, .range_count = 2, .ranges = ranges};
	struct addr inside = addr_of("10.42.9.1"), near = addr_of("10.42.1.1"),
		    outside = addr_of("10.43.0.1");
	struct addr good = addr_of("192.0.2.1"), bad = addr_of("203.0.113.1"),
		    other = addr_of("198.51.100.1");

	make(&all, rules[0], (struct row[CASE_RULES]){{"203.0.113.0/24", false}});
	make(&wide, rules[1], (struct row[CASE_RULES]){{"198.51.100.0/24", false}});
	make(&narrow, rules[2], (struct row[CASE_RULES]){{"198.51.100.0/24", true}});
	cr_assert_eq(prefix_parse("10.42.0.0/16", &ranges[0].vpn), 0);
	ranges[0].list = &wide;
	cr_assert_eq(prefix_parse("10.42.9.0/24", &ranges[1].vpn), 0);
	ranges[1].list = &narrow;
	remote_allow_finish(&allow);

	cr_assert(remote_allow_permits(&allow, &inside, &other));
	cr_assert(!remote_allow_permits(&allow, &inside, &good), "only what the narrow one allows");
	cr_assert(!remote_allow_permits(&allow, &near, &other));
	cr_assert(remote_allow_permits(&allow, &near, &good));
	cr_assert(!remote_allow_permits(&allow, &near, &bad), "the list for all forbids it");
	cr_assert(remote_allow_permits(&allow, &outside, &other));
	cr_assert(remote_allow_permits(&allow, NULL, &other), "the host is not known yet");
	cr_assert(!remote_allow_permits(&allow, NULL, &bad));
}

static struct interface_rule *rule_of(const char *text)
{
	char why[128];
	struct interface_rule *rule = interface_rule_compile(text, why, sizeof(why));

	cr_assert_not_null(rule, "%s: %s", text, why);
	return rule;
}

Test(allow_list, local_interfaces)
{
	struct addr addr = addr_of("192.0.2.1");
	struct local_allow allow = {0};
	struct interface_rule *rules[] = {rule_of("docker.*"), rule_of("tun\\d+")};

	cr_assert(local_allow_permits(&allow, "eth0", &addr));
	allow = (struct local_allow){.interface_count = 2, .interfaces = rules};
	for (int value = 0; value < 2; value++) {
		allow.interface_allow = value;
		cr_assert_eq(local_allow_permits(&allow, "docker0", &addr), value);
		cr_assert_eq(local_allow_permits(&allow, "tun12", &addr), value);
		cr_assert_eq(local_allow_permits(&allow, "tun", &addr), !value);
		cr_assert_eq(local_allow_permits(&allow, "mydocker0", &addr), !value);
	}
	interface_rule_free(rules[0]);
	interface_rule_free(rules[1]);
}

/* Whatever the others have: an address that should be hidden must not be told. */
Test(allow_list, an_interface_that_cannot_be_judged)
{
	struct addr addr = addr_of("192.0.2.1");
	struct interface_rule *rule = rule_of("veth.*");
	struct local_allow allow = {.interface_count = 1, .interfaces = &rule};

	for (int value = 0; value < 2; value++) {
		allow.interface_allow = value;
		cr_assert(!local_allow_permits(&allow, "veth\xff", &addr));
	}
	interface_rule_free(rule);
}
