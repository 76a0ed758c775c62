/*
 * admin_why_host.c - the part of "why" that is about the host: what is known of where it is, its
 * tunnel, its relays, the last failed handshake, its certificate; see admin_why.c.
 */
#include "admin_why.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "addr_text.h"

/* A handshake that failed so long ago says what was, and not what the next one will meet. */
#define FAILURE_RECENT_NS 60000000000ull

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

/* Which can be asked, and which has said something about the host. */
static void check_lighthouses(struct page *page)
{
	const struct lighthouse_options *options = &page->world->config->lighthouse;
	struct node_owner_view owner;
	struct node_host_view view;
	char text[ADDR_TEXT_MAX];

	for (uint32_t i = 0; i < options->host_count; i++) {
		node_query_host(page->node, &options->hosts[i], &view);
		why_line(page, "-", "lighthouse", "%s, %s", addr_format(&options->hosts[i], text),
			 view.usable    ? "with a tunnel"
			 : view.pending ? "its handshake is under way"
					: "without a tunnel");
	}
	for (uint32_t i = 0; node_query_owner(page->node, &page->hop, i, &owner); i++)
		if (owner.is_dns)
			why_line(page, "-", "DNS", "%u addresses of the host",
				 owner.reported_count);
		else if (!addr_is_zero(&owner.owner) && owner.reported_count)
			why_line(page, "-", "reported",
				 "%s reports %u addresses of the host, %u relays",
				 addr_format(&owner.owner, text), owner.reported_count,
				 owner.relay_count);
}

/* How many host names the configuration has for the host. */
static uint32_t check_static_map(struct page *page)
{
	const struct config *config = page->world->config;
	uint32_t names = 0;

	for (uint32_t i = 0; i < config->static_host_count; i++) {
		const struct static_host *host = &config->static_hosts[i];

		if (!addr_equal(&host->overlay, &page->hop))
			continue;
		why_line(page, "-", "static map",
			 "static_host_map, line %u: %u addresses, %u host names", host->where.line,
			 host->remote_count, host->name_count);
		names += host->name_count;
	}
	return names;
}

static void check_known(struct page *page, const struct node_host_view *host)
{
	const struct config *config = page->world->config;
	uint32_t usable = 0, at = 0, names = check_static_map(page);
	char text[LINE_MAX_BYTES - 200] = "", one[ENDPOINT_TEXT_MAX];
	struct endpoint remote;
	bool blocked;

	for (uint32_t i = 0; node_query_remote(page->node, &page->hop, i, &remote, &blocked); i++) {
		if (at + ENDPOINT_TEXT_MAX + 32 < sizeof(text))
			at += (uint32_t)snprintf(text + at, sizeof(text) - at, "%s%s%s",
						 at ? ", " : "", endpoint_format(&remote, one),
						 blocked ? " (another host is there)" : "");
		usable += !blocked;
	}
	check_lighthouses(page);
	if (usable)
		why_line(page, "ok", "known addresses", "%s", text);
	else if (host->usable)
		why_line(page, "-", "known addresses", "none but the tunnel's own");
	else if (names && !at)
		why_line(page, config->lighthouse.host_count ? "?" : "no", "known addresses",
			 "none: DNS has given none for its host names in static_host_map");
	else if (config->lighthouse.host_count)
		why_line(page, "?", "known addresses",
			 "none that can be used%s%s; lighthouses are asked when a handshake begins",
			 at ? ": " : "", text);
	else if (at)
		why_line(page, "no", "known addresses",
			 "none that can be used: %s: correct static_host_map, or reload when the "
			 "host is there; it is tried again after some minutes, too",
			 text);
	else
		why_line(page, "no", "known addresses",
			 "no underlay address of the host is known: add it to static_host_map, or "
			 "wait for it to begin");
}

/*
 * Why no relay is asked here. One that the other side has asked serves both ends all the same, and
 * so does one that was asked before a reload.
 */
static const char *unasked(const struct page *page, bool established)
{
	const struct relay_options *options = &page->world->config->relay;

	if (established || options->use_relays)
		return "";
	return options->am_relay ? " (relays are not used here: relay.am_relay)"
				 : " (relays are not used here: relay.use_relays)";
}

