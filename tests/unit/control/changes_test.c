/* changes_test.c - which changed keys a reload leaves for the next start, and what it compares. */
#include <criterion/criterion.h>

#include "config/changes.h"
#include "config/keys.h"
#include "config/yaml.h"
#include "unit/control/config_helpers.h"

TestSuite(changes);

static struct config *load(const char *text)
{
	char whole[2048];
	struct findings findings = {0};
	struct config *config;

	snprintf(whole, sizeof(whole), PKI_LINE "%s", text);
	config = config_of_text(whole, &findings);
	cr_assert_not_null(config, "%s", text);
	findings_free(&findings);
	return config;
}

/* expected: the list of keys, and the line of the first; "" for none */
static void expect(const char *before, const char *after, const char *expected, uint32_t line)
{
	struct config *old = load(before), *next = load(after);
	char text[CHANGES_TEXT_MAX];
	struct where where = {0};
	unsigned count = config_changes(old, next, text, &where);

	cr_expect_str_eq(text, expected, "%s -> %s: %s", before, after, text);
	cr_expect_eq(count == 0, expected[0] == '\0');
	if (count > 0)
		cr_expect_eq(where.line, line, "%s -> %s: line %u", before, after, where.line);
	config_free(old);
	config_free(next);
}

Test(changes, keys_that_need_a_restart)
{
	expect("", "", "", 0);
	expect("", "listen: {port: 4242}", "listen.port", 2);
	expect("listen: {port: 4242}", "", "listen.port", 0);
	expect("listen: {port: 4242, batch: 1}\ntun: {dev: x}",
	       "\ntun: {dev: y}\nlisten: {port: 4243, batch: 64}",
	       "listen.port, listen.batch, tun.dev", 4);
	expect("cipher: aes", "cipher: chachapoly", "cipher", 2);
	expect("", "listen: {batch: 0}", "listen.batch", 2);
	expect("timers: {connection_alive_interval: 0}", "", "timers.connection_alive_interval", 0);
	expect("routines: auto", "routines: 0", "routines", 2);
	expect("tun: {cpu_affinity: [0]}", "tun: {cpu_affinity: [0, 1]}", "tun.cpu_affinity", 2);
}

/* The same meaning is no change: the default said aloud, quotes, another order, another place. */
Test(changes, the_same_meaning)
{
	expect("", "listen: {port: 0, host: 0.0.0.0}\ncipher: aes", "", 0);
	expect("listen: {port: 4242}", "listen: {port: \"4242\"}", "", 0);
	expect("tun: {dev: x}\ncipher: aes", "cipher: aes\ntun:\n  dev: x", "", 0);
	expect("handshakes: {try_interval: 1m}", "handshakes: {try_interval: 60s}", "", 0);
	expect("tun: {cpu_affinity: [0]}", "tun:\n  cpu_affinity:\n    - 0", "", 0);
}

/* Keys that reload, that have no effect, or that nobody knows, are no news. */
Test(changes, what_reloads_or_does_nothing)
{
	expect("tun: {mtu: 1300}", "tun: {mtu: 1400, network_category: public}\nwhat: ever", "", 0);
	for (size_t i = 0; i < keys_count; i++)
		if (keys[i].reload == KEY_RELOAD_NO && keys[i].effect == KEY_WORKS)
			cr_assert_null(strstr(keys[i].path, "[]"), "%s is in a list", keys[i].path);
}

Test(changes, values_are_compared_to_their_depth)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} cases[] = {
		{"x: {a: [1, {b: 2}]}", "x:\n  a:\n    - 1\n    - b: '2'", true},
		{"x: {a: [1, {b: 2}]}", "x: {a: [1, {b: 3}]}", false},
		{"x: {a: [1, {b: 2}]}", "x: {a: [1, {c: 2}]}", false},
		{"x: [1, 2]", "x: [2, 1]", false},
		{"x: [1, 2]", "x: [1, 2, 3]", false},
		{"x: ~", "x:", true},
		{"x: ~", "x: 0", false},
		{"x: [a]", "x: a", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct findings findings = {0};
		struct arena arena = {0};
		const struct yaml_node *a, *b;

		a = yaml_parse("a", cases[i].a, strlen(cases[i].a), &arena, &findings);
		b = yaml_parse("b", cases[i].b, strlen(cases[i].b), &arena, &findings);
		cr_assert(a && b);
		cr_expect_eq(yaml_equal(a, b), cases[i].equal, "%s and %s", cases[i].a, cases[i].b);
		cr_expect_eq(yaml_equal(b, a), cases[i].equal);
		arena_free(&arena);
		findings_free(&findings);
	}
}
