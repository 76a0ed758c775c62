/*
 * reload.c - see reload.h.
 *
 * Rules and their bits. A snapshot carries the version of its rules, and each tunnel has two places
 * for its bits, one for odd versions, one for even (tunnel.h). The bits of the next version are
 * complete before the snapshot is published; flows that are tracked are judged again when their
 * next packet meets the new version, in both directions by the rule of their first. Rules that are
 * the same keep their version, and then all of this is spared.
 *
 * What frees the old ones: the snapshot and the bits, which workers read, after a grace period;
 * configuration and identity at once, for control alone has read them and reload_apply() has
 * pointed every part of it to the new ones. Records hold counted references to certificates.
 */
#include "reload.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>

#include "admin_commands.h"
#include "config/changes.h"
#include "config/snapshot_build.h"
#include "control.h"
#include "dns.h"
#include "log.h"
#include "rcu.h"
#include "routes.h"
#include "utf8.h"

/* A reload under way: what is built before anything changes. */
struct step {
	struct generation *old, *next;
	struct snapshot *snapshot;
	struct node_options options;
	struct routes_change *routes;
	bool new_rules;
	bool alone; /* a client that is to become a lighthouse, and has no other one until then */
};

/* --- what is said ------------------------------------------------------------------------------
 */

static void log_finding(const struct finding *finding)
{
	char place[FINDING_PLACE_MAX];

	LOG_AT(finding->severity == SEVERITY_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
	       finding->text ? finding->text : "out of memory",
	       LOG_STR("config", finding_place(finding, place)));
}

static void log_findings(const struct findings *findings)
{
	for (uint32_t i = 0; i < findings->count; i++)
		log_finding(&findings->list[i]);
	if (findings->errors + findings->warnings > findings->count)
		log_warning(
			"Too many findings to log: m57 -test lists more",
			LOG_U64("left", findings->errors + findings->warnings - findings->count));
}

/* The text of the outcome gets "FILE:LINE: TEXT" of the first error. */
static void note_first_error(struct reload_outcome *outcome, const struct findings *findings)
{
	char place[FINDING_PLACE_MAX];

	for (uint32_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->list[i];

		if (finding->severity != SEVERITY_ERROR || !finding->text)
			continue;
		snprintf(outcome->text, sizeof(outcome->text), "%.200s: %.300s",
			 finding_place(finding, place), finding->text);
		utf8_mend(outcome->text);
		return;
	}
	snprintf(outcome->text, sizeof(outcome->text), "out of memory");
}

/* Adds a sentence to what is said of a reload that was applied. */
static void note(struct reload_outcome *outcome, const char *text)
{
	size_t used = strlen(outcome->text);

	snprintf(outcome->text + used, sizeof(outcome->text) - used, "%s%s", used ? "; " : "",
		 text);
	utf8_mend(outcome->text);
}

static int refuse(struct reload *reload, struct generation *next)
{
	struct reload_outcome *last = &reload->last;

	last->ok = false;
	last->text[0] = '\0';
	findings_free(&last->findings);
	if (next) {
		last->findings = next->findings;
		next->findings = (struct findings){0};
	}
	last->error_count = last->findings.errors;
	note_first_error(last, &last->findings);
	log_findings(&last->findings);
	log_error("The configuration was not reloaded, the node goes on with the one before",
		  LOG_U64("errors", last->error_count));
	generation_free(next);
	return -EINVAL;
}

/* --- what can be refused -----------------------------------------------------------------------
 */

static bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_peer(const struct rule_peer *a, const struct rule_peer *b)
{
	if (a->group_count != b->group_count || !same_text(a->host, b->host) ||
	    !same_text(a->cidr, b->cidr) || !same_text(a->local_cidr, b->local_cidr) ||
	    !same_text(a->ca_name, b->ca_name) || !same_text(a->ca_sha, b->ca_sha))
		return false;
	for (uint32_t i = 0; i < a->group_count; i++)
		if (strcmp(a->groups[i], b->groups[i]) != 0)
			return false;
	return true;
}

/* Word by word: rules_hash() writes them in a line, as Nebula does, where [a, b] and "a b" are one.
 */
static bool same_peers(const struct firewall_rules *a, const struct firewall_rules *b)
{
	for (uint32_t i = 0; i < a->count && i < b->count; i++)
		if (!same_peer(&a->peers[i], &b->peers[i]))
			return false;
	return a->count == b->count;
}

