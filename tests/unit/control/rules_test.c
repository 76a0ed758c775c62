/* rules_test.c - firewall rules: what is read, who matches; PROTOCOL.md 5.3, 5.4 and traps 64-66,
 * 71, 72. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "addr_text.h"
#include "config/rules.h"

TestSuite(rules);

#define SHA "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct arena arena;
static struct findings findings;
static struct firewall_rules rules[2];

static void fini(void)
{
	arena_free(&arena);
	findings_free(&findings);
}

/* Reads a list of rules, all inbound but what stands behind "out:". */
static void read_rules(const char *text)
{
	char whole[2048];
	const struct yaml_node *root;

	fini();
	snprintf(whole, sizeof(whole), "in:\n%s\n", text);
	root = yaml_parse("f.yml", whole, strlen(whole), &arena, &findings);
	cr_assert_not_null(root, "%s", text);
	memset(rules, 0, sizeof(rules));
	rules_read(yaml_get(root, "in"), "firewall.inbound", &arena, &rules[INBOUND], &findings);
	if (yaml_get(root, "out"))
		rules_read(yaml_get(root, "out"), "firewall.outbound", &arena, &rules[OUTBOUND],
			   &findings);
}

static bool found(const char *says)
{
	for (uint32_t i = 0; i < findings.count; i++)
		if (strstr(findings.list[i].text, says) != NULL)
			return true;
	return false;
}

Test(rules, ports, .fini = fini)
{
	static const struct {
		const char *port;
		bool ok, any, fragment;
		uint16_t first, last;
	} cases[] = {
		{"any", true, true, false, 0, 0},      {"0", true, true, false, 0, 0},
		{"80", true, false, false, 80, 80},    {"0x50", true, false, false, 80, 80},
		{"'0x50'", false, false, false, 0, 0}, {"65535", true, false, false, 65535, 65535},
		{"80-90", true, false, false, 80, 90}, {"' 80 - 90 '", true, false, false, 80, 90},
		{"80-80", true, false, false, 80, 80}, {"0-5", true, true, false, 0, 5},
		{"fragment", true, false, true, 0, 0}, {"70000", false, false, false, 0, 0},
		{"65536", false, false, false, 0, 0},  {"-1", false, false, false, 0, 0},
		{"80-", false, false, false, 0, 0},    {"'-'", false, false, false, 0, 0},
		{"90-80", false, false, false, 0, 0},  {"80-70000", false, false, false, 0, 0},
		{"1-2-3", false, false, false, 0, 0},  {"''", false, false, false, 0, 0},
		{"' 80'", false, false, false, 0, 0},  {"ANY", false, false, false, 0, 0},
		{"http", false, false, false, 0, 0},   {"~", false, false, false, 0, 0},
		{"[80]", false, false, false, 0, 0},   {"4294967376", false, false, false, 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		const struct rule *rule;

		snprintf(text, sizeof(text), "  - proto: tcp\n    port: %s\n    host: any\n",
			 cases[i].port);
		read_rules(text);
		cr_assert_eq(rules[INBOUND].count, cases[i].ok ? 1 : 0, "%s", cases[i].port);
		cr_assert_eq(findings.errors, cases[i].ok ? 0 : 1, "%s", cases[i].port);
		if (!cases[i].ok) {
			cr_assert_eq(findings.list[findings.count - 1].line, 3, "%s",
				     cases[i].port);
			continue;
		}
		rule = &rules[INBOUND].rules[0];
		cr_assert_eq(rule->any_port, cases[i].any, "%s", cases[i].port);
		cr_assert_eq(rule->fragment, cases[i].fragment, "%s", cases[i].port);
		if (!rule->any_port) {
			cr_assert_eq(rule->port_first, cases[i].first);
			cr_assert_eq(rule->port_last, cases[i].last);
		}
	}
}

Test(rules, refused, .fini = fini)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"  5", "not a list"},
		{"  - 5", "not a map"},
		{"  - {port: 80, host: any}", "proto \"\" is unknown"},
		{"  - {port: 80, proto: TCP, host: any}", "proto \"TCP\" is unknown"},
		{"  - {proto: tcp, host: any}", "no port"},
		{"  - {proto: tcp, port: 80, code: 80, host: any}", "both port and code"},
		{"  - {proto: tcp, port: 80}", "nobody it is for"},
		{"  - {proto: tcp, port: 80, groups: []}", "nobody it is for"},
		{"  - {proto: tcp, port: 80, host: ''}", "nobody it is for"},
		{"  - {proto: tcp, port: 80, group: a, groups: [b]}", "both group and groups"},
		{"  - {proto: tcp, port: 80, group: [a, b]}", "group is a list"},
		{"  - {proto: tcp, port: 80, group: []}", "group is a list"},
		{"  - {proto: tcp, port: 80, groups: [[a]]}", "not a text"},
		{"  - {proto: tcp, port: 80, cidr: 10.0.0.1}", "cidr \"10.0.0.1\" is no prefix"},
		{"  - {proto: tcp, port: 80, cidr: 10.0.0.0/33}", "is no prefix"},
		{"  - {proto: tcp, port: 80, local_cidr: x}", "local_cidr \"x\" is no prefix"},
		{"  - {proto: tcp, port: 80, cidr: [10.0.0.0/8]}", "is no prefix"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_rules(cases[i].text);
		cr_assert_eq(rules[INBOUND].count, 0, "%s", cases[i].text);
		cr_assert_eq(findings.errors, 1, "%s", cases[i].text);
		cr_assert(found(cases[i].says), "%s: %s", cases[i].text, findings.list[0].text);
	}
}

