/* admin_hosts.c - what m57ctl asks about hosts and tunnels, and what it tells to do with them. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "addr_text.h"
#include "admin_commands.h"
#include "identity/pem.h"
#include "peers/remotes.h"

static bool addr_read(const char *text, struct addr *addr, char error[ERROR_LINE_MAX])
{
	if (addr_parse(text, addr) == 0)
		return true;
	snprintf(error, ERROR_LINE_MAX, "not an address: %.60s", text);
	return false;
}

/* Where an order about this host itself makes no sense. */
static bool is_other_host(const struct admin_world *world, const struct addr *addr,
			  const char *text, char error[ERROR_LINE_MAX])
{
	if (!node_query_is_own(world->control->node, addr))
		return true;
	snprintf(error, ERROR_LINE_MAX, "%.60s is this host", text);
	return false;
}

static json_t *no_tunnel(const char *text, char error[ERROR_LINE_MAX])
{
	snprintf(error, ERROR_LINE_MAX, "Could not find tunnel for vpn addr: %.60s", text);
	return NULL;
}

/* --- lists of hosts ----------------------------------------------------------------------------
 */

struct addr_list {
	struct addr *addrs;
	size_t count, capacity;
	const struct addr *after; /* NULL: all */
	bool failed;
};

static void collect(void *context, const struct addr *addr)
{
	struct addr_list *list = context;

	if (list->after && addr_compare(addr, list->after) <= 0)
		return;
	if (list->count == list->capacity) {
		size_t capacity = list->capacity ? list->capacity * 2 : 64;
		struct addr *addrs = realloc(list->addrs, capacity * sizeof(*addrs));

		if (!addrs) {
			list->failed = true;
			return;
		}
		list->addrs = addrs;
		list->capacity = capacity;
	}
	list->addrs[list->count++] = *addr;
}

static int compare(const void *a, const void *b)
{
	return addr_compare(a, b);
}

/* Appends what a host gives to rows; NULL ends a host. */
typedef json_t *row_fn(struct node *node, const struct addr *addr, uint32_t i);

static json_t *pending_row(struct node *node, const struct addr *addr, uint32_t i)
{
	return i == 0 ? admin_pending(node, addr) : NULL;
}

/*
 * {"rows": [...], "more": bool}: hosts by address behind -after, whole hosts, until the bounds of
 * one answer are reached.
 */
static json_t *list_hosts(struct admin_world *world, const struct admin_arguments *arguments,
			  row_fn *row_of, char error[ERROR_LINE_MAX])
{
	struct node *node = world->control->node;
	struct addr_list list = {0};
	json_t *rows = json_array(), *row;
	size_t at = 0, bytes = 0;
	struct addr after;

	if (arguments->after) {
		if (!addr_read(arguments->after, &after, error))
			goto err_rows;
		list.after = &after;
	}
	node_query_hosts(node, collect, &list);
	if (list.failed)
		goto err_list;
	if (list.count)
		qsort(list.addrs, list.count, sizeof(*list.addrs), compare);
	for (;
	     at < list.count && json_array_size(rows) < ADMIN_ROWS_MAX && bytes < ADMIN_ROWS_BYTES;
	     at++) {
		for (uint32_t i = 0; (row = row_of(node, &list.addrs[at], i)); i++) {
			bytes += json_dumpb(row, NULL, 0, JSON_COMPACT);
			json_array_append_new(rows, row);
		}
	}
	json_t *result =
		json_pack("{s:o,s:b,s:o}", "rows", rows, "more", (int)(at < list.count), "last",
			  at > 0 ? admin_text_addr(&list.addrs[at - 1]) : json_null());

	free(list.addrs);
	return result;

err_list:
	free(list.addrs);
err_rows:
	json_decref(rows);
	return NULL;
}

json_t *admin_run_list_hostmap(struct admin_world *world, const struct admin_arguments *arguments,
			       char error[ERROR_LINE_MAX])
{
	return list_hosts(world, arguments, admin_host, error);
}

