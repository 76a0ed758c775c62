/* config_static.c - static_host_map and static_map.*: hosts whose place is known (PROTOCOL.md 6.7).
 */
#include "config/read.h"

#include <stdlib.h>
#include <string.h>

#include "addr_text.h"

#define MS_NS          1000000ull
#define S_NS           (1000 * MS_NS)
#define CADENCE_MIN_NS S_NS /* an idle node wakes seldom, and DNS servers are others' */
#define CADENCE_MAX_NS (24 * 3600 * S_NS)
#define LOOKUP_MIN_NS  (10 * MS_NS)
#define LOOKUP_MAX_NS  (60 * S_NS)

bool is_host_name(const char *text, size_t length)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	size_t label = 0;

	if (length == 0 || length > HOSTNAME_MAX || strspn(text, "0123456789.") >= length)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '.' && label > 0)
			label = 0;
		else if (text[i] == '.' || ++label > 63 || strchr(letters, text[i]) == NULL)
			return false;
	}
	return true;
}

bool read_name_and_port(struct config_reader *r, const struct yaml_node *node, bool zero,
			struct config_name *out)
{
	const char *text = node->kind == NODE_SCALAR ? node->text : "";
	const char *colon = strrchr(text, ':');
	size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;
	unsigned long port =
		digits > 0 && digits <= 5 ? strtoul(colon + 1, NULL, 10) : UINT16_MAX + 1;
	char *name;

	if (port > UINT16_MAX || colon[1 + digits] != '\0' || (port == 0 && !zero) ||
	    !is_host_name(text, (size_t)(colon - text)))
		return false;
	name = arena_alloc(r->arena, (size_t)(colon - text) + 1);
	memcpy(name, text, (size_t)(colon - text)); /* arena_alloc() zeroes */
	*out = (struct config_name){name, (uint16_t)port, node->where};
	return true;
}

struct static_counts {
	uint32_t names;                      /* of all hosts */
	uint32_t unused_addrs, unused_names; /* of this one: more than there is room for */
};

static void static_remote(struct config_reader *r, struct static_host *host,
			  const struct yaml_node *node, struct static_counts *counts)
{
	const char *text = node->kind == NODE_SCALAR ? node->text : "(a list or map)";
	char quote[FINDING_QUOTE_MAX];
	struct config_name name;
	struct endpoint remote;

	finding_quote(text, quote);
	if (node->kind == NODE_SCALAR && endpoint_parse(text, &remote) == 0) {
		if (remote.port == 0) {
			finding_warning(r->findings, node->where,
					"static_host_map: %s is ignored, for port 0 cannot be "
					"reached; give the port that host listens on",
					quote);
		} else if (host->remote_count == STATIC_REMOTES_MAX) {
			counts->unused_addrs++;
		} else {
			host->remotes[host->remote_count++] = remote;
		}
		return;
	}
	if (!read_name_and_port(r, node, false, &name)) {
		finding_error(r->findings, node->where,
			      "static_host_map: \"%s\" is not ADDRESS:PORT; write 192.0.2.1:4242, "
			      "[2001:db8::1]:4242 or host.example:4242",
			      quote);
	} else if (host->name_count == STATIC_NAMES_MAX || counts->names == NAMES_MAX) {
		counts->unused_names++;
	} else {
		host->names[host->name_count++] = name;
		counts->names++;
	}
}

/* The entry of one host. */
static void static_remotes(struct config_reader *r, struct static_host *host,
			   const struct yaml_node *remotes, struct static_counts *counts)
{
	char text[ADDR_TEXT_MAX];

	counts->unused_addrs = counts->unused_names = 0;
	if (remotes->kind != NODE_LIST)
		static_remote(r, host, remotes, counts);
	for (uint32_t i = 0; remotes->kind == NODE_LIST && i < remotes->count; i++)
		static_remote(r, host, remotes->items[i], counts);
	if (counts->unused_addrs > 0)
		finding_warning(r->findings, host->where,
				"static_host_map: only the first %d addresses of a host are used, "
				"the last %u of %s are not",
				STATIC_REMOTES_MAX, counts->unused_addrs,
				addr_format(&host->overlay, text));
	if (counts->unused_names > 0)
		finding_warning(r->findings, host->where,
				"static_host_map: only the first %d host names of a host, and %d "
				"of all, are used, the last %u of %s are not",
				STATIC_NAMES_MAX, NAMES_MAX, counts->unused_names,
				addr_format(&host->overlay, text));
}

static void read_static_map(struct config_reader *r)
{
	static const struct {
		const char *text;
		enum name_network network;
	} rows[] = {{"ip4", NAME_IP4}, {"ip6", NAME_IP6}, {"ip", NAME_IP}};
	const char *network = read_text(r, "static_map.network");
	struct config *config = r->config;
	char quote[FINDING_QUOTE_MAX];
	bool known = false;

	config->static_map.cadence_ns =
		read_duration(r, "static_map.cadence", CADENCE_MIN_NS, CADENCE_MAX_NS);
	config->static_map.lookup_timeout_ns =
		read_duration(r, "static_map.lookup_timeout", LOOKUP_MIN_NS, LOOKUP_MAX_NS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (strcmp(network, rows[i].text) != 0)
			continue;
		config->static_map.network = rows[i].network;
		known = true;
	}
	/* Nebula does not start with another value either. */
	if (!known)
		finding_error(r->findings, read_where(r, "static_map.network"),
			      "static_map.network: \"%s\" is none of ip4, ip6 and ip",
			      finding_quote(network, quote));
}

void read_static_hosts(struct config_reader *r)
{
	const struct yaml_node *map = read_node(r, "static_host_map");
	struct config *config = r->config;
	char quote[FINDING_QUOTE_MAX];
	struct static_counts counts = {0};

	read_static_map(r);
	if (map == NULL || (map->kind != NODE_SCALAR && map->count == 0))
		return;
	if (map->kind != NODE_MAP) {
		finding_warning(r->findings, map->where,
				"static_host_map is not a map and is ignored; write "
				"\"10.0.0.1\": [\"192.0.2.1:4242\"] below it");
		return;
	}
	config->static_hosts = arena_alloc(r->arena, map->count * sizeof(*config->static_hosts));
	for (uint32_t i = 0; i < map->count; i++) {
		struct static_host *host = &config->static_hosts[config->static_host_count];

		host->where = map->keys[i]->where;
		if (addr_parse(map->keys[i]->text, &host->overlay) != 0) {
			finding_error(r->findings, host->where,
				      "static_host_map: \"%s\" is no address; write the overlay "
				      "address of the host",
				      finding_quote(map->keys[i]->text, quote));
			continue;
		}
		config->static_host_count++;
		static_remotes(r, host, map->items[i], &counts);
	}
}
