/* interface_pattern_test.c - which interfaces a rule of lighthouse.local_allow_list means. */
#include <criterion/criterion.h>
#include <regex.h>
#include <string.h>

#include "config/interface_pattern.h"

static bool matches(const char *rule, const char *name)
{
	char pattern[INTERFACE_PATTERN_MAX];
	regex_t compiled;
	bool found;

	cr_assert(interface_pattern(rule, pattern), "%s", rule);
	cr_assert_eq(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0, "%s: %s", rule,
		     pattern);
	found = regexec(&compiled, name, 0, NULL, 0) == 0;
	regfree(&compiled);
	return found;
}

/* Each as release 1.6.1 decides, tried with interfaces of these names. */
Test(interface_pattern, means_what_nebula_means)
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
		cr_assert(matches(cases[i].rule, cases[i].yes), "%s", cases[i].rule);
		cr_assert(!matches(cases[i].rule, cases[i].no), "%s", cases[i].rule);
	}
}

/* Go's own, which the C library would take for something else. */
Test(interface_pattern, what_has_no_such_form)
{
	static const char *const rules[] = {
		"(?i)docker", "docker(?:0|1)", "docker\\pL", "docker\\x30",  "docker\\1",
		"\\Adocker",  "\\Qdocker\\E",  "tun[\\s]",   "tun[\\D]",     "tun[\\",
		"tun[",       "tun[^",         "tun[]",      "tun[[:digit:", "tun[[.a.]]",
		"tun\\",      "tun\\d+?",      "tun\\d{2}?",
	};
	char rule[INTERFACE_RULE_MAX + 2], pattern[INTERFACE_PATTERN_MAX];

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		cr_assert(!interface_pattern(rules[i], pattern), "%s", rules[i]);
	memset(rule, 'a', sizeof(rule));
	rule[INTERFACE_RULE_MAX + 1] = '\0';
	cr_assert(!interface_pattern(rule, pattern), "longer than there is room for");
	/* the longest that comes of one that is short enough */
	for (size_t i = 0; i < INTERFACE_RULE_MAX; i += 2)
		memcpy(rule + i, "\\w", 2);
	rule[0] = '[';
	rule[1] = 'a';
	rule[INTERFACE_RULE_MAX - 1] = ']';
	rule[INTERFACE_RULE_MAX - 2] = 'a';
	rule[INTERFACE_RULE_MAX] = '\0';
	cr_assert(interface_pattern(rule, pattern));
	cr_assert_lt(strlen(pattern), INTERFACE_PATTERN_MAX);
}
