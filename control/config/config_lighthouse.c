/*
 * config_lighthouse.c - lighthouse.*, preferred_ranges and punchy.*: how hosts are found.
 *
 * Here the reference is strict: a bad entry stops it, so it stops us.
 */
#include "config/read.h"

#include <stdio.h>
#include <string.h>

#include "addr_text.h"

#define SECOND_NS          1000000000ull
#define INTERVAL_MAX_S     (365 * 24 * 3600)
#define PUNCH_DELAY_MAX_NS (3600 * SECOND_NS)

static const char *quoted(struct config_reader *r, const struct yaml_node *node,
			  char quote[FINDING_QUOTE_MAX])
{
	const char *text = yaml_text(node, r->arena);

	return text == NULL ? "(a list or map)" : finding_quote(text, quote);
}

/* False, with an error, for a key with nothing below it: what stood there may be gone by mistake,
 * and an allow list that is not there allows everything. Nebula refuses it, too. */
static bool is_given(struct config_reader *r, const struct yaml_node *value, const char *path)
{
	if (value == NULL || !yaml_is_null(value))
		return true;
	finding_error(r->findings, value->where,
		      "%s has an empty entry; write KEY: VALUE below it, or {} where everything is "
		      "allowed",
		      path);
	return false;
}

/* The map at path, or NULL: absent, empty, or (with an error) something else, or too large. */
static const struct yaml_node *read_map(struct config_reader *r, const struct yaml_node *map,
					const char *path, uint32_t most)
{
	if (yaml_is_null(map) || (map->kind == NODE_MAP && map->count == 0))
		return NULL;
	if (map->kind != NODE_MAP) {
		finding_error(r->findings, map->where, "%s is not a map; write KEY: VALUE below it",
			      path);
		return NULL;
	}
	if (map->count > most) {
		finding_error(r->findings, map->where, "%s has %u entries, more than %u", path,
			      map->count, most);
		return NULL;
	}
	return map;
}

static bool parse_prefix(struct config_reader *r, const struct yaml_node *node, const char *path,
			 struct prefix *out)
{
	char quote[FINDING_QUOTE_MAX];

	if (node->kind == NODE_SCALAR && prefix_parse(node->text, out) == 0)
		return true;
	finding_error(r->findings, node->where,
		      "%s: \"%s\" is no prefix; write one such as 192.0.2.0/24", path,
		      quoted(r, node, quote));
	return false;
}

/* --- allow lists (PROTOCOL.md 6.8) ------------------------------------------------------------ */

/* Stricter than other booleans: a mistake here opens or closes a network. */
static bool parse_allow(struct config_reader *r, const struct yaml_node *node, const char *path,
			bool *out)
{
	static const char *const yes[] = {"true", "True", "TRUE", "y", "yes"};
	static const char *const no[] = {"false", "False", "FALSE", "n", "no"};
	char quote[FINDING_QUOTE_MAX];

	for (size_t i = 0; node->kind == NODE_SCALAR && i < sizeof(yes) / sizeof(yes[0]); i++) {
		*out = strcmp(node->text, yes[i]) == 0;
		if (*out || strcmp(node->text, no[i]) == 0)
			return true;
	}
	finding_error(r->findings, node->where,
		      "%s: \"%s\" is not true or false; write true to allow, false to forbid", path,
		      quoted(r, node, quote));
	return false;
}

/* The prefixes of map; the key `interfaces` is passed over if may_name_interfaces. */
static const struct allow_list *read_allow_list(struct config_reader *r,
						const struct yaml_node *map, const char *path,
						bool may_name_interfaces)
{
	struct allow_list *list;
	bool v4;

	map = read_map(r, map, path, ALLOW_RULES_MAX);
	if (map == NULL)
		return NULL;
	list = arena_alloc(r->arena, sizeof(*list));
	list->rules = arena_alloc(r->arena, map->count * sizeof(*list->rules));
	for (uint32_t i = 0; i < map->count; i++) {
		struct allow_rule *rule = &list->rules[list->count];

		if (may_name_interfaces && strcmp(map->keys[i]->text, "interfaces") == 0)
			continue;
		bool prefix = parse_prefix(r, map->keys[i], path, &rule->prefix);
		bool allow = parse_allow(r, map->items[i], path, &rule->allow);

		if (prefix && allow)
			list->count++;
	}
	if (allow_list_finish(list, &v4) != 0)
		finding_error(r->findings, map->where,
			      "%s allows some prefixes and forbids others, and does not say what "
			      "holds for the rest; add %s: true or false",
			      path, v4 ? "0.0.0.0/0" : "\"::/0\"");
	return list->count > 0 ? list : NULL;
}

