/*
 * rules.h (config) - firewall.inbound and firewall.outbound, from text to what workers read
 * (PROTOCOL.md 5.3, 5.4, as release 1.11.1).
 *
 * A rule has two halves. What depends on the packet alone (protocol, ports, prefixes) is a struct
 * rule of include/rules.h. What depends on the peer's certificate (groups, host, CA) is a struct
 * rule_peer beside it, judged once per tunnel by rules_for_peer() and kept as bits.
 */
#ifndef M57_CONFIG_RULES_H
#define M57_CONFIG_RULES_H

#include "config/finding.h"
#include "config/yaml.h"
#include "identity/cert.h"
#include <rules.h> /* of include/: quotes would find this file */

/* Which peers a rule is for. Strings live as long as the configuration. */
struct rule_peer {
	bool any; /* any peer: nothing is asked of groups, host and cidr, or one is "any" */
	bool default_local;   /* no local_cidr given: what that means depends on our certificate */
	uint32_t group_count; /* the certificate must have all of them */
	const char *const *groups;
	const char *host; /* certificate name, or NULL */
	const char
		*ca_name;   /* or NULL; several CAs of one name all fit (ca_sha is the safe form) */
	const char *ca_sha; /* fingerprint of the issuer, lower-case hex, or NULL */
	const char *cidr, *local_cidr; /* as written, or NULL; for rules_hash() */
};

/* The rules of one direction; both arrays have count elements. */
struct firewall_rules {
	uint32_t count;
	struct rule *rules; /* local_kind is RULE_LOCAL_ANY where default_local is set */
	struct rule_peer *peers;
};

/*
 * Reads the list at node (may be NULL: no rules, nothing allowed) of key ("firewall.inbound").
 * Rules with errors are left out, so that all errors are found in one go. Memory is arena's.
 */
void rules_read(const struct yaml_node *node, const char *key, struct arena *arena,
		struct firewall_rules *out, struct findings *findings);

/*
 * Judges peer against the rules of both directions (by enum direction). ca_name is the name of the
 * CA found by the certificate's issuer, NULL if unknown. One block: the caller frees it with
 * free(). NULL when out of memory.
 */
struct peer_rules *rules_for_peer(const struct firewall_rules rules[2], uint16_t version,
				  const struct cert *peer, const char *ca_name);

/*
 * Copies the rules for the workers, with default_local resolved: any, unless our certificate has
 * unsafe networks and firewall.default_local_cidr_any is false; then our own networks. out->rules
 * is malloc'ed. 0 or -ENOMEM.
 */
int rules_compile(const struct firewall_rules *rules, bool own_unsafe_networks,
		  bool default_local_cidr_any, struct ruleset *out);

#define RULES_HASH_TEXT_MAX 96 /* "SHA:<64 hex>,FNV:<number>" */

/* The hashes that "Firewall started" logs (PROTOCOL.md 5.4). Two rule sets that are equal have
 * equal ones. "": no memory. */
const char *rules_hash(const struct firewall_rules rules[2], char buf[RULES_HASH_TEXT_MAX]);

#endif