json_t *admin_run_list_pending(struct admin_world *world, const struct admin_arguments *arguments,
			       char error[ERROR_LINE_MAX])
{
	return list_hosts(world, arguments, pending_row, error);
}

static json_t *addrmap_row(struct node *node, const struct addr *addr, uint32_t i)
{
	struct node_owner_view view;

	if (i > 0 || !node_query_owner(node, addr, 0, &view))
		return NULL;
	return json_pack("{s:o,s:o}", "vpnAddr", admin_text_addr(addr), "addrMap",
			 admin_addrmap(node, addr));
}

json_t *admin_run_list_addrmap(struct admin_world *world, const struct admin_arguments *arguments,
			       char error[ERROR_LINE_MAX])
{
	return list_hosts(world, arguments, addrmap_row, error);
}

json_t *admin_run_query(struct admin_world *world, const struct admin_arguments *arguments,
			char error[ERROR_LINE_MAX])
{
	struct addr addr;

	if (!addr_read(arguments->positional[0], &addr, error) ||
	    !is_other_host(world, &addr, arguments->positional[0], error))
		return NULL;
	if (node_order_query(world->control->node, &addr) == 0)
		return admin_addrmap(world->control->node, &addr);
	snprintf(error, ERROR_LINE_MAX,
		 "nothing is kept of %.60s, which has no tunnel: create-tunnel asks the "
		 "lighthouses and calls it",
		 arguments->positional[0]);
	return NULL;
}

json_t *admin_run_print_relays(struct admin_world *world, const struct admin_arguments *arguments,
			       char error[ERROR_LINE_MAX])
{
	return list_hosts(world, arguments, admin_relay, error);
}

json_t *admin_run_print_tunnel(struct admin_world *world, const struct admin_arguments *arguments,
			       char error[ERROR_LINE_MAX])
{
	struct node *node = world->control->node;
	struct addr addr;
	json_t *host;

	if (!addr_read(arguments->positional[0], &addr, error))
		return NULL;
	host = admin_host(node, &addr, node_query_primary(node, &addr));
	return host ? host : no_tunnel(arguments->positional[0], error);
}

static json_t *cert_pem(const struct cert *cert)
{
	uint8_t *bytes = NULL;
	json_t *result = NULL;
	size_t length, text_length;
	char *text;

	if (cert_encode(cert, &bytes, &length) != 0)
		return NULL;
	text = pem_encode(cert->version == CERT_VERSION_2 ? PEM_CERTIFICATE_V2 : PEM_CERTIFICATE,
			  bytes, length, &text_length);
	free(bytes);
	if (text)
		result = json_string(text);
	sodium_free(text);
	return result;
}

json_t *admin_run_print_cert(struct admin_world *world, const struct admin_arguments *arguments,
			     char error[ERROR_LINE_MAX])
{
	const struct cert *cert = pki_own_cert(world->pki);
	struct node *node = world->control->node;
	struct node_tunnel_view view;
	struct addr addr;

	if (arguments->count > 0) {
		if (!addr_read(arguments->positional[0], &addr, error))
			return NULL;
		if (!node_query_tunnel(node, &addr, node_query_primary(node, &addr), &view))
			return no_tunnel(arguments->positional[0], error);
		cert = view.cert;
	}
	return arguments->raw ? cert_pem(cert) : admin_cert(cert);
}
/* --- what shall be -----------------------------------------------------------------------------
 */

static bool in_own_networks(const struct admin_world *world, const struct addr *addr)
{
	const struct cert *own = pki_own_cert(world->pki);

	for (uint16_t i = 0; i < own->network_count; i++)
		if (prefix_contains(&own->networks[i], addr))
			return true;
	return false;
}