/* How the host says it is reached, and how far each of its relays is. */
static void check_relays(struct page *page)
{
	struct addr relay;

	for (uint32_t i = 0; node_query_relay_of(page->node, &page->hop, i, &relay); i++) {
		struct node_host_view host;
		struct node_relay_view view;
		const char *state = "not asked yet";
		bool established = false;
		char text[ADDR_TEXT_MAX];

		if (node_query_is_own(page->node, &relay)) {
			why_line(page, "-", "relay", "%s, this host itself",
				 addr_format(&relay, text));
			continue;
		}
		node_query_host(page->node, &relay, &host);
		for (uint32_t k = 0; node_query_relay(page->node, &relay, k, &view); k++)
			if (addr_equal(&view.peer, &page->hop)) {
				state = view.state;
				established = strcmp(state, "established") == 0;
				break;
			}
		why_line(page, "-", "relay", "%s, %s; %s%s", addr_format(&relay, text),
			 host.usable ? "with a tunnel" : "without a tunnel", state,
			 unasked(page, established));
	}
}

static void check_failure(struct page *page, const struct node_host_view *host)
{
	const struct node_failure *failure = node_query_failure(page->node, &page->hop);
	char text[32], from[ENDPOINT_TEXT_MAX] = "";
	const char *verdict = host->usable ? "-" : "no";
	uint64_t ago_ns;

	if (!failure)
		return;
	ago_ns = node_query_now_ns(page->node) - failure->at_ns;
	if (!host->usable && ago_ns > FAILURE_RECENT_NS)
		verdict = "?";
	if (failure->from.port)
		endpoint_format(&failure->from, from);
	why_line(page, verdict, "last failure", "%s: handshake failed: %s%s%s", age(ago_ns, text),
		 failure->text, from[0] ? ", from " : "", from);
}

static void check_pending(struct page *page, const struct node_host_view *host)
{
	char text[32];

	if (host->pending)
		why_line(page, host->usable ? "-" : "?", "handshake",
			 "under way, begun %s, attempt %u of %u, %u packets wait",
			 age(host->pending_age_ns, text), host->attempts, host->attempts_max,
			 host->packets_held);
	check_failure(page, host);
}

/* The tunnel that carries the traffic. One that does not answer may be of no use, whatever it
 * takes: the peer may be gone, or the path; or only what comes from there is lost. */
static void tunnel_line(struct page *page, const struct node_tunnel_view *view)
{
	char created[32], asked[32];
	bool silent = view->silent_ns != NODE_NEVER;

	why_line(page, silent || view->deaf ? "?" : "ok", "tunnel",
		 "%s, made %s by %s handshake%s%s", view->state, age(view->age_ns, created),
		 view->initiator ? "our" : "its",
		 silent       ? ", but the host does not answer: first asked "
		 : view->deaf ? ", but the host, which is heard, does not hear us"
			      : "",
		 silent ? age(view->silent_ns, asked) : "");
}

/* The primary tunnel in *view. False: none. */
static bool check_tunnel(struct page *page, const struct node_host_view *host,
			 struct node_tunnel_view *view)
{
	char heard[32], sent[32], to[ENDPOINT_TEXT_MAX] = "nowhere";

	for (uint32_t i = 0; i < host->tunnel_count; i++) {
		if (!node_query_tunnel(page->node, &page->hop, i, view))
			break;
		if (!view->primary)
			continue;
		if (view->has_remote)
			endpoint_format(&view->remote, to);
		else if (view->has_path)
			addr_format(&view->via, to);
		tunnel_line(page, view);
		why_line(page, view->has_remote || view->has_path ? "ok" : "no", "path",
			 "%s %s; last heard %s, last sent %s",
			 view->has_remote ? "direct to" : "through the relay", to,
			 age(view->heard_ago_ns, heard), age(view->sent_ago_ns, sent));
		return true;
	}
	if (host->tunnel_count && node_query_tunnel(page->node, &page->hop, 0, view))
		why_line(page, "?", "tunnel", "%u, none carries traffic yet (%s)",
			 host->tunnel_count, view->state);
	else
		why_line(page, host->pending ? "-" : "?", "tunnel",
			 "none; the first packet, or m57ctl create-tunnel, begins one");
	return false;
}

/* Sends to an address that the kernel refused, those of all workers as one; times 0: none. */
static struct refused_send refused_to(const struct page *page, const struct endpoint *to)
{
	struct control *control = page->world->control;
	struct refused_send list[REFUSALS_MAX], all = {.to = *to};

	for (uint32_t queue = 0; queue < control->queues; queue++) {
		uint32_t count = dataplane_read_refused_sends(control->dataplane, queue, list);

		for (uint32_t i = 0; i < count; i++) {
			if (!endpoint_equal(&list[i].to, to))
				continue;
			all.times += list[i].times;
			if (list[i].last_ns > all.last_ns) {
				all.last_ns = list[i].last_ns;
				all.error = list[i].error;
			}
		}
	}
	return all;
}