static struct interface_rule *compile_rule(struct config_reader *r, const struct yaml_node *node)
{
	char why[128], quote[FINDING_QUOTE_MAX];

	struct interface_rule *rule = interface_rule_compile(node->text, why, sizeof(why));
	if (rule == NULL)
		finding_error(r->findings, node->where,
			      "lighthouse.local_allow_list.interfaces: \"%s\" is no regular "
			      "expression: %s; correct it",
			      finding_quote(node->text, quote), why);
	return rule;
}

static void read_interfaces(struct config_reader *r, const struct yaml_node *map,
			    struct local_allow *allow)
{
	static const char path[] = "lighthouse.local_allow_list.interfaces";
	bool value;

	if (!is_given(r, map, path))
		return;
	map = read_map(r, map, path, ALLOW_RULES_MAX);
	if (map == NULL)
		return;
	allow->interfaces = arena_alloc(r->arena, map->count * sizeof(*allow->interfaces));
	for (uint32_t i = 0; i < map->count; i++) {
		if (!parse_allow(r, map->items[i], path, &value))
			continue;
		if (allow->interface_count > 0 && value != allow->interface_allow) {
			finding_error(r->findings, map->items[i]->where,
				      "%s: all values must be equal; the others have the opposite",
				      path);
			continue;
		}
		allow->interface_allow = value;
		struct interface_rule *rule = compile_rule(r, map->keys[i]);
		if (rule != NULL)
			allow->interfaces[allow->interface_count++] = rule;
	}
}

static void read_remote_allow(struct config_reader *r, struct remote_allow *allow)
{
	static const char path[] = "lighthouse.remote_allow_ranges";
	const struct yaml_node *map = read_map(r, read_node(r, path), path, ALLOW_RANGES_MAX);

	allow->all = read_allow_list(r, read_node(r, "lighthouse.remote_allow_list"),
				     "lighthouse.remote_allow_list", false);
	if (map == NULL)
		return;
	allow->ranges = arena_alloc(r->arena, map->count * sizeof(*allow->ranges));
	for (uint32_t i = 0; i < map->count; i++) {
		struct remote_allow_range *range = &allow->ranges[allow->range_count];

		if (!parse_prefix(r, map->keys[i], path, &range->vpn) ||
		    !is_given(r, map->items[i], path))
			continue;
		range->vpn = prefix_masked(range->vpn);
		range->list = read_allow_list(r, map->items[i], path, false);
		allow->range_count++;
	}
	remote_allow_finish(allow);
}

/* --- lists of prefixes and addresses ---------------------------------------------------------- */

/* The list at path, at most `most` entries. */
static const struct yaml_node *bounded_list(struct config_reader *r, const char *path,
					    uint32_t most)
{
	const struct yaml_node *list = read_list(r, path, true);

	if (list == NULL || list->count <= most)
		return list;
	finding_error(r->findings, list->where, "%s has %u entries, more than %u", path,
		      list->count, most);
	return NULL;
}

static bool has_static_entry(const struct config *config, const struct addr *host)
{
	for (uint32_t i = 0; i < config->static_host_count; i++)
		if (addr_equal(&config->static_hosts[i].overlay, host))
			return true;
	return false;
}

static bool is_listed(const struct lighthouse_options *options, const struct addr *host)
{
	for (uint32_t i = 0; i < options->host_count; i++)
		if (addr_equal(&options->hosts[i], host))
			return true;
	return false;
}

static void read_hosts(struct config_reader *r, struct lighthouse_options *options)
{
	const struct yaml_node *list = bounded_list(r, "lighthouse.hosts", LIGHTHOUSES_MAX);
	char quote[FINDING_QUOTE_MAX];

	if (list == NULL)
		return;
	r->config->lighthouses_where = list->where;
	options->hosts = arena_alloc(r->arena, list->count * sizeof(*options->hosts));
	for (uint32_t i = 0; i < list->count; i++) {
		const struct yaml_node *node = list->items[i];
		struct addr host;

		if (node->kind != NODE_SCALAR || addr_parse(node->text, &host) != 0)
			finding_error(r->findings, node->where,
				      "lighthouse.hosts: \"%s\" is no address; write the overlay "
				      "address of the lighthouse",
				      quoted(r, node, quote));
		else if (!has_static_entry(r->config, &host))
			finding_error(r->findings, node->where,
				      "lighthouse.hosts: %s has no entry in static_host_map, so it "
				      "cannot be reached; add \"%s\": [\"ADDRESS:PORT\"] there, or "
				      "remove it here if it is this host",
				      node->text, node->text);
		else if (!is_listed(options, &host))
			options->hosts[options->host_count++] = host;
	}
}

