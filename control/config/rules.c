/*
 * rules.c - firewall rules; see rules.h (config).
 *
 * Reading follows the reference to the letter where it decides who may pass, since a rule that
 * means more here than there would open a hole: a key without a value is the text "<nil>", which no
 * certificate has, and not an absent key.
 */
#include "config/rules.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>

#include "addr_text.h"
#include "config/keys.h"
#include "limits.h"

/* One rule being read. */
struct reader {
	const struct yaml_node *item;
	const char *key; /* "firewall.inbound" */
	uint32_t number; /* from 0, as the reference counts */
	struct arena *arena;
	struct findings *findings;
	struct where where;
	struct rule *rule;
	struct rule_peer *peer;
};

#define RULE_ERROR(r, format, ...)                                                                 \
	(finding_error((r)->findings, (r)->where, "%s rule #%u: " format, (r)->key, (r)->number,   \
		       ##__VA_ARGS__),                                                             \
	 -EINVAL)
#define RULE_WARNING(r, format, ...)                                                               \
	finding_warning((r)->findings, (r)->where, "%s rule #%u: " format, (r)->key, (r)->number,  \
			##__VA_ARGS__)

/* The text of a field; NULL when it is absent or "". Moves r->where to the field. */
static const char *field(struct reader *r, const char *name)
{
	const struct yaml_node *node = yaml_get(r->item, name);
	const char *text;

	r->where = r->item->where;
	if (node == NULL)
		return NULL;
	r->where = node->where;
	text = yaml_text(node, r->arena);
	if (text == NULL || yaml_is_null(node)) {
		RULE_WARNING(r, "%s %s, so nothing matches it; give it a value or remove it", name,
			     text == NULL ? "is not a single value" : "has no value");
		return text == NULL ? "[]" : text;
	}
	return text[0] != '\0' ? text : NULL;
}

static bool is(const char *text, const char *word)
{
	return text != NULL && strcmp(text, word) == 0;
}

/* --- ports ------------------------------------------------------------------------------------ */

/* Decimal 0..65535 without blanks. */
static int port_number(const char *text, size_t len, uint16_t *out)
{
	uint32_t value = 0;

	if (len > 0 && *text == '+') { /* the reference's parser takes it */
		text++;
		len--;
	}
	if (len == 0)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (uint32_t)(text[i] - '0');
		if (value > UINT16_MAX)
			return -EINVAL;
	}
	*out = (uint16_t)value;
	return 0;
}

static int port_range(const char *text, const char *dash, struct rule *rule)
{
	const char *first = text, *last = dash + 1;
	size_t first_len = (size_t)(dash - text), last_len = strlen(last);

	for (; first_len > 0 && *first == ' '; first_len--)
		first++;
	for (; first_len > 0 && first[first_len - 1] == ' '; first_len--)
		;
	for (; last_len > 0 && *last == ' '; last_len--)
		last++;
	for (; last_len > 0 && last[last_len - 1] == ' '; last_len--)
		;
	if (port_number(first, first_len, &rule->port_first) != 0 ||
	    port_number(last, last_len, &rule->port_last) != 0)
		return -EINVAL;
	if (rule->port_first == 0)
		rule->any_port = true;
	else if (rule->port_first > rule->port_last)
		return -ERANGE;
	return 0;
}

static int read_ports(struct reader *r)
{
	const char *code = field(r, "code"), *port = field(r, "port");
	const char *name = code != NULL ? "code" : "port", *text = code != NULL ? code : port;
	const char *dash;
	char quote[FINDING_QUOTE_MAX];
	int err;

	if (text != NULL)
		r->where = yaml_get(r->item, name)->where;
	if (code != NULL && port != NULL)
		return RULE_ERROR(r, "both port and code are given; keep port");
	if (r->rule->protocol == RULE_ICMP) {
		r->rule->any_port = true;
		if (text != NULL && !is(text, "any") && !is(text, "0"))
			RULE_WARNING(r,
				     "%s has no effect with proto: icmp, all of ICMP passes; write "
				     "any",
				     name);
		return 0;
	}
	if (text == NULL)
		return RULE_ERROR(r, "no port; add port: any, a number, a range or fragment");
	if (is(text, "any")) {
		r->rule->any_port = true;
		return 0;
	}
	if (is(text, "fragment")) {
		r->rule->fragment = true;
		return 0;
	}
	dash = strchr(text, '-');
	if (dash != NULL) {
		err = port_range(text, dash, r->rule);
	} else {
		err = port_number(text, strlen(text), &r->rule->port_first);
		r->rule->port_last = r->rule->port_first;
		r->rule->any_port = r->rule->port_first == 0;
	}
	if (err == -ERANGE)
		return RULE_ERROR(r, "%s %s ends below its beginning; write the lower port first",
				  name, finding_quote(text, quote));
	if (err != 0)
		return RULE_ERROR(r,
				  "%s \"%s\" is no port; write any, fragment, a number from 0 to "
				  "65535 or a range such as 80-90",
				  name, finding_quote(text, quote));
	return 0;
}

static int read_protocol(struct reader *r)
{
	static const char *const names[] = {
		[RULE_ANY] = "any", [RULE_TCP] = "tcp", [RULE_UDP] = "udp", [RULE_ICMP] = "icmp"};
	const char *text = field(r, "proto");
	char quote[FINDING_QUOTE_MAX];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (is(text, names[i])) {
			r->rule->protocol = (enum rule_protocol)i;
			return 0;
		}
	return RULE_ERROR(r, "proto \"%s\" is unknown; write any, tcp, udp or icmp",
			  finding_quote(text != NULL ? text : "", quote));
}

/* --- prefixes --------------------------------------------------------------------------------- */

static int read_prefixes(struct reader *r)
{
	char quote[FINDING_QUOTE_MAX];
	struct prefix prefix;

	r->peer->cidr = field(r, "cidr");
	if (r->peer->cidr != NULL && !is(r->peer->cidr, "any")) {
		if (prefix_parse(r->peer->cidr, &prefix) != 0)
			return RULE_ERROR(r,
					  "cidr \"%s\" is no prefix; write one such as 10.0.0.0/8, "
					  "or any",
					  finding_quote(r->peer->cidr, quote));
		r->rule->has_cidr = true;
		r->rule->cidr = prefix_masked(prefix);
	}
	r->peer->local_cidr = field(r, "local_cidr");
	r->peer->default_local = r->peer->local_cidr == NULL;
	if (r->peer->local_cidr != NULL && !is(r->peer->local_cidr, "any")) {
		if (prefix_parse(r->peer->local_cidr, &prefix) != 0)
			return RULE_ERROR(r,
					  "local_cidr \"%s\" is no prefix; write one such as "
					  "192.168.1.0/24, or any",
					  finding_quote(r->peer->local_cidr, quote));
		r->rule->local_kind = RULE_LOCAL_PREFIX;
		r->rule->local_cidr = prefix_masked(prefix);
	}
	return 0;
}

/* --- groups ----------------------------------------------------------------------------------- */

/* `groups:` with its list commented out, say: the rule lets nobody in, and silence hides why. */
static void warn_no_group(struct reader *r, const struct yaml_node *node, const char *name)
{
	r->where = node->where;
	if (yaml_is_null(node))
		RULE_WARNING(r,
			     "%s has no value, so nothing matches it; give it a value or "
			     "remove it",
			     name);
}

/* The list under `groups`, which may also be a single value. */
static int read_group_list(struct reader *r)
{
	const struct yaml_node *node = yaml_get(r->item, "groups");
	const char **groups;

	if (node == NULL)
		return 0;
	r->where = node->where;
	groups = arena_alloc(r->arena, (node->count + 1) * sizeof(*groups));
	r->peer->groups = groups;
	if (node->kind != NODE_LIST) {
		const char *text = yaml_text(node, r->arena);

		if (text == NULL)
			RULE_WARNING(r, "groups is a map, so nothing matches it; write a list of "
					"group names");
		warn_no_group(r, node, "groups");
		groups[r->peer->group_count++] = text != NULL ? text : "[]";
		return 0;
	}
	for (uint32_t i = 0; i < node->count; i++) {
		groups[i] = yaml_text(node->items[i], r->arena);
		if (groups[i] == NULL) {
			r->where = node->items[i]->where;
			return RULE_ERROR(r, "a group is not a text; write a list of group names");
		}
		warn_no_group(r, node->items[i], "a group");
		r->peer->group_count++;
	}
	return 0;
}

static int read_groups(struct reader *r)
{
	const struct yaml_node *single = yaml_get(r->item, "group");
	const char **groups;
	const char *text;
	int err = read_group_list(r);

	if (err != 0 || single == NULL)
		return err;
	r->where = single->where;
	if (single->kind == NODE_LIST) {
		if (single->count != 1 || single->items[0]->kind != NODE_SCALAR)
			return RULE_ERROR(r, "group is a list; write groups: for several");
		RULE_WARNING(r, "group is a list of one; write the name without brackets");
		single = single->items[0];
	} else if (single->kind == NODE_MAP) {
		return RULE_ERROR(r, "group is a map; write the name of a group");
	}
	text = yaml_text(single, r->arena);
	if (text[0] == '\0')
		return 0;
	warn_no_group(r, single, "group");
	if (r->peer->group_count > 0)
		return RULE_ERROR(r, "both group and groups are given; put all into groups");
	groups = arena_alloc(r->arena, sizeof(*groups));
	groups[0] = text;
	r->peer->groups = groups;
	r->peer->group_count = 1;
	return 0;
}

/* --- one rule --------------------------------------------------------------------------------- */

/* Which peers: after the fields have been read. */
static void decide_any(struct reader *r)
{
	struct rule_peer *peer = r->peer;
	bool any_group = false;
	unsigned asked = (peer->group_count > 0) + (peer->host != NULL) + (peer->cidr != NULL);

	for (uint32_t i = 0; i < peer->group_count; i++)
		any_group = any_group || is(peer->groups[i], "any");
	peer->any = asked == 0 || any_group || is(peer->host, "any") || is(peer->cidr, "any");
	r->where = r->item->where;
	if (peer->any && (asked > 1 || peer->group_count > 1))
		RULE_WARNING(r, "\"any\" beside another group, host or cidr lets every peer pass, "
				"for they are alternatives; keep only what is meant");
}

static void check_ca_sha(struct reader *r)
{
	const char *sha = r->peer->ca_sha;

	if (sha != NULL && (strlen(sha) != 64 || strspn(sha, "0123456789abcdef") != 64))
		RULE_WARNING(r, "ca_sha is not 64 lower-case hex digits, so nothing matches it; "
				"copy the fingerprint that `m57-cert print` shows");
}

static int read_rule(struct reader *r)
{
	static const struct prefix none;
	int err;

	if (r->item->kind != NODE_MAP)
		return RULE_ERROR(r, "not a map; write the keys port, proto and whom it is for");
	keys_check_item(r->item, "firewall", r->findings);
	r->rule->line = r->item->where.line;
	r->rule->local_kind = RULE_LOCAL_ANY;
	r->rule->cidr = r->rule->local_cidr = none;
	err = read_groups(r);
	if (err == 0)
		err = read_protocol(r);
	if (err == 0)
		err = read_ports(r);
	if (err == 0)
		err = read_prefixes(r);
	if (err != 0)
		return err;
	r->peer->host = field(r, "host");
	r->peer->ca_name = field(r, "ca_name");
	r->peer->ca_sha = field(r, "ca_sha");
	check_ca_sha(r);
	r->where = r->item->where;
	if (r->peer->host == NULL && r->peer->group_count == 0 && r->peer->cidr == NULL &&
	    r->peer->local_cidr == NULL && r->peer->ca_name == NULL && r->peer->ca_sha == NULL)
		return RULE_ERROR(r, "nobody it is for; add host, group, groups, cidr, local_cidr, "
				     "ca_name or ca_sha (host: any for everyone)");
	decide_any(r);
	return 0;
}

void rules_read(const struct yaml_node *node, const char *key, struct arena *arena,
		struct firewall_rules *out, struct findings *findings)
{
	memset(out, 0, sizeof(*out));
	if (yaml_is_null(node))
		return;
	if (node->kind != NODE_LIST) {
		finding_error(findings, node->where,
			      "%s is not a list of rules; begin each rule with \"- \"", key);
		return;
	}
	if (node->count > RULES_MAX) {
		finding_error(findings, node->where,
			      "%s has %u rules, more than %d; join rules that differ only in one "
			      "port by a range, or by group",
			      key, node->count, RULES_MAX);
		return;
	}
	out->rules = arena_alloc(arena, (node->count + 1) * sizeof(*out->rules));
	out->peers = arena_alloc(arena, (node->count + 1) * sizeof(*out->peers));
	for (uint32_t i = 0; i < node->count; i++) {
		struct reader r = {
			.item = node->items[i],
			.key = key,
			.number = i,
			.arena = arena,
			.findings = findings,
			.where = node->items[i]->where,
			.rule = &out->rules[out->count],
			.peer = &out->peers[out->count],
		};

		memset(r.rule, 0, sizeof(*r.rule));
		memset(r.peer, 0, sizeof(*r.peer));
		if (read_rule(&r) == 0)
			out->count++;
	}
}

/* --- peers ------------------------------------------------------------------------------------ */

static bool ca_fits(const struct rule_peer *rule, const char *issuer_hex, const char *ca_name)
{
	if (rule->ca_sha == NULL && rule->ca_name == NULL)
		return true;
	return is(rule->ca_sha, issuer_hex) ||
	       (rule->ca_name != NULL && ca_name != NULL && is(rule->ca_name, ca_name));
}

static bool peer_fits(const struct rule_peer *rule, const struct cert *peer)
{
	uint32_t held = 0;

	if (rule->any || is(rule->host, peer->name))
		return true;
	while (held < rule->group_count && cert_has_group(peer, rule->groups[held]))
		held++;
	return rule->group_count > 0 && held == rule->group_count;
}

struct peer_rules *rules_for_peer(const struct firewall_rules rules[2], uint16_t version,
				  const struct cert *peer, const char *ca_name)
{
	uint32_t most = rules[0].count > rules[1].count ? rules[0].count : rules[1].count;
	uint32_t words = (most + 63) / 64;
	struct peer_rules *out = calloc(1, sizeof(*out) + 4 * words * sizeof(uint64_t));
	char issuer_hex[CERT_FINGERPRINT_HEX_MAX] = "";
	uint64_t *at;

	if (out == NULL)
		return NULL;
	if (peer->has_issuer)
		cert_fingerprint_hex(peer->issuer, issuer_hex);
	out->words = words;
	out->version = version;
	at = (uint64_t *)(out + 1);
	for (int direction = 0; direction < 2; direction++) {
		out->ca[direction] = at;
		out->peer[direction] = at + words;
		at += 2 * words;
		for (uint32_t i = 0; i < rules[direction].count; i++) {
			const struct rule_peer *rule = &rules[direction].peers[i];
			uint64_t bit = 1ull << (i % 64);

			if (ca_fits(rule, issuer_hex, ca_name))
				out->ca[direction][i / 64] |= bit;
			if (peer_fits(rule, peer))
				out->peer[direction][i / 64] |= bit;
		}
	}
	return out;
}

int rules_compile(const struct firewall_rules *rules, bool own_unsafe_networks,
		  bool default_local_cidr_any, struct ruleset *out)
{
	out->count = rules->count;
	out->rules = calloc(rules->count + 1, sizeof(*out->rules));
	if (out->rules == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < rules->count; i++) {
		out->rules[i] = rules->rules[i];
		if (rules->peers[i].default_local && own_unsafe_networks && !default_local_cidr_any)
			out->rules[i].local_kind = RULE_LOCAL_OWN_NETWORKS;
	}
	return 0;
}

/* --- hash ------------------------------------------------------------------------------------- */

static const char *or_empty(const char *text)
{
	return text != NULL ? text : "";
}

/* One rule as the reference's text line, which its hashes cover. */
static void rule_line(FILE *out, bool incoming, const struct rule *rule,
		      const struct rule_peer *peer)
{
	static const int protocols[] = {
		[RULE_ANY] = 0, [RULE_TCP] = 6, [RULE_UDP] = 17, [RULE_ICMP] = 1};
	int first = rule->any_port ? 0 : rule->fragment ? -1 : rule->port_first;
	int last = rule->any_port ? 0 : rule->fragment ? -1 : rule->port_last;

	fprintf(out, "incoming: %s, proto: %d, startPort: %d, endPort: %d, groups: [",
		incoming ? "true" : "false", protocols[rule->protocol], first, last);
	for (uint32_t i = 0; i < peer->group_count; i++)
		fprintf(out, "%s%s", i > 0 ? " " : "", peer->groups[i]);
	fprintf(out, "], host: %s, ip: %s, localIp: %s, caName: %s, caSha: %s\n",
		or_empty(peer->host), or_empty(peer->cidr), or_empty(peer->local_cidr),
		or_empty(peer->ca_name), or_empty(peer->ca_sha));
}

const char *rules_hash(const struct firewall_rules rules[2], char buf[RULES_HASH_TEXT_MAX])
{
	unsigned char sha[crypto_hash_sha256_BYTES];
	char hex[2 * crypto_hash_sha256_BYTES + 1];
	uint32_t fnv = 2166136261u;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return strcpy(buf, "");
	for (int direction = 0; direction < 2; direction++)
		for (uint32_t i = 0; i < rules[direction].count; i++)
			rule_line(out, direction == INBOUND, &rules[direction].rules[i],
				  &rules[direction].peers[i]);
	if (fclose(out) != 0) {
		free(text);
		return strcpy(buf, "");
	}
	crypto_hash_sha256(sha, (const unsigned char *)text, len);
	for (size_t i = 0; i < len; i++)
		fnv = (fnv ^ (unsigned char)text[i]) * 16777619u;
	free(text);
	sodium_bin2hex(hex, sizeof(hex), sha, sizeof(sha));
	snprintf(buf, RULES_HASH_TEXT_MAX, "SHA:%s,FNV:%u", hex, fnv);
	return buf;
}
