/*
 * admin_why.c - one page that says why a host is reachable from here, or is not.
 *
 * The page is a list of checks in the order in which a packet to the host meets them: route, our
 * certificate, what is known of where the host is, tunnel, its certificate, the last failed
 * handshake, firewall of both directions. Each has a verdict: "ok", "no" (this alone keeps packets
 * from passing), "?" (cannot be told now), or "-" (for information). The first "no" is the answer;
 * without any, "?" makes it unknown. What the peer's own firewall says cannot be seen from here.
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "addr_text.h"
#include "admin_commands.h"

#define LINE_MAX_BYTES 600

struct page {
	struct admin_world *world;
	struct node *node;
	struct addr target, hop; /* the host asked for; the overlay host that leads to it */
	struct next_hop route;   /* how */
	json_t *lines;
	char first_no[LINE_MAX_BYTES], first_unknown[LINE_MAX_BYTES];
	bool has_port;
	uint8_t protocol; /* 0: not asked for */
	uint16_t port;
	uint16_t from_port; /* ours; 0: not asked for, and any */
};

static const char *const drop_help[DROPS] = {
#define DROP(symbol, metric, help) [DROP_##symbol] = help,
#include "drops.def"
#undef DROP
};

static void line(struct page *page, const char *verdict, const char *check, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static void line(struct page *page, const char *verdict, const char *check, const char *format, ...)
{
	char text[LINE_MAX_BYTES];
	va_list arguments;
	json_t *row;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	row = json_pack("{s:s,s:s,s:s}", "verdict", verdict, "check", check, "text", text);
	if (!row) /* a name was cut inside a character */
		row = json_pack("{s:s,s:s,s:s}", "verdict", verdict, "check", check, "text", "-");
	json_array_append_new(page->lines, row);
	if (strcmp(verdict, "no") == 0 && !page->first_no[0])
		snprintf(page->first_no, sizeof(page->first_no), "%s", text);
	if (strcmp(verdict, "?") == 0 && !page->first_unknown[0])
		snprintf(page->first_unknown, sizeof(page->first_unknown), "%s", text);
}

/* "12.3 s", "4 min", "3 h", "2 days"; "never". */
static const char *age(uint64_t ns, char text[32])
{
	uint64_t seconds = ns / 1000000000u;

	if (ns == NODE_NEVER)
		snprintf(text, 32, "never");
	else if (seconds < 120)
		snprintf(text, 32, "%.1f s ago", (double)(ns / 100000000u) / 10.0);
	else if (seconds < 7200)
		snprintf(text, 32, "%" PRIu64 " min ago", seconds / 60);
	else if (seconds < 172800)
		snprintf(text, 32, "%" PRIu64 " h ago", seconds / 3600);
	else
		snprintf(text, 32, "%" PRIu64 " days ago", seconds / 86400);
	return text;
}

static int64_t wall_s(const struct page *page)
{
	const struct outside *outside = &page->world->control->outside;

	return (int64_t)(outside->wall_ns(outside->context) / 1000000000u);
}

/* --- the checks --------------------------------------------------------------------------------
 */

static bool is_own(const struct cert *own, const struct addr *addr)
{
	for (uint16_t i = 0; i < own->network_count; i++)
		if (addr_equal(&own->networks[i].addr, addr))
			return true;
	return false;
}

/* Our address that the host would see: of the same family. */
static struct addr own_addr(const struct page *page)
{
	const struct cert *own = pki_own_cert(page->world->pki);

	for (uint16_t i = 0; i < own->network_count; i++)
		if (addr_is_v4(&own->networks[i].addr) == addr_is_v4(&page->target))
			return own->networks[i].addr;
	return own->networks[0].addr;
}

/* The flow that is asked about, as far as it is known. */
static struct flow page_flow(const struct page *page, enum direction direction)
{
	struct flow flow = {
		.local = own_addr(page),
		.remote = page->target,
		.protocol = page->protocol,
	};

	if (page->has_port && direction == OUTBOUND)
		flow.remote_port = page->port;
	else if (page->has_port)
		flow.local_port = page->port;
	if (direction == OUTBOUND)
		flow.local_port = page->from_port;
	return flow;
}

/* Who says so: learned routes count before those of the configuration. */
static const char *route_origin(const struct page *page, char text[64])
{
	const struct prefix *to = &page->route.route->to;
	const struct config *config = page->world->config;

	snprintf(text, 64, "tun.unsafe_routes");
	for (uint32_t i = 0; i < config->tun.unsafe_route_count; i++) {
		const struct config_unsafe_route *route = &config->tun.unsafe_routes[i];

		if (route->to.bits == to->bits && addr_equal(&route->to.addr, &to->addr))
			snprintf(text, 64, "tun.unsafe_routes, line %u", route->where.line);
	}
	if (page->world->control->routes && routes_knows(page->world->control->routes, to))
		snprintf(text, 64, "learned from the system");
	return text;
}

/*
 * The route's gateways. With a source port the flow is known, and the one it takes is named; else
 * the rest of the page is about the first that is ready, in the order in which the workers look.
 */
static void check_gateways(struct page *page)
{
	const struct next_hop *route = &page->route;
	char text[PREFIX_TEXT_MAX], hop[ADDR_TEXT_MAX], origin[64];
	uint32_t count = route->gateway_count, taken = count;
	struct node_host_view view;

	for (uint32_t i = 0; i < count && taken == count; i++) {
		uint32_t at = (route->chosen + i) % count;

		node_query_host(page->node, &route->gateways[at].to.addr, &view);
		if (view.usable)
			taken = at;
	}
	page->hop = route->gateways[taken < count ? taken : route->chosen].to.addr;
	line(page, "ok", "route", "%s is behind %s%s (%s)", prefix_format(&route->route->to, text),
	     count > 1 ? "several gateways; looked at is " : "the gateway ",
	     addr_format(&page->hop, hop), route_origin(page, origin));
	for (uint32_t i = 0; count > 1 && i < count; i++) {
		node_query_host(page->node, &route->gateways[i].to.addr, &view);
		line(page, "-", "gateway", "%s, weight %u, %s a tunnel%s%s",
		     addr_format(&route->gateways[i].to.addr, hop), route->gateways[i].to.weight,
		     view.usable ? "with" : "without",
		     page->from_port && i == route->chosen ? "; the flow's own choice" : "",
		     page->from_port && i == taken ? "; takes the flow now" : "");
	}
}

/* False: there is nothing behind that is worth a line. */
static bool check_route(struct page *page)
{
	const struct cert *own = pki_own_cert(page->world->pki);
	struct flow flow = page_flow(page, OUTBOUND);
	char text[PREFIX_TEXT_MAX];
	enum drop reason;

	if (is_own(own, &page->target)) {
		line(page, "-", "route", "the address is this host's own");
		return false;
	}
	reason = dataplane_route(page->world->control->dataplane, &flow, &page->route);
	if (reason != DROP_NONE) {
		line(page, "no", "route", "%s", drop_help[reason]);
		return false;
	}
	page->hop = page->route.addr;
	if (page->route.route) {
		check_gateways(page);
		return true;
	}
	for (uint16_t i = 0; i < own->network_count; i++)
		if (prefix_contains(&own->networks[i], &page->target))
			line(page, "ok", "route", "in our network %s",
			     prefix_format(&own->networks[i], text));
	return true;
}

static void check_own_cert(struct page *page)
{
	const struct cert *own = pki_own_cert(page->world->pki);
	int64_t days = admin_days_left(own, wall_s(page));
	enum cert_error error = ca_pool_reverify(page->world->pki->ca, own, wall_s(page), NULL);

	if (error != CERT_OK)
		line(page, "no", "own certificate", "%.80s: %s", own->name, cert_error_text(error));
	else
		line(page, "ok", "own certificate", "%.80s, valid for %" PRId64 " more days",
		     own->name, days);
}

/* Which can be asked, and which has said something about the host. */
static void check_lighthouses(struct page *page)
{
	const struct lighthouse_options *options = &page->world->config->lighthouse;
	struct node_owner_view owner;
	struct node_host_view view;
	char text[ADDR_TEXT_MAX];

	for (uint32_t i = 0; i < options->host_count; i++) {
		node_query_host(page->node, &options->hosts[i], &view);
		line(page, "-", "lighthouse", "%s, %s", addr_format(&options->hosts[i], text),
		     view.usable    ? "with a tunnel"
		     : view.pending ? "its handshake is under way"
				    : "without a tunnel");
	}
	for (uint32_t i = 0; node_query_owner(page->node, &page->hop, i, &owner); i++)
		if (owner.is_dns)
			line(page, "-", "DNS", "%u addresses of the host", owner.reported_count);
		else if (!addr_is_zero(&owner.owner) && owner.reported_count)
			line(page, "-", "reported",
			     "%s reports %u addresses of the host, %u relays",
			     addr_format(&owner.owner, text), owner.reported_count,
			     owner.relay_count);
}

static void check_known(struct page *page, const struct node_host_view *host)
{
	const struct config *config = page->world->config;
	uint32_t usable = 0, at = 0;
	char text[LINE_MAX_BYTES - 200] = "", one[ENDPOINT_TEXT_MAX];
	struct endpoint remote;
	bool blocked;

	for (uint32_t i = 0; i < config->static_host_count; i++)
		if (addr_equal(&config->static_hosts[i].overlay, &page->hop))
			line(page, "-", "static map",
			     "static_host_map, line %u: %u addresses, %u host names",
			     config->static_hosts[i].where.line,
			     config->static_hosts[i].remote_count,
			     config->static_hosts[i].name_count);
	for (uint32_t i = 0; node_query_remote(page->node, &page->hop, i, &remote, &blocked); i++) {
		if (at + ENDPOINT_TEXT_MAX + 32 < sizeof(text))
			at += (uint32_t)snprintf(text + at, sizeof(text) - at, "%s%s%s",
						 at ? ", " : "", endpoint_format(&remote, one),
						 blocked ? " (another host is there)" : "");
		usable += !blocked;
	}
	check_lighthouses(page);
	if (usable)
		line(page, "ok", "known addresses", "%s", text);
	else if (host->usable)
		line(page, "-", "known addresses", "none but the tunnel's own");
	else if (config->lighthouse.host_count)
		line(page, "?", "known addresses",
		     "none that can be used%s%s; lighthouses are asked when a handshake begins",
		     at ? ": " : "", text);
	else
		line(page, "no", "known addresses",
		     "no underlay address of the host is known%s%s: add it to static_host_map, or "
		     "wait for it to begin",
		     at ? ": " : "", text);
}

/* How the host says it is reached, and how far each of its relays is. */
static void check_relays(struct page *page)
{
	const struct relay_options *options = &page->world->config->relay;
	struct addr relay;

	for (uint32_t i = 0; node_query_relay_of(page->node, &page->hop, i, &relay); i++) {
		struct node_host_view host;
		struct node_relay_view view;
		const char *state = "not asked yet";
		char text[ADDR_TEXT_MAX];

		node_query_host(page->node, &relay, &host);
		for (uint32_t k = 0; node_query_relay(page->node, &relay, k, &view); k++)
			if (addr_equal(&view.peer, &page->hop)) {
				state = view.state;
				break;
			}
		line(page, "-", "relay", "%s, %s; %s%s", addr_format(&relay, text),
		     host.usable ? "with a tunnel" : "without a tunnel", state,
		     options->use_relays ? "" : " (relays are not used here: relay.use_relays)");
	}
}

static void check_pending(struct page *page, const struct node_host_view *host)
{
	const struct node_failure *failure = node_query_failure(page->node, &page->hop);
	char text[32], from[ENDPOINT_TEXT_MAX] = "";

	if (host->pending)
		line(page, host->usable ? "-" : "?", "handshake",
		     "under way, begun %s, attempt %u of %u, %u packets wait",
		     age(host->pending_age_ns, text), host->attempts, host->attempts_max,
		     host->packets_held);
	if (!failure)
		return;
	if (failure->from.port)
		endpoint_format(&failure->from, from);
	line(page, host->usable ? "-" : "no", "last failure", "%s: handshake failed: %s%s%s",
	     age(node_query_now_ns(page->node) - failure->at_ns, text), failure->text,
	     from[0] ? ", from " : "", from);
}

/* The primary tunnel in *view. False: none. */
static bool check_tunnel(struct page *page, const struct node_host_view *host,
			 struct node_tunnel_view *view)
{
	char created[32], heard[32], sent[32], to[ENDPOINT_TEXT_MAX] = "nowhere";

	for (uint32_t i = 0; i < host->tunnel_count; i++) {
		if (!node_query_tunnel(page->node, &page->hop, i, view))
			break;
		if (!view->primary)
			continue;
		if (view->has_remote)
			endpoint_format(&view->remote, to);
		else if (view->has_path)
			addr_format(&view->via, to);
		line(page, "ok", "tunnel", "%s, made %s by %s handshake", view->state,
		     age(view->age_ns, created), view->initiator ? "our" : "its");
		line(page, view->has_remote || view->has_path ? "ok" : "no", "path",
		     "%s %s; last heard %s, last sent %s",
		     view->has_remote ? "direct to" : "through the relay", to,
		     age(view->heard_ago_ns, heard), age(view->sent_ago_ns, sent));
		return true;
	}
	if (host->tunnel_count && node_query_tunnel(page->node, &page->hop, 0, view))
		line(page, "?", "tunnel", "%u, none carries traffic yet (%s)", host->tunnel_count,
		     view->state);
	else
		line(page, host->pending ? "-" : "?", "tunnel",
		     "none; the first packet, or m57ctl create-tunnel, begins one");
	return false;
}

static void check_peer_cert(struct page *page, const struct cert *cert)
{
	enum cert_error error = ca_pool_reverify(page->world->pki->ca, cert, wall_s(page),
						 page->world->pki->blocklist);
	bool ends = error == CERT_BLOCKED || page->world->config->pki.disconnect_invalid;

	if (error != CERT_OK)
		line(page, ends ? "no" : "-", "peer certificate", "%.80s: %s", cert->name,
		     cert_error_text(error));
	else
		line(page, "ok", "peer certificate",
		     "%.80s, %u groups, valid for %" PRId64 " more days", cert->name,
		     cert->group_count, admin_days_left(cert, wall_s(page)));
}

/* --- firewall ----------------------------------------------------------------------------------
 */

static const char *const direction_names[] = {[OUTBOUND] = "outbound", [INBOUND] = "inbound"};

static void check_flow(struct page *page, const struct tunnel *tunnel, enum direction direction)
{
	const struct firewall_rules *rules = &page->world->config->firewall.rules[direction];
	struct flow flow = page_flow(page, direction);
	const char *name = direction_names[direction];
	uint32_t rule = 0;
	enum drop reason;

	reason = dataplane_judge(page->world->control->dataplane, tunnel, &flow, direction, &rule);
	if (reason == DROP_NONE && rule < rules->count)
		line(page, "ok", name, "allowed by rule %u of firewall.%s, line %u", rule + 1, name,
		     rules->rules[rule].line);
	else if (reason == DROP_FIREWALL_NO_RULE)
		line(page, direction == OUTBOUND ? "no" : "-", name,
		     "no rule of firewall.%s allows it to begin%s", name,
		     direction == OUTBOUND ? "" : " there; answers to us pass");
	else
		line(page, "no", name, "%s", drop_help[reason]);
}

/* Without a protocol: the rules that are for this peer, whatever they ask of the packet. */
static void check_rules(struct page *page, const struct tunnel *tunnel, enum direction direction)
{
	const struct firewall_rules *rules = &page->world->config->firewall.rules[direction];
	const struct peer_rules *bits = tunnel_rules(tunnel, page->world->rules_version);
	char text[LINE_MAX_BYTES - 100] = "";
	uint32_t fit = 0, at = 0;

	for (uint32_t i = 0; bits && i < rules->count && i / 64 < bits->words; i++) {
		const struct rule *rule = &rules->rules[i];
		uint64_t bit = 1ull << (i % 64);

		if (!(bits->ca[direction][i / 64] & bit) ||
		    (!(bits->peer[direction][i / 64] & bit) &&
		     !(rule->has_cidr && prefix_contains(&rule->cidr, &page->target))))
			continue;
		fit++;
		if (at + 16 < sizeof(text))
			at += (uint32_t)snprintf(text + at, sizeof(text) - at, "%s%u",
						 at ? ", " : "", rule->line);
	}
	if (fit)
		line(page, "-", direction_names[direction],
		     "%u of %u rules of firewall.%s are for this peer (lines %s); name PROTO PORT "
		     "for "
		     "a verdict",
		     fit, rules->count, direction_names[direction], text);
	else
		line(page, direction == OUTBOUND ? "no" : "-", direction_names[direction],
		     "none of the %u rules of firewall.%s is for this peer", rules->count,
		     direction_names[direction]);
}

static void check_firewall(struct page *page, const struct node_tunnel_view *view, bool tunnel)
{
	for (int direction = OUTBOUND; direction <= INBOUND; direction++) {
		if (!tunnel)
			line(page, "-", direction_names[direction],
			     "depends on the peer's certificate, which comes with the tunnel");
		else if (page->protocol)
			check_flow(page, view->tunnel, direction);
		else
			check_rules(page, view->tunnel, direction);
	}
}

/* --- arguments and answer ----------------------------------------------------------------------
 */

static bool port_read(const char *text, uint16_t *port)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	*port = (uint16_t)number;
	return *end == '\0' && text[0] >= '0' && text[0] <= '9' && number > 0 && number <= 65535;
}