static void read_advertise(struct config_reader *r, struct lighthouse_options *options)
{
	static const char path[] = "lighthouse.advertise_addrs";
	const struct yaml_node *list = bounded_list(r, path, ADVERTISE_ADDRS_MAX);
	struct config *config = r->config;
	char quote[FINDING_QUOTE_MAX];

	if (list == NULL)
		return;
	config->advertise_where = list->where;
	options->advertise = arena_alloc(r->arena, list->count * sizeof(*options->advertise));
	for (uint32_t i = 0; i < list->count; i++) {
		const struct yaml_node *node = list->items[i];
		struct endpoint *to = &options->advertise[options->advertise_count];

		if (node->kind == NODE_SCALAR && endpoint_parse(node->text, to) == 0)
			options->advertise_count++;
		else if (read_name_and_port(r, node, true,
					    &config->advertise_names[config->advertise_name_count]))
			config->advertise_name_count++;
		else
			finding_error(r->findings, node->where,
				      "%s: \"%s\" is not ADDRESS:PORT; write 192.0.2.1:4242 or "
				      "[2001:db8::1]:0 or host.example:0",
				      path, quoted(r, node, quote));
	}
}

static void read_preferred(struct config_reader *r, struct lighthouse_options *options)
{
	const struct yaml_node *list = bounded_list(r, "preferred_ranges", PREFERRED_RANGES_MAX);

	if (list == NULL)
		return;
	options->preferred = arena_alloc(r->arena, list->count * sizeof(*options->preferred));
	for (uint32_t i = 0; i < list->count; i++) {
		struct prefix *prefix = &options->preferred[options->preferred_count];

		if (!parse_prefix(r, list->items[i], "preferred_ranges", prefix))
			continue;
		*prefix = prefix_masked(*prefix);
		options->preferred_count++;
	}
}

/* --- lighthouse.calculated_remotes ------------------------------------------------------------ */

static void read_calculated_entry(struct config_reader *r, const struct yaml_node *item,
				  const struct prefix *vpn, struct lighthouse_options *options)
{
	static const char path[] = "lighthouse.calculated_remotes";
	struct calculated_remote *out = &options->calculated[options->calculated_count];
	const struct yaml_node *mask = yaml_get(item, "mask"), *port = yaml_get(item, "port");
	int64_t number;

	if (mask == NULL || port == NULL) {
		finding_error(r->findings, item->where,
			      "%s: an entry has no %s; write mask: PREFIX and port: NUMBER", path,
			      mask == NULL ? "mask" : "port");
		return;
	}
	if (!parse_prefix(r, mask, path, &out->mask))
		return;
	if (addr_is_v4(&out->mask.addr) != addr_is_v4(&vpn->addr)) {
		finding_error(r->findings, mask->where,
			      "%s: mask %s and its overlay prefix are not both IPv4, or both IPv6",
			      path, mask->text);
	} else if (yaml_int(port, &number) != 0 || number < 1 || number > UINT16_MAX) {
		finding_error(r->findings, port->where,
			      "%s: port is not a number between 1 and 65535", path);
	} else {
		out->vpn = *vpn;
		out->port = (uint16_t)number;
		options->calculated_count++;
	}
}

static void read_calculated(struct config_reader *r, struct lighthouse_options *options)
{
	static const char path[] = "lighthouse.calculated_remotes";
	const struct yaml_node *map = read_map(r, read_node(r, path), path, CALCULATED_MAX);

	if (map == NULL)
		return;
	options->calculated = arena_alloc(r->arena, CALCULATED_MAX * sizeof(*options->calculated));
	for (uint32_t i = 0; i < map->count; i++) {
		const struct yaml_node *list = map->items[i];
		struct prefix vpn;

		if (!parse_prefix(r, map->keys[i], path, &vpn))
			continue;
		vpn = prefix_masked(vpn);
		if (list->kind != NODE_LIST) {
			finding_error(r->findings, list->where,
				      "%s: not a list; write - mask: PREFIX and port: NUMBER below",
				      path);
			continue;
		}
		for (uint32_t j = 0; j < list->count; j++) {
			if (options->calculated_count == CALCULATED_MAX) {
				finding_error(r->findings, list->where, "%s: more than %d masks",
					      path, CALCULATED_MAX);
				return;
			}
			read_calculated_entry(r, list->items[j], &vpn, options);
		}
	}
}

/* An address, in brackets or not, or a host name; false: neither. */
static bool parse_dns_host(const char *text, struct dns_options *dns)
{
	char bare[ADDR_TEXT_MAX + 2];
	size_t length = strlen(text);

	if (length > 2 && length < sizeof(bare) && text[0] == '[' && text[length - 1] == ']') {
		memcpy(bare, text + 1, length - 2);
		bare[length - 2] = '\0';
		return addr_parse(bare, &dns->host) == 0;
	}
	if (addr_parse(text, &dns->host) == 0)
		return true;
	if (!is_host_name(text, length))
		return false;
	memcpy(dns->name, text, length + 1);
	return true;
}

