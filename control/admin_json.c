/* admin_json.c - hosts, tunnels and certificates as JSON; see admin_commands.h. */
#include <inttypes.h>
#include <sodium.h>
#include <time.h>

#include "addr_text.h"
#include "admin_commands.h"

json_t *admin_text_addr(const struct addr *addr)
{
	char text[ADDR_TEXT_MAX];

	return json_string(addr_format(addr, text));
}

json_t *admin_text_endpoint(const struct endpoint *endpoint)
{
	char text[ENDPOINT_TEXT_MAX];

	return json_string(endpoint_format(endpoint, text));
}

json_t *admin_seconds(uint64_t ns)
{
	return ns == NODE_NEVER ? json_null() : json_real((double)(ns / 1000000u) / 1000.0);
}

int64_t admin_days_left(const struct cert *cert, int64_t now_s)
{
	/* Times are a peer's word, so anything. */
	int64_t left;

	if (__builtin_sub_overflow(cert->not_after, now_s, &left))
		return cert->not_after > now_s ? INT64_MAX : INT64_MIN;
	return left < 0 ? (left + 1) / 86400 - 1 : left / 86400;
}

/* --- certificates ------------------------------------------------------------------------------
 */

static json_t *text_hex(const uint8_t *bytes, size_t length)
{
	char hex[2 * CERT_SIGNATURE_MAX + 1];

	if (length > CERT_SIGNATURE_MAX)
		length = CERT_SIGNATURE_MAX;
	return json_string(sodium_bin2hex(hex, sizeof(hex), bytes, length));
}

/* A time outside the calendar is given as its number. */
static json_t *text_time(int64_t unix_s)
{
	time_t seconds = (time_t)unix_s;
	char text[48];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) || tm.tm_year > 8099 ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(text, sizeof(text), "%" PRId64, unix_s);
	return json_string(text);
}

static json_t *list_networks(const struct prefix *networks, size_t count)
{
	json_t *list = json_array();
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_string(prefix_format(&networks[i], text)));
	return list;
}

json_t *admin_cert(const struct cert *cert)
{
	json_t *groups = json_array();

	for (size_t i = 0; i < cert->group_count; i++)
		json_array_append_new(groups, json_string(cert->groups[i]));
	return json_pack(
		"{s:{s:o,s:o,s:o,s:s,s:o,s:o,s:o,s:o,s:b},s:o,s:o,s:i}", "details", "groups",
		groups, "ips", list_networks(cert->networks, cert->network_count), "subnets",
		list_networks(cert->unsafe_networks, cert->unsafe_network_count), "name",
		cert->name, "notBefore", text_time(cert->not_before), "notAfter",
		text_time(cert->not_after), "issuer",
		text_hex(cert->issuer, cert->has_issuer ? sizeof(cert->issuer) : 0), "publicKey",
		text_hex(cert->public_key, cert->public_key_len), "isCa", (int)cert->is_ca,
		"fingerprint", text_hex(cert->fingerprint, sizeof(cert->fingerprint)), "signature",
		text_hex(cert->signature, cert->signature_len), "version", (int)cert->version);
}

/* --- hosts -------------------------------------------------------------------------------------
 */

static json_t *list_remotes(struct node *node, const struct addr *addr)
{
	json_t *list = json_array();
	struct endpoint remote;
	bool blocked;

	for (uint32_t i = 0; node_query_remote(node, addr, i, &remote, &blocked); i++)
		if (!blocked)
			json_array_append_new(list, admin_text_endpoint(&remote));
	return list;
}

static json_t *list_addrs(const struct tunnel *tunnel)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < tunnel->addr_count; i++)
		json_array_append_new(list, admin_text_addr(&tunnel->addrs[i]));
	return list;
}

json_t *admin_relay(struct node *node, const struct addr *addr, uint32_t i)
{
	struct node_relay_view view;

	if (!node_query_relay(node, addr, i, &view))
		return NULL;
	return json_pack(
		"{s:o,s:s,s:s,s:o,s:I,s:I,s:b}", "NebulaAddr", admin_text_addr(&view.neighbour),
		"Type", view.forwarding ? "forwarding" : "terminal", "State", view.state,
		"PeerAddr", admin_text_addr(&view.peer), "LocalIndex", (json_int_t)view.local_index,
		"RemoteIndex", (json_int_t)view.remote_index, "inUse", (int)view.in_use);
}