/* Do packets meet the same decisions? Lines of the file do not count. */
static bool same_rules(const struct config *a, const struct snapshot *was, const struct config *b,
		       const struct snapshot *is)
{
	char hash_a[RULES_HASH_TEXT_MAX], hash_b[RULES_HASH_TEXT_MAX];

	rules_hash(a->firewall.rules, hash_a);
	rules_hash(b->firewall.rules, hash_b);
	if (hash_a[0] == '\0' || strcmp(hash_a, hash_b) != 0)
		return false; /* or no memory to tell */
	for (int direction = 0; direction < 2; direction++)
		if (!same_peers(&a->firewall.rules[direction], &b->firewall.rules[direction]))
			return false;
	for (int direction = 0; direction < 2; direction++)
		for (uint32_t i = 0; i < is->rules[direction].count; i++)
			if (is->rules[direction].rules[i].local_kind !=
			    was->rules[direction].rules[i].local_kind)
				return false;
	return true;
}

/* ca_name means the CAs of that name that are trusted. Other rules do not look at them. */
static bool same_issuers(const struct firewall_rules rules[2], const struct ca_pool *was,
			 const struct ca_pool *is)
{
	bool named = false, same = ca_pool_count(was) == ca_pool_count(is);

	for (int direction = 0; direction < 2; direction++)
		for (uint32_t i = 0; i < rules[direction].count; i++)
			named |= rules[direction].peers[i].ca_name != NULL;
	for (size_t i = 0; named && same && i < ca_pool_count(was); i++)
		same = ca_pool_find(is, ca_pool_get(was, i)->fingerprint) != NULL;
	return same || !named;
}

/*
 * What a reload cannot change stays as it is in the configuration too, where somebody may look at
 * it: m57ctl, the workers' next snapshot. The tree still has what the file says.
 */
static void keep_fixed(struct config *next, const struct config *old)
{
	next->cipher = old->cipher;
	next->routines = old->routines;
	next->spread_flows = old->spread_flows;
	next->sparse_queue = old->sparse_queue;
	next->busy_poll_us = old->busy_poll_us;
	next->lighthouse.am_lighthouse = old->lighthouse.am_lighthouse;
	next->dns.serve &= old->lighthouse.am_lighthouse;
	next->tun.disabled = old->tun.disabled;
	next->tun.tx_queue = old->tun.tx_queue;
	next->tun.drop_local_broadcast = old->tun.drop_local_broadcast;
	next->tun.drop_multicast = old->tun.drop_multicast;
}

static int build(struct reload *reload, struct step *step)
{
	struct generation *next = step->next;
	const struct snapshot *was = dataplane_snapshot(reload->control->dataplane);
	uint16_t version = was->rules_version;

	step->alone = next->config->lighthouse.am_lighthouse &&
		      !step->old->config->lighthouse.am_lighthouse &&
		      next->config->lighthouse.host_count == 0;
	keep_fixed(next->config, step->old->config);
	next->rules_version = version;
	step->snapshot = snapshot_build(next->config, pki_own_cert(&next->pki), version);
	step->routes = routes_reconfigure(reload->control->routes, step->old->config,
					  pki_own_cert(&step->old->pki), next->config,
					  pki_own_cert(&next->pki));
	if (generation_node_options(next, &step->options) != 0 || !step->snapshot || !step->routes)
		return -ENOMEM;
	snapshot_set_routes(step->snapshot, routes_change_table(step->routes));
	step->snapshot->am_lighthouse = was->am_lighthouse; /* as the node: until the next start */
	step->new_rules =
		!same_rules(step->old->config, was, next->config, step->snapshot) ||
		!same_issuers(next->config->firewall.rules, step->old->pki.ca, next->pki.ca);
	if (!step->new_rules)
		return 0;
	/*
	 * The place of the next bits was that of the rules before the ones in use, which a worker
	 * may still read when two reloads follow each other closely. One grace period is short
	 * beside the reading of the files.
	 */
	rcu_wait_for_readers();
	next->rules_version = step->snapshot->rules_version = (uint16_t)(version + 1);
	return node_rules_prepare(reload->control->node, &step->options, &next->pki,
				  next->rules_version);
}

/* --- what then happens -------------------------------------------------------------------------
 */

static void release_snapshot(struct hostmap *map, void *object)
{
	snapshot_free(object);
}

static void publish(struct reload *reload, struct step *step)
{
	struct control *control = reload->control;
	struct snapshot *before;
	uint16_t version = step->old->rules_version;

	/* An entry of a version that comes round again would pass for judged (PROTOCOL.md 5.5). */
	if (step->new_rules && step->snapshot->rules_version == 0)
		dataplane_forget_flows(control->dataplane);
	before = dataplane_publish(control->dataplane, step->snapshot);
	step->snapshot = NULL;
	if (step->new_rules)
		node_rules_retire(control->node, version);
	hostmap_defer(control->map, release_snapshot, before);
}

static void routes_tell(struct reload *reload, struct step *step)
{
	char error[ERROR_LINE_MAX] = "";

	if (routes_apply(reload->control->routes, step->routes, error) == 0)
		return;
	log_error(error);
	note(&reload->last, error);
}