Test(rules, warned_about, .fini = fini)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"  - {proto: tcp, port: 80, groups: [a], host: any}", "lets every peer pass"},
		{"  - {proto: tcp, port: 80, groups: [a, any]}", "lets every peer pass"},
		{"  - {proto: tcp, port: 80, cidr: any, host: h}", "lets every peer pass"},
		{"  - {proto: tcp, port: 80, group: [a]}", "list of one"},
		{"  - {proto: icmp, port: 80, host: any}",
		 "no effect with proto: icmp, all of ICMP passes"},
		{"  - {proto: tcp, port: 80, grop: a, host: h}",
		 "did you mean \"firewall[].group\""},
		{"  - {proto: tcp, port: 80, ca_sha: ABCD}", "64 lower-case hex"},
		{"  - {proto: tcp, port: 80, host: }", "has no value"},
		{"  - {proto: tcp, port: 80, host: [a]}", "not a single value"},
		{"  - {proto: tcp, port: 80, group: }", "group has no value"},
		{"  - {proto: tcp, port: 80, groups: }", "groups has no value"},
		{"  - {proto: tcp, port: 80, groups: [a, ~]}", "a group has no value"},
		{"  - {proto: tcp, port: 80, groups: {a: b}}", "groups is a map"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		read_rules(cases[i].text);
		cr_assert_eq(rules[INBOUND].count, 1, "%s", cases[i].text);
		cr_assert_eq(findings.errors, 0, "%s", cases[i].text);
		cr_assert_eq(findings.warnings, 1, "%s", cases[i].text);
		cr_assert(found(cases[i].says), "%s: %s", cases[i].text, findings.list[0].text);
	}
	read_rules("  - {proto: icmp, host: any}\n  - {proto: tcp, code: 80, group: a}\n"
		   "  - {proto: any, port: any, local_cidr: any}");
	cr_assert_eq(findings.count, 0);
	cr_assert_eq(rules[INBOUND].count, 3);
	cr_assert(rules[INBOUND].rules[0].any_port);
}

/* --- who matches ------------------------------------------------------------------------------ */

static const char issuer_hex[] = "0101010101010101010101010101010101010101010101010101010101010101";

static struct cert peer_of(const char *name, const char *const *groups, uint16_t count)
{
	struct cert cert = {
		.name = name, .groups = groups, .group_count = count, .has_issuer = true};

	memset(cert.issuer, 1, sizeof(cert.issuer));
	return cert;
}

/* One bit of the two arrays for rule 0. */
static void judge(const struct cert *peer, const char *ca_name, bool *ca, bool *fits)
{
	struct peer_rules *bits = rules_for_peer(rules, 7, peer, ca_name);

	cr_assert_not_null(bits);
	cr_assert_eq(bits->version, 7);
	*ca = bits->ca[INBOUND][0] & 1;
	*fits = bits->peer[INBOUND][0] & 1;
	free(bits);
}

