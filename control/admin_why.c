/*
 * admin_why.c - one page that says why a host is reachable from here, or is not.
 *
 * The page is a list of checks in the order in which a packet to the host meets them: route, tun
 * device, our certificate, what is known of where the host is, tunnel, what the kernel refused to
 * send for it, its certificate, the last failed handshake, firewall of both directions. Each has a
 * verdict: "ok", "no" (this alone keeps packets from passing), "?" (cannot be told now), or "-"
 * (for information). The first "no" is the answer; without any, "?" makes it unknown. What the
 * peer's own firewall says cannot be seen from here.
 */
#include "admin_why.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "addr_text.h"
#include "utf8.h"

static const char *const drop_help[DROPS] = {
#define DROP(symbol, metric, help) [DROP_##symbol] = help,
#include "drops.def"
#undef DROP
};

void why_line(struct page *page, const char *verdict, const char *check, const char *format, ...)
{
	char text[LINE_MAX_BYTES];
	va_list arguments;
	json_t *row;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	utf8_mend(text);
	row = json_pack("{s:s,s:s,s:s}", "verdict", verdict, "check", check, "text", text);
	json_array_append_new(page->lines, row);
	if (strcmp(verdict, "no") == 0 && !page->first_no[0])
		snprintf(page->first_no, sizeof(page->first_no), "%s", text);
	if (strcmp(verdict, "?") == 0 && !page->first_unknown[0])
		snprintf(page->first_unknown, sizeof(page->first_unknown), "%s: %s", check, text);
}

int64_t why_wall_s(const struct page *page)
{
	const struct outside *outside = &page->world->control->outside;

	return (int64_t)(outside->wall_ns(outside->context) / 1000000000u);
}