/* A remote in the overlay would lead each packet back into the tun, as two when it is cut. */
static bool remote_read(const struct admin_world *world, const struct admin_arguments *arguments,
			struct endpoint *remote, char error[ERROR_LINE_MAX])
{
	if (!arguments->address || endpoint_parse(arguments->address, remote) != 0 ||
	    !remote->port) {
		snprintf(error, ERROR_LINE_MAX, "No valid address was provided: -address IP:PORT");
		return false;
	}
	if (remotes_is_nowhere(&remote->addr)) {
		snprintf(error, ERROR_LINE_MAX,
			 "no host can be at %.60s: give a host's own address", arguments->address);
		return false;
	}
	if (!in_own_networks(world, &remote->addr))
		return true;
	snprintf(error, ERROR_LINE_MAX,
		 "%.60s is an address of the overlay: what is sent there comes back into the tun",
		 arguments->address);
	return false;
}

/* The first and last address of an IPv4 network of ours; nothing: it is another. */
static const char *no_host(const struct admin_world *world, const struct addr *addr)
{
	const struct cert *own = pki_own_cert(world->pki);

	for (uint16_t i = 0; i < own->network_count && addr_is_v4(addr); i++) {
		const struct prefix *network = &own->networks[i];
		uint32_t hosts;

		/* with 31 bits and 32 every address is a host's */
		if (network->bits < ADDR_V4_BITS || network->bits > ADDR_V4_BITS + 30 ||
		    !prefix_contains(network, addr))
			continue;
		hosts = UINT32_MAX >> (network->bits - ADDR_V4_BITS);
		if ((addr_v4(addr) & hosts) == 0)
			return "the address of a network";
		if ((addr_v4(addr) & hosts) == hosts)
			return "the broadcast address of a network";
	}
	return NULL;
}

json_t *admin_run_create(struct admin_world *world, const struct admin_arguments *arguments,
			 char error[ERROR_LINE_MAX])
{
	struct endpoint remote;
	struct addr addr;
	const char *none;

	if (!addr_read(arguments->positional[0], &addr, error) ||
	    (arguments->address && !remote_read(world, arguments, &remote, error)) ||
	    !is_other_host(world, &addr, arguments->positional[0], error))
		return NULL;
	if (!in_own_networks(world, &addr)) {
		snprintf(error, ERROR_LINE_MAX, "%.60s is in none of this host's networks",
			 arguments->positional[0]);
		return NULL;
	}
	none = no_host(world, &addr);
	if (none) {
		snprintf(error, ERROR_LINE_MAX, "%.60s is no host: it is %s",
			 arguments->positional[0], none);
		return NULL;
	}
	switch (node_order_tunnel(world->control->node, &addr,
				  arguments->address ? &remote : NULL)) {
	case 0:
		return json_string("Created");
	case -EEXIST:
		return json_string("Tunnel already exists");
	case -EALREADY:
		return json_string("Tunnel already handshaking");
	}
	snprintf(error, ERROR_LINE_MAX, "too many handshakes are under way; try again later");
	return NULL;
}

json_t *admin_run_close(struct admin_world *world, const struct admin_arguments *arguments,
			char error[ERROR_LINE_MAX])
{
	struct addr addr;

	if (!addr_read(arguments->positional[0], &addr, error))
		return NULL;
	if (node_order_close(world->control->node, &addr, arguments->local_only) != 0)
		return no_tunnel(arguments->positional[0], error);
	return json_string("Closed");
}

json_t *admin_run_change_remote(struct admin_world *world, const struct admin_arguments *arguments,
				char error[ERROR_LINE_MAX])
{
	struct endpoint remote;
	struct addr addr;

	if (!addr_read(arguments->positional[0], &addr, error) ||
	    !remote_read(world, arguments, &remote, error))
		return NULL;
	switch (node_order_remote(world->control->node, &addr, &remote)) {
	case 0:
		return json_string("Changed");
	case -ENOENT:
		return no_tunnel(arguments->positional[0], error);
	}
	return NULL;
}