/* Trap 65: groups are a conjunction; groups, host and cidr are alternatives. */
Test(rules, truth_table, .fini = fini)
{
	static const char *const a[] = {"a"}, *const ab[] = {"a", "b"}, *const any[] = {"any"};
	static const struct {
		const char *rule;
		bool none, just_a, a_and_b, named_h; /* does the peer bit stand? */
		bool cidr;
	} cases[] = {
		{"group: a", false, true, true, false, false},
		{"groups: [a]", false, true, true, false, false},
		{"groups: a", false, true, true, false, false},
		{"groups: [a, b]", false, false, true, false, false},
		{"host: h", false, false, false, true, false},
		{"groups: [a, b], host: h", false, false, true, true, false},
		{"groups: [a], cidr: 10.0.0.0/8", false, true, true, false, true},
		{"cidr: 10.0.0.0/8", false, false, false, false, true},
		{"cidr: 0.0.0.0/0", false, false, false, false, true},
		{"cidr: any", true, true, true, true, false},
		{"host: any", true, true, true, true, false},
		{"group: any", true, true, true, true, false},
		{"groups: [a, any]", true, true, true, true, false},
		{"group: a, host: any", true, true, true, true, false},
		{"local_cidr: any", true, true, true, true, false},
		{"ca_name: x", true, true, true, true, false},
		{"host: ", false, false, false, false, false},
		{"groups: {a: b}", false, false, false, false, false},
		{"groups: ", false, false, false, false, false},
	};
	struct cert none = peer_of("n", NULL, 0), just_a = peer_of("n", a, 1),
		    a_and_b = peer_of("n", ab, 2), named_h = peer_of("h", NULL, 0),
		    called_any = peer_of("any", any, 1);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		bool ca, fits;

		snprintf(text, sizeof(text), "  - {proto: any, port: any, %s}", cases[i].rule);
		read_rules(text);
		cr_assert_eq(rules[INBOUND].count, 1, "%s", cases[i].rule);
		judge(&none, "ca", &ca, &fits);
		cr_assert_eq(fits, cases[i].none, "%s: none", cases[i].rule);
		judge(&just_a, "ca", &ca, &fits);
		cr_assert_eq(fits, cases[i].just_a, "%s: a", cases[i].rule);
		judge(&a_and_b, "ca", &ca, &fits);
		cr_assert_eq(fits, cases[i].a_and_b, "%s: a, b", cases[i].rule);
		judge(&named_h, "ca", &ca, &fits);
		cr_assert_eq(fits, cases[i].named_h, "%s: h", cases[i].rule);
		judge(&called_any, "ca", &ca, &fits);
		cr_assert_eq(fits, cases[i].none, "%s: a peer called any is nobody special",
			     cases[i].rule);
		cr_assert_eq(rules[INBOUND].rules[0].has_cidr, cases[i].cidr, "%s", cases[i].rule);
	}
}

/* ca_sha OR ca_name, if either is given; trap 72: of two CAs with one name both match. */
Test(rules, certificate_authorities, .fini = fini)
{
	static const struct {
		const char *rule;
		const char *ca_name;
		bool fits;
	} cases[] = {
		{"host: any", "x", true},
		{"host: any", NULL, true},
		{"ca_name: x", "x", true},
		{"ca_name: x", "y", false},
		{"ca_name: x", NULL, false},
		{"ca_sha: SHA", "y", true},
		{"ca_sha: OTHER", "x", false},
		{"ca_sha: OTHER, ca_name: x", "x", true},
		{"ca_sha: SHA, ca_name: x", "y", true},
		{"ca_sha: OTHER, ca_name: x", "y", false},
	};
	struct cert peer = peer_of("n", NULL, 0), orphan = peer;

	orphan.has_issuer = false;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		const char *sha = strstr(cases[i].rule, "SHA");
		bool ca, fits;

		if (sha != NULL)
			snprintf(text, sizeof(text), "  - {proto: any, port: any, %.*s%s%s}",
				 (int)(sha - cases[i].rule), cases[i].rule, issuer_hex, sha + 3);
		else
			snprintf(text, sizeof(text), "  - {proto: any, port: any, %s}",
				 cases[i].rule);
		read_rules(text);
		judge(&peer, cases[i].ca_name, &ca, &fits);
		cr_assert_eq(ca, cases[i].fits, "%s by %s", cases[i].rule, cases[i].ca_name);
		cr_assert(fits);
		judge(&orphan, NULL, &ca, &fits);
		cr_assert_eq(ca, strcmp(cases[i].rule, "host: any") == 0, "%s: no issuer",
			     cases[i].rule);
	}
}

Test(rules, bits_of_many_rules, .fini = fini)
{
	static const char *const groups[] = {"g"};
	struct cert peer = peer_of("n", groups, 1);
	struct yaml_node *items[200];
	struct yaml_node list = {.kind = NODE_LIST, .count = 200, .items = items};
	struct peer_rules *bits;

	read_rules(
		"  - {proto: any, port: any, group: g}\n  - {proto: any, port: any, group: x}\n");
	cr_assert_eq(rules[INBOUND].count, 2);
	/* rules 0, 3, 6, ... are for g */
	char text[] = "in:\n  - {proto: any, port: any, group: g}\n  - {proto: any, port: any, "
		      "host: x}\n";
	const struct yaml_node *root = yaml_parse("f", text, strlen(text), &arena, &findings);
	for (int i = 0; i < 200; i++)
		items[i] = yaml_get(root, "in")->items[i % 3 == 0 ? 0 : 1];
	rules_read(&list, "firewall.outbound", &arena, &rules[OUTBOUND], &findings);
	bits = rules_for_peer(rules, 1, &peer, "ca");
	cr_assert_eq(bits->words, 4);
	for (int i = 0; i < 200; i++) {
		cr_assert_eq(bits->peer[OUTBOUND][i / 64] >> (i % 64) & 1, i % 3 == 0, "rule %d",
			     i);
		cr_assert_eq(bits->ca[OUTBOUND][i / 64] >> (i % 64) & 1, 1, "rule %d", i);
	}
	cr_assert_eq(bits->peer[INBOUND][0], 1);
	free(bits);
}