/*
 * Does the kernel take what the tunnel sends? Each refusal was of a datagram to this very address
 * (the sockets are not connected, so no ICMP error comes back on them). Nobody notes what was
 * taken, but when traffic was sealed: if that is later than the last refusal, it was not refused.
 */
static void check_sends(struct page *page, const struct node_tunnel_view *view)
{
	const struct tunnel *carrier = view->carrier;
	char text[32], to[ENDPOINT_TEXT_MAX];

	if (!carrier || !carrier->remote)
		return;
	/* first: a datagram sealed behind this look is not taken for one that has left */
	uint64_t sent_ns = atomic_load(&carrier->last_out_ns);
	struct refused_send refused = refused_to(page, &carrier->remote->to);
	uint64_t ago_ns = node_query_now_ns(page->node) - refused.last_ns;
	bool since = sent_ns > refused.last_ns + REFUSED_SEND_SETTLE_NS;

	if (refused.times == 0 || ago_ns > REFUSED_SEND_RECENT_NS)
		return;
	why_line(page, since ? "-" : "no", "sending",
		 "the kernel refused %s to %s: %s (%" PRIu64 " in all, last %s)%s",
		 since ? "datagrams" : "the last datagrams", endpoint_format(&refused.to, to),
		 strerror((int)refused.error), refused.times, age(ago_ns, text),
		 since ? "; it took those sent since" : "");
}

/* The last handshake packet to this address, if the kernel refused it and it is no older than most;
 * or NULL. */
static const struct refused_send *refused_handshake(const struct page *page,
						    const struct endpoint *to, uint64_t most_ns)
{
	const struct refused_send *refused = control_refused_send(page->world->control, to);

	return refused && node_query_now_ns(page->node) - refused->last_ns <= most_ns ? refused
										      : NULL;
}

/* Without a tunnel there are handshakes, which control sends: to each address of the host. They
 * get nowhere when all are refused, and no relay is there to take them. */
static void check_handshake_sends(struct page *page)
{
	char text[32], at[ENDPOINT_TEXT_MAX];
	const struct refused_send *refused;
	struct endpoint to;
	struct addr relay;
	bool blocked, none = !(page->world->config->relay.use_relays &&
			       node_query_relay_of(page->node, &page->hop, 0, &relay));

	for (uint32_t i = 0; node_query_remote(page->node, &page->hop, i, &to, &blocked); i++)
		none &= blocked || refused_handshake(page, &to, REFUSED_SEND_RECENT_NS);
	for (uint32_t i = 0; node_query_remote(page->node, &page->hop, i, &to, &blocked); i++) {
		refused = refused_handshake(page, &to, UINT64_MAX);
		if (!refused || blocked)
			continue;
		why_line(page, none ? "no" : "-", "sending",
			 "the kernel refused the last handshake packets to %s: %s (%" PRIu64
			 " in a row, last %s)",
			 endpoint_format(&to, at), strerror((int)refused->error), refused->times,
			 age(node_query_now_ns(page->node) - refused->last_ns, text));
	}
}

static void check_peer_cert(struct page *page, const struct cert *cert)
{
	enum cert_error error = ca_pool_reverify(page->world->pki->ca, cert, why_wall_s(page),
						 page->world->pki->blocklist);
	char life[WHY_LIFE_MAX];
	bool ends = error == CERT_BLOCKED || page->world->config->pki.disconnect_invalid;

	if (error != CERT_OK)
		why_line(page, ends ? "no" : "-", "peer certificate", "%.80s: %s", cert->name,
			 cert_error_text(error));
	else
		why_line(page, "ok", "peer certificate", "%.80s, %u group%s, %s", cert->name,
			 cert->group_count, cert->group_count == 1 ? "" : "s",
			 why_life(page, cert, life));
}

bool why_check_host(struct page *page, struct node_tunnel_view *view)
{
	struct node_host_view host;
	bool tunnel;

	node_query_host(page->node, &page->hop, &host);
	check_known(page, &host);
	tunnel = check_tunnel(page, &host, view);
	if (tunnel)
		check_sends(page, view);
	else
		check_handshake_sends(page);
	check_relays(page);
	check_pending(page, &host);
	if (tunnel)
		check_peer_cert(page, view->cert);
	return tunnel;
}