static void sockets_apply(struct reload *reload, struct step *step)
{
	struct udp_options before = generation_udp(step->old), after = generation_udp(step->next);
	char error[ERROR_LINE_MAX] = "";

	if (udp_reconfigure(reload->udp, &before, &after, error) == 0)
		return;
	/* what the sockets have; the next reload sees a difference and tries again */
	step->next->config->listen.so_mark = step->old->config->listen.so_mark;
	log_error(error);
	note(&reload->last, error);
}

static void dns_apply(struct reload *reload, const struct step *step)
{
	char error[ERROR_LINE_MAX] = "", place[FINDING_PLACE_MAX];
	struct dns *dns = reload->control->dns;

	if (!dns || dns_reconfigure(dns, &step->next->config->dns, error) == 0)
		return;
	log_error(error, LOG_STR("config", where_text(step->next->config->dns_where, place)));
	note(&reload->last, error);
}

static void firewall_log(const struct step *step)
{
	char before[RULES_HASH_TEXT_MAX], after[RULES_HASH_TEXT_MAX];

	if (step->new_rules)
		log_info("New firewall has been installed",
			 LOG_STR("firewallHashes",
				 rules_hash(step->next->config->firewall.rules, after)),
			 LOG_STR("oldFirewallHashes",
				 rules_hash(step->old->config->firewall.rules, before)),
			 LOG_U64("rulesVersion", step->next->rules_version));
}

/* Has a key that waits for the next start, or did, another value than at the last reload? */
static bool restart_keys_moved(const struct step *step)
{
	char keys[CHANGES_TEXT_MAX];
	struct where where;

	return config_changes(step->old->config, step->next->config, keys, &where) > 0;
}

/* Told when they change, not at each reload; m57ctl says them as long as they wait. */
static void restart_keys_log(struct reload *reload, const struct step *step)
{
	char keys[CHANGES_TEXT_MAX], place[FINDING_PLACE_MAX], text[ERROR_LINE_MAX];
	struct where where = {0};
	unsigned count = config_changes(reload->started, step->next->config, keys, &where);
	bool news = restart_keys_moved(step);

	if (count == 0)
		return;
	if (news)
		log_warning("Changed keys that take effect at the next start only",
			    LOG_STR("keys", keys), LOG_STR("config", where_text(where, place)));
	snprintf(text, sizeof(text), "only at the next start: %.400s", keys);
	note(&reload->last, text);
	if (!step->alone)
		return;
	if (news)
		log_warning("Until the next start this host is no lighthouse, and it has none: "
			    "lighthouse.hosts is empty");
	note(&reload->last,
	     "until then lighthouse.hosts is empty for a host that is no lighthouse");
}

static void world_apply(struct reload *reload, const struct step *step)
{
	struct admin_world *world = reload->world;

	world->config = step->next->config;
	world->pki = &step->next->pki;
	world->findings = &step->next->findings;
	world->rules_version = step->next->rules_version;
}

/* Nothing here refuses any more; what the system does not do is said. */
static void reload_apply(struct reload *reload, struct step *step)
{
	publish(reload, step);
	node_reconfigure(reload->control->node, &step->options, &step->next->pki);
	routes_tell(reload, step);
	sockets_apply(reload, step);
	dns_apply(reload, step);
	log_setup(&step->next->config->logging);
	world_apply(reload, step);
	firewall_log(step);
	restart_keys_log(reload, step);
	reload->now = step->next;
	if (step->old->config == reload->started)
		(void)generation_take_config(step->old);
	generation_free(step->old);
}

static void step_release(struct step *step)
{
	snapshot_free(step->snapshot);
	generation_release(&step->options);
	routes_change_free(step->routes);
}

int reload_run(struct reload *reload)
{
	const struct outside *outside = &reload->control->outside;
	int64_t wall_s = (int64_t)(outside->wall_ns(outside->context) / 1000000000u);
	struct step step = {.old = reload->now};
	struct reload_outcome *last = &reload->last;

	last->at_ns = outside->now_ns(outside->context);
	step.next = generation_load(reload->path, reload->strict, wall_s, step.old);
	if (!step.next || !step.next->config)
		return refuse(reload, step.next);
	if (build(reload, &step) != 0) {
		finding_error(&step.next->findings, (struct where){reload->path, 0},
			      "out of memory");
		step_release(&step);
		return refuse(reload, step.next);
	}
	last->ok = true;
	last->error_count = 0;
	last->text[0] = '\0';
	findings_free(&last->findings);
	log_findings(&step.next->findings);
	reload_apply(reload, &step);
	step_release(&step);
	last->applied++;
	log_info("Configuration reloaded", LOG_U64("reloads", last->applied));
	return 0;
}

void reload_release(struct reload *reload)
{
	findings_free(&reload->last.findings);
	if (reload->now && reload->now->config == reload->started)
		reload->started = NULL;
	config_free(reload->started);
	reload->started = NULL;
	generation_free(reload->now);
	reload->now = NULL;
}