/* --- the checks --------------------------------------------------------------------------------
 */

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
	why_line(page, "ok", "route", "%s is behind %s%s (%s)",
		 prefix_format(&route->route->to, text),
		 count > 1 ? "several gateways; looked at is " : "the gateway ",
		 addr_format(&page->hop, hop), route_origin(page, origin));
	for (uint32_t i = 0; count > 1 && i < count; i++) {
		node_query_host(page->node, &route->gateways[i].to.addr, &view);
		why_line(page, "-", "gateway", "%s, weight %u, %s a tunnel%s%s",
			 addr_format(&route->gateways[i].to.addr, hop),
			 route->gateways[i].to.weight, view.usable ? "with" : "without",
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

	if (node_query_is_own(page->node, &page->target)) {
		why_line(page, "-", "route", "the address is this host's own");
		return false;
	}
	reason = dataplane_route(page->world->control->dataplane, &flow, &page->route);
	if (reason != DROP_NONE) {
		why_line(page, "no", "route", "%s", drop_help[reason]);
		return false;
	}
	page->hop = page->route.addr;
	if (page->route.route) {
		check_gateways(page);
		return true;
	}
	for (uint16_t i = 0; i < own->network_count; i++)
		if (prefix_contains(&own->networks[i], &page->target))
			why_line(page, "ok", "route", "in our network %s",
				 prefix_format(&own->networks[i], text));
	return true;
}

const char *why_life(const struct page *page, const struct cert *cert, char text[WHY_LIFE_MAX])
{
	int64_t days = admin_days_left(cert, why_wall_s(page));

	if (days == 0)
		return "valid for less than a day";
	snprintf(text, WHY_LIFE_MAX, "valid for %" PRId64 " more day%s", days,
		 days == 1 ? "" : "s");
	return text;
}

/* Rules of the system may know more of a packet than its destination: so none of it is a "no". */
static void check_system_route(struct page *page, const struct routes *routes)
{
	char other[IFNAMSIZ], text[ADDR_TEXT_MAX];
	int error = routes_elsewhere(routes, &page->target, other);

	addr_format(&page->target, text);
	if (error)
		why_line(page, "?", "system route", "the system sends no packets to %s: %s", text,
			 strerror(-error));
	else if (other[0])
		why_line(page, "?", "system route",
			 "the system sends packets to %s by %s, not by %s: ip route get %s", text,
			 other, page->world->device, text);
}

static void check_device(struct page *page)
{
	const struct routes *routes = page->world->control->routes;
	const char *device = page->world->device;

	if (routes && routes_device(routes) == LINK_DOWN)
		why_line(page, "no", "device", "%s is down: ip link set %s up", device, device);
	else if (routes && routes_device(routes) == LINK_GONE)
		why_line(page, "?", "device", "%s has left this network namespace", device);
	else if (routes)
		check_system_route(page, routes);
}

static void check_own_cert(struct page *page)
{
	const struct cert *own = pki_own_cert(page->world->pki);
	char life[WHY_LIFE_MAX];
	enum cert_error error = ca_pool_reverify(page->world->pki->ca, own, why_wall_s(page), NULL);

	if (error != CERT_OK)
		why_line(page, "no", "own certificate", "%.80s: %s", own->name,
			 cert_error_text(error));
	else
		why_line(page, "ok", "own certificate", "%.80s, %s", own->name,
			 why_life(page, own, life));
}

/* --- firewall ----------------------------------------------------------------------------------
 */

static const char *const direction_names[] = {[OUTBOUND] = "outbound", [INBOUND] = "inbound"};

/* Of a packet that dataplane_judge() lets not pass. */
static const char *refusal(enum drop reason, enum direction direction)
{
	if (direction == OUTBOUND && reason == DROP_FIREWALL_REMOTE_ADDR)
		reason = DROP_FIREWALL_OUT_REMOTE_ADDR;
	if (direction == OUTBOUND && reason == DROP_FIREWALL_LOCAL_ADDR)
		reason = DROP_FIREWALL_OUT_LOCAL_ADDR;
	return drop_help[reason];
}

static void check_flow(struct page *page, const struct tunnel *tunnel, enum direction direction)
{
	const struct firewall_rules *rules = &page->world->config->firewall.rules[direction];
	struct flow flow = page_flow(page, direction);
	const char *name = direction_names[direction];
	uint32_t rule = 0;
	enum drop reason;

	reason = dataplane_judge(page->world->control->dataplane, tunnel, &flow, direction, &rule);
	if (reason == DROP_NONE && rule < rules->count)
		why_line(page, "ok", name, "allowed by rule %u of firewall.%s, line %u", rule + 1,
			 name, rules->rules[rule].line);
	else if (reason == DROP_FIREWALL_NO_RULE)
		why_line(page, direction == OUTBOUND ? "no" : "-", name,
			 "no rule of firewall.%s allows it to begin%s", name,
			 direction == OUTBOUND ? "" : " there; answers to us pass");
	else
		why_line(page, "no", name, "%s", refusal(reason, direction));
}

/* Are the addresses of both ends those of their certificates? Else no rule is asked. */
static bool check_addresses(struct page *page, const struct tunnel *tunnel,
			    enum direction direction)
{
	struct flow flow = page_flow(page, direction);
	uint32_t rule = 0;
	enum drop reason =
		dataplane_judge(page->world->control->dataplane, tunnel, &flow, direction, &rule);

	if (reason == DROP_NONE || reason == DROP_FIREWALL_NO_RULE)
		return true;
	why_line(page, "no", direction_names[direction], "%s", refusal(reason, direction));
	return false;
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
		why_line(page, "-", direction_names[direction],
			 "%u of %u rules of firewall.%s are for this peer (lines %s); name PROTO "
			 "PORT "
			 "for "
			 "a verdict",
			 fit, rules->count, direction_names[direction], text);
	else
		why_line(page, direction == OUTBOUND ? "no" : "-", direction_names[direction],
			 "none of the %u rules of firewall.%s is for this peer", rules->count,
			 direction_names[direction]);
}

static void check_firewall(struct page *page, const struct node_tunnel_view *view, bool tunnel)
{
	for (int direction = OUTBOUND; direction <= INBOUND; direction++) {
		if (!tunnel)
			why_line(page, "-", direction_names[direction],
				 "depends on the peer's certificate, which comes with the tunnel");
		else if (page->protocol)
			check_flow(page, view->tunnel, direction);
		else if (check_addresses(page, view->tunnel, direction))
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
	check_device(&page);
	check_own_cert(&page);
	tunnel = why_check_host(&page, &view);
	check_firewall(&page, &view, tunnel);
	return page_answer(&page, false);
}