static bool protocol_read(struct page *page, const struct admin_arguments *arguments)
{
	static const struct {
		const char *name;
		uint8_t number;
	} names[] = {{"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"icmp", IPPROTO_ICMP}};

	if (arguments->count < 2)
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(arguments->positional[1], names[i].name) == 0)
			page->protocol = names[i].number;
	if (page->protocol == IPPROTO_ICMP) {
		if (!addr_is_v4(&page->target))
			page->protocol = IPPROTO_ICMPV6;
		return arguments->count == 2;
	}
	if (!page->protocol || arguments->count < 3)
		return false;
	page->has_port = true;
	return port_read(arguments->positional[2], &page->port) &&
	       (arguments->count < 4 || port_read(arguments->positional[3], &page->from_port));
}

static json_t *page_answer(struct page *page, bool own)
{
	const char *reachable = "yes", *summary = "packets to the host leave by its tunnel";

	if (own) {
		summary = "the address is this host's own";
	} else if (page->first_no[0]) {
		reachable = "no";
		summary = page->first_no;
	} else if (page->first_unknown[0]) {
		reachable = "unknown";
		summary = page->first_unknown;
	}
	return json_pack("{s:o,s:s,s:s,s:o}", "address", admin_text_addr(&page->target),
			 "reachable", reachable, "summary", summary, "page", page->lines);
}

json_t *admin_why(struct admin_world *world, const struct admin_arguments *arguments,
		  char error[ERROR_LINE_MAX])
{
	struct page page = {.world = world, .node = world->control->node};
	struct node_tunnel_view view = {0};
	struct node_host_view host;
	bool tunnel;

	if (addr_parse(arguments->positional[0], &page.target) != 0) {
		snprintf(error, ERROR_LINE_MAX, "not an address: %.60s", arguments->positional[0]);
		return NULL;
	}
	if (!protocol_read(&page, arguments)) {
		snprintf(error, ERROR_LINE_MAX,
			 "usage: why ADDRESS [tcp PORT [FROM] | udp PORT [FROM] | icmp], ports "
			 "from 1 to 65535");
		return NULL;
	}
	page.lines = json_array();
	if (!check_route(&page))
		return page_answer(&page, !page.first_no[0]);
	check_own_cert(&page);
	node_query_host(page.node, &page.hop, &host);
	check_known(&page, &host);
	tunnel = check_tunnel(&page, &host, &view);
	check_relays(&page);
	check_pending(&page, &host);
	if (tunnel)
		check_peer_cert(&page, view.cert);
	check_firewall(&page, &view, tunnel);
	return page_answer(&page, false);
}