/* The line to look at when the responder cannot listen. */
static struct where dns_place(const struct config_reader *r)
{
	static const char *const paths[] = {"lighthouse.dns.host", "lighthouse.dns.port"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (read_node(r, paths[i]) != NULL)
			return read_where(r, paths[i]);
	return read_where(r, "lighthouse.serve_dns");
}

static void read_dns(struct config_reader *r, struct dns_options *dns, bool am_lighthouse)
{
	const char *host = read_text(r, "lighthouse.dns.host");
	char quote[FINDING_QUOTE_MAX];

	dns->serve = read_bool(r, "lighthouse.serve_dns");
	dns->port = (uint16_t)read_int(r, "lighthouse.dns.port", 1, UINT16_MAX);
	dns->any = host[0] == '\0' || strcmp(host, "[::]") == 0 || strcmp(host, "::") == 0;
	if (!dns->any && !parse_dns_host(host, dns))
		finding_error(r->findings, read_where(r, "lighthouse.dns.host"),
			      "lighthouse.dns.host: \"%s\" is no address and no host name; write "
			      "an address of this host, or nothing for all of them",
			      finding_quote(host, quote));
	if (dns->serve && !am_lighthouse)
		finding_warning(r->findings, read_where(r, "lighthouse.serve_dns"),
				"lighthouse.serve_dns has no effect: this host is no lighthouse");
}

/* --- all of it -------------------------------------------------------------------------------- */

static void read_punchy(struct config_reader *r, struct lighthouse_options *options)
{
	bool old_name = read_node(r, "punchy.respond") == NULL;

	options->punch_delay_ns = read_duration(r, "punchy.delay", 0, PUNCH_DELAY_MAX_NS);
	options->respond_delay_ns = read_duration(r, "punchy.respond_delay", 0, PUNCH_DELAY_MAX_NS);
	options->punch_respond = read_bool(r, old_name ? "punch_back" : "punchy.respond");
}

/* They would be left out without a word otherwise. */
static void review_static_hosts(struct config_reader *r, const struct lighthouse_options *options)
{
	char text[ENDPOINT_TEXT_MAX];

	for (uint32_t i = 0; i < r->config->static_host_count; i++) {
		const struct static_host *host = &r->config->static_hosts[i];

		for (uint32_t j = 0; j < host->remote_count; j++)
			if (!remote_allow_permits(&options->remote_allow, &host->overlay,
						  &host->remotes[j].addr))
				finding_warning(r->findings, host->where,
						"static_host_map: %s is forbidden by "
						"lighthouse.remote_allow_list or "
						"remote_allow_ranges and is not used",
						endpoint_format(&host->remotes[j], text));
	}
}

void read_lighthouse(struct config_reader *r)
{
	struct lighthouse_options *options = &r->config->lighthouse;
	const struct yaml_node *local = read_node(r, "lighthouse.local_allow_list");

	options->am_lighthouse = read_bool(r, "lighthouse.am_lighthouse");
	options->interval_ns =
		(uint64_t)read_clamped(r, "lighthouse.interval", 0, INTERVAL_MAX_S) * SECOND_NS;
	read_hosts(r, options);
	read_advertise(r, options);
	read_remote_allow(r, &options->remote_allow);
	options->local_allow.addrs = read_allow_list(r, local, "lighthouse.local_allow_list", true);
	read_interfaces(r, yaml_get(local, "interfaces"), &options->local_allow);
	read_calculated(r, options);
	read_preferred(r, options);
	read_punchy(r, options);
	read_dns(r, &r->config->dns, options->am_lighthouse);
	r->config->dns_where = dns_place(r);
	review_static_hosts(r, options);
	if (!options->am_lighthouse)
		return;
	if (r->config->listen.port == 0)
		finding_error(r->findings, read_where(r, "lighthouse.am_lighthouse"),
			      "lighthouse.am_lighthouse needs a port that others know; set "
			      "listen.port");
	if (options->host_count > 0)
		finding_warning(r->findings, read_where(r, "lighthouse.hosts"),
				"lighthouse.hosts has no effect on a lighthouse; remove it, or "
				"am_lighthouse");
}

void lighthouse_options_free(struct lighthouse_options *options)
{
	for (uint32_t i = 0; i < options->local_allow.interface_count; i++)
		interface_rule_free(options->local_allow.interfaces[i]);
	options->local_allow.interface_count = 0;
}