Test(rules, none_at_all)
{
	struct cert peer = peer_of("n", NULL, 0);
	struct peer_rules *bits;
	struct ruleset set;

	memset(rules, 0, sizeof(rules));
	bits = rules_for_peer(rules, 1, &peer, NULL);
	cr_assert_not_null(bits);
	cr_assert_eq(bits->words, 0);
	free(bits);
	cr_assert_eq(rules_compile(&rules[0], true, false, &set), 0);
	cr_assert_eq(set.count, 0);
	free(set.rules);
}

/* Trap 71: without local_cidr a rule must not open the routed network. */
Test(rules, local_cidr, .fini = fini)
{
	static const struct {
		const char *local;
		bool unsafe, default_any;
		enum rule_local expect;
	} cases[] = {
		{"", false, false, RULE_LOCAL_ANY},
		{"", true, false, RULE_LOCAL_OWN_NETWORKS},
		{"", true, true, RULE_LOCAL_ANY},
		{"", false, true, RULE_LOCAL_ANY},
		{", local_cidr: any", true, false, RULE_LOCAL_ANY},
		{", local_cidr: 10.0.0.9/8", true, false, RULE_LOCAL_PREFIX},
		{", local_cidr: 10.0.0.9/8", false, true, RULE_LOCAL_PREFIX},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ruleset set;
		char text[256], prefix[PREFIX_TEXT_MAX];

		snprintf(text, sizeof(text), "  - {proto: any, port: any, host: any%s}",
			 cases[i].local);
		read_rules(text);
		cr_assert_eq(
			rules_compile(&rules[INBOUND], cases[i].unsafe, cases[i].default_any, &set),
			0);
		cr_assert_eq(set.rules[0].local_kind, cases[i].expect, "case %zu", i);
		if (cases[i].expect == RULE_LOCAL_PREFIX)
			cr_assert_str_eq(prefix_format(&set.rules[0].local_cidr, prefix),
					 "10.0.0.0/8");
		free(set.rules);
	}
}

Test(rules, hash, .fini = fini)
{
	char one[RULES_HASH_TEXT_MAX], two[RULES_HASH_TEXT_MAX];

	memset(rules, 0, sizeof(rules));
	/* SHA-256 of nothing, FNV-1a's offset */
	cr_assert_str_eq(rules_hash(rules, one),
			 "SHA:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855,"
			 "FNV:2166136261");
	read_rules("  - {proto: tcp, port: 80-90, groups: [a, b]}");
	rules_hash(rules, one);
	read_rules("  - groups: [a, b]\n    proto: tcp\n    port: '80 - 90'");
	cr_assert_str_eq(rules_hash(rules, two), one);
	read_rules("  - {proto: tcp, port: 80-91, groups: [a, b]}");
	cr_assert_str_neq(rules_hash(rules, two), one);
}

/* Of the reference's lines, PROTOCOL.md 5.3, those of outbound rules first. */
Test(rules, hash_as_the_reference_has_it, .fini = fini)
{
	static const char lines[] =
		"incoming: false, proto: 17, startPort: -1, endPort: -1, groups: [], host: any, "
		"ip: , localIp: , caName: , caSha: \n"
		"incoming: true, proto: 6, startPort: 80, endPort: 90, groups: [a b], host: , "
		"ip: , localIp: , caName: , caSha: \n"
		"incoming: true, proto: 1, startPort: 0, endPort: 0, groups: [c], host: h, "
		"ip: 10.0.0.0/8, localIp: any, caName: n, caSha: " SHA "\n";
	unsigned char sha[crypto_hash_sha256_BYTES];
	char hash[RULES_HASH_TEXT_MAX], expected[RULES_HASH_TEXT_MAX], hex[2 * sizeof(sha) + 1];

	read_rules("  - {proto: tcp, port: 80-90, groups: [a, b]}\n"
		   "  - {proto: icmp, group: c, host: h, cidr: 10.0.0.0/8, local_cidr: any, "
		   "ca_name: n, ca_sha: \"" SHA "\"}\n"
		   "out:\n"
		   "  - {proto: udp, port: fragment, host: any}");
	cr_assert_eq(findings.count, 0, "a fingerprint that is one is not warned of");
	rules_hash(rules, hash);
	crypto_hash_sha256(sha, (const unsigned char *)lines, sizeof(lines) - 1);
	sodium_bin2hex(hex, sizeof(hex), sha, sizeof(sha));
	snprintf(expected, sizeof(expected), "SHA:%s,FNV:%u", hex, 3015803687u);
	cr_expect_str_eq(hash, expected);
}