/* Those whom we reach through the host's tunnels, or who reach others so. */
static json_t *list_relayed(struct node *node, const struct addr *addr)
{
	struct node_relay_view view;
	json_t *list = json_array();

	for (uint32_t i = 0; node_query_relay(node, addr, i, &view); i++)
		if (view.forwarding)
			json_array_append_new(list, admin_text_addr(&view.peer));
	return list;
}

static json_t *list_via(const struct node_tunnel_view *view)
{
	json_t *list = json_array();

	if (view->has_path)
		json_array_append_new(list, admin_text_addr(&view->via));
	return list;
}

json_t *admin_host(struct node *node, const struct addr *addr, uint32_t i)
{
	struct node_tunnel_view view;

	if (!node_query_tunnel(node, addr, i, &view))
		return NULL;
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:s,s:b,s:s,s:o,s:o,s:o,s:I,s:I,s:I,s:o}",
			 "vpnAddrs", list_addrs(view.tunnel), "currentRemote",
			 view.has_remote ? admin_text_endpoint(&view.remote) : json_null(),
			 "currentRelaysToMe", list_via(&view), "currentRelaysThroughMe",
			 list_relayed(node, addr), "remoteAddrs", list_remotes(node, addr), "state",
			 view.state, "primary", (int)view.primary, "handshake",
			 view.initiator ? "initiator" : "responder", "ageSeconds",
			 admin_seconds(view.age_ns), "heardSecondsAgo",
			 admin_seconds(view.heard_ago_ns), "sentSecondsAgo",
			 admin_seconds(view.sent_ago_ns), "localIndex",
			 (json_int_t)view.local_index, "remoteIndex", (json_int_t)view.remote_index,
			 "messageCounter", (json_int_t)view.counter, "cert", admin_cert(view.cert));
}

json_t *admin_pending(struct node *node, const struct addr *addr)
{
	struct node_host_view view;
	json_t *addrs;

	if (!node_query_host(node, addr, &view) || !view.pending)
		return NULL;
	addrs = json_array();
	json_array_append_new(addrs, admin_text_addr(addr));
	return json_pack("{s:o,s:o,s:i,s:i,s:o,s:I,s:i}", "vpnAddrs", addrs, "remoteAddrs",
			 list_remotes(node, addr), "attempts", (int)view.attempts, "attemptsMax",
			 (int)view.attempts_max, "ageSeconds", admin_seconds(view.pending_age_ns),
			 "localIndex", (json_int_t)view.pending_index, "cachedPackets",
			 (int)view.packets_held);
}

/* --- what is known of where hosts are ----------------------------------------------------------
 */

json_t *admin_addrmap(struct node *node, const struct addr *addr)
{
	struct node_owner_view view;
	json_t *map = json_object();

	for (uint32_t i = 0; node_query_owner(node, addr, i, &view); i++) {
		json_t *learned = json_array(), *reported = json_array(), *relay = json_array();
		char owner[ADDR_TEXT_MAX] = "configuration";

		if (view.is_dns)
			snprintf(owner, sizeof(owner), "DNS");
		else if (!addr_is_zero(&view.owner))
			addr_format(&view.owner, owner);
		for (int j = 0; j < 2; j++)
			if (view.learned[j].port)
				json_array_append_new(learned,
						      admin_text_endpoint(&view.learned[j]));
		for (uint32_t j = 0; j < view.reported_count; j++)
			json_array_append_new(reported, admin_text_endpoint(&view.reported[j]));
		for (uint32_t j = 0; j < view.relay_count; j++)
			json_array_append_new(relay, admin_text_addr(&view.relays[j]));
		json_object_set_new(map, owner,
				    json_pack("{s:o,s:o,s:o}", "learned", learned, "reported",
					      reported, "relay", relay));
	}
	return map;
}
