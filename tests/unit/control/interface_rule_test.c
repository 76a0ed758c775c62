/* interface_rule_test.c - which interfaces a rule of lighthouse.local_allow_list means. */
#include <criterion/criterion.h>
#include <string.h>

#include "peers/interface_rule.h"

static int matches(const char *text, const char *name)
{
	char why[128] = "";
	struct interface_rule *rule = interface_rule_compile(text, why, sizeof(why));

	cr_assert_not_null(rule, "%s: %s", text, why);
	int result = interface_rule_matches(rule, name);
	interface_rule_free(rule);
	return result;
}

/* Each as release 1.6.1 decides, tried with interfaces of these names. */
Test(interface_rule, means_what_nebula_means)
{
	static const struct {
		const char *rule, *yes, *no;
	} cases[] = {
		{"eth0", "eth0", "eth00"},
		{"eth0", "eth0", "xeth0"},
		{"docker.*", "docker0", "xdocker0"},
		{"^docker.*", "docker0", "xdocker0"},
		{"docker0$", "docker0", "docker01"},
		{"docker|nothing", "docker0", "xdocker0"},
		{"nothing|ocker.", "docker0", "docker01"},
		{"(docker|nothing)", "docker", "docker0"},
		{"tun\\d+", "tun12", "tund"},
		{"tun\\D", "tunx", "tun1"},
		{"tun\\w", "tun1", "tun-"},
		{"tun[\\d]", "tun1", "tund"},
		{"tun[^\\d]", "tunx", "tun1"},
		{"tun[^\\d]", "tun\\", "tun1"},
		{"[\\w\\-]+", "br-12", "br.12"},
		{"[\\w\\.]+", "eth0.12", "eth0\\12"},
		{"tun[[:digit:]]", "tun1", "tunx"},
		{"tun[]x]", "tun]", "tuny"},
		{"tun[^]x]", "tuny", "tun]"},
		{"eth0\\.12", "eth0.12", "eth0x12"},
		{"du.*?0", "dummy0", "dummy1"},
		{"a\\<b", "a<b", "ab"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(matches(cases[i].rule, cases[i].yes), 1, "%s", cases[i].rule);
		cr_assert_eq(matches(cases[i].rule, cases[i].no), 0, "%s", cases[i].rule);
	}
}

/* The rest of Go's syntax (github.com/google/re2/wiki/Syntax), which the C library does not know.
 */
Test(interface_rule, means_what_go_means)
{
	static const struct {
		const char *rule, *yes, *no;
	} cases[] = {
		{"(?i)docker", "DOCKER", "DOCKER0"},
		{"(?:lxc|lxd)br\\d", "lxdbr0", "?:lxcbr0"},
		{"(?P<kind>veth).*", "veth1", "eth1"},
		{"eth.+?", "eth0", "eth"},
		{"a{2}?", "aa", "a"},
		{"a??", "a", "aa"},
		{"br-\\w{12}", "br-0123456789ab", "br-0123456789-b"},
		{"tun[\\D]", "tunx", "tun1"},
		{"tun\\x30", "tun0", "tunx30"},
		{"\\pL+", "eth", "eth0"},
		{"\\Aeth\\z", "eth", "eth0"},
		{"\\Qa.b\\E", "a.b", "axb"},
		{"eth\\b.*", "eth-1", "eth1"},
		{"a\\^b\\[\\]\\\\", "a^b[]\\", "ab"},
		{"b.", "b\xc3\xa4", "b\xc3\xa4\xc3\xa4"},
		{"a\\", "a$", "a"},
		{"", "", "a"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(matches(cases[i].rule, cases[i].yes), 1, "%s", cases[i].rule);
		cr_assert_eq(matches(cases[i].rule, cases[i].no), 0, "%s", cases[i].rule);
	}
	cr_assert_eq(matches("eth0", "eth0\n"), 0, "the end, not the end of a line");
	cr_assert_eq(matches("veth.*", "veth\xff"), -1, "names are bytes to the kernel");
}

Test(interface_rule, is_none)
{
	static const char *const rules[] = {"(", ")", "eth[", "[^", "*", "a{2,1}", "\xff"};
	char longest[INTERFACE_RULE_MAX + 2], why[128];

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		why[0] = '\0';
		cr_assert_null(interface_rule_compile(rules[i], why, sizeof(why)), "%s", rules[i]);
		cr_assert_neq(why[0], '\0', "%s", rules[i]);
	}
	memset(longest, 'a', sizeof(longest));
	longest[INTERFACE_RULE_MAX + 1] = '\0';
	cr_assert_null(interface_rule_compile(longest, why, sizeof(why)));
	cr_assert_str_eq(why, "longer than 256 bytes");
	longest[INTERFACE_RULE_MAX] = '\0';
	cr_assert_eq(matches(longest, "a"), 0);
}
