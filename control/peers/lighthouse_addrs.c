/*
 * lighthouse_addrs.c - which addresses a host may be at: what a lighthouse, or a host about itself,
 * is believed, and what the configuration allows (PROTOCOL.md 6.3, 6.7, 6.8).
 *
 * Whoever is told an address sends a handshake or a punch there, so a teller who lies aims us. Not
 * believed: where no host can be; our own networks, for that would lead through a tunnel; our own
 * socket; loopback and link-local addresses, unless the teller itself talks to us from such a one.
 * What is left is bounded in number (REPORTED_MAX) and in time (punch.h).
 */
#include <errno.h>
#include <string.h>

#include "peers/lighthouse.h"
#include "peers/node_state.h"

static bool is_loopback(const struct addr *addr)
{
	static const struct addr loopback = {{[15] = 1}};

	return addr_is_v4(addr) ? addr_v4(addr) >> 24 == 127 : addr_equal(addr, &loopback);
}

static bool is_link_local(const struct addr *addr)
{
	if (addr_is_v4(addr))
		return addr_v4(addr) >> 16 == 0xa9fe;
	return addr->bytes[0] == 0xfe && (addr->bytes[1] & 0xc0) == 0x80;
}

bool lighthouse_permits(const struct node *node, const struct addr *host, const struct endpoint *at)
{
	return remote_allow_permits(&node->lighthouse.options.remote_allow, host, &at->addr);
}

bool lighthouse_permits_record(const struct node *node, const struct tunnel_record *record,
			       const struct endpoint *at)
{
	for (uint32_t i = 0; i < record->link_count; i++)
		if (!lighthouse_permits(node, &record->links[i].host->addr, at))
			return false;
	return true;
}

bool lighthouse_in_own_networks(const struct node *node, const struct addr *addr)
{
	const struct cert *own = pki_own_cert(node->pki);

	for (size_t i = 0; i < own->network_count; i++)
		if (prefix_contains(&own->networks[i], addr))
			return true;
	return false;
}

bool lighthouse_accepts_static(const struct node *node, const struct addr *host,
			       const struct endpoint *at)
{
	return !remotes_is_nowhere(&at->addr) && !lighthouse_in_own_networks(node, &at->addr) &&
	       (addr_is_zero(host) || lighthouse_permits(node, host, at));
}

static bool is_own_socket(const struct node *node, const struct endpoint *at)
{
	const struct lighthouse *lighthouse = &node->lighthouse;

	if (at->port != node->options.udp_port)
		return false;
	for (size_t i = 0; i < lighthouse->own_count; i++)
		if (addr_equal(&lighthouse->own[i], &at->addr))
			return true;
	return false;
}

/* Addresses that mean something else to everybody: only from who talks to us over such a one. */
static bool is_kin(const struct tunnel_record *teller, bool (*kind)(const struct addr *addr),
		   const struct addr *addr)
{
	const struct remote *remote = teller->tunnel->remote;

	return !kind(addr) || (remote && kind(&remote->to.addr));
}

/* Where no other host can be, and where we would reach ourselves, or a tunnel through a tunnel. */
static bool is_lie(const struct node *node, const struct tunnel_record *teller,
		   const struct endpoint *at)
{
	return remotes_is_nowhere(&at->addr) || lighthouse_in_own_networks(node, &at->addr) ||
	       is_own_socket(node, at) || !is_kin(teller, is_loopback, &at->addr) ||
	       !is_kin(teller, is_link_local, &at->addr);
}

bool lighthouse_believes(struct node *node, const struct tunnel_record *teller,
			 const struct addr *host, const struct endpoint *at)
{
	if (is_lie(node, teller, at)) {
		node_drop(node, DROP_LIGHTHOUSE_ADDRESS, 1);
		return false;
	}
	return lighthouse_permits(node, host, at);
}

static uint32_t keep_believed(struct node *node, const struct tunnel_record *teller,
			      const struct addr *host, const struct endpoint *from, uint32_t count,
			      struct endpoint *to)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++)
		if (lighthouse_believes(node, teller, host, &from[i]))
			to[kept++] = from[i];
	return kept;
}

int lighthouse_keep(struct node *node, struct peer_host *host, const struct tunnel_record *teller,
		    const struct addr *owner, const struct lighthouse_message *message)
{
	struct endpoint v4[LIGHTHOUSE_ENTRIES_MAX], v6[LIGHTHOUSE_ENTRIES_MAX];
	struct remotes *remotes = initiator_remotes(node, host);
	struct remotes_report report = {
		.v4 = v4,
		.v6 = v6,
		.relays = message->relays,
		.v4_count = keep_believed(node, teller, &host->addr, message->v4, message->v4_count,
					  v4),
		.v6_count = keep_believed(node, teller, &host->addr, message->v6, message->v6_count,
					  v6),
		.relay_count = message->relay_count,
	};

	return remotes ? remotes_report(remotes, owner, &report) : -ENOMEM;
}

/* The prefix of lighthouse.calculated_remotes that is longest counts. */
void lighthouse_calculate(struct node *node, struct peer_host *host)
{
	const struct lighthouse_options *options = &node->lighthouse.options;
	int longest = -1;

	for (uint32_t i = 0; i < options->calculated_count; i++)
		if (prefix_contains(&options->calculated[i].vpn, &host->addr) &&
		    options->calculated[i].vpn.bits > longest)
			longest = options->calculated[i].vpn.bits;
	for (uint32_t i = 0; i < options->calculated_count; i++) {
		const struct calculated_remote *from = &options->calculated[i];
		struct endpoint to = {prefix_masked(from->mask).addr, from->port};

		if (from->vpn.bits != longest || !prefix_contains(&from->vpn, &host->addr))
			continue;
		for (unsigned bit = from->mask.bits; bit < 128; bit++)
			to.addr.bytes[bit / 8] |=
				host->addr.bytes[bit / 8] & (uint8_t)(0x80 >> bit % 8);
		if (!lighthouse_in_own_networks(node, &to.addr) &&
		    lighthouse_permits(node, &host->addr, &to))
			initiator_add_remote(node, host, &to);
	}
}

/* Means the same to us and to those who ask for it. */
bool lighthouse_may_report(const struct node *node, const struct addr *addr)
{
	return !remotes_is_nowhere(addr) && !is_loopback(addr) && !is_link_local(addr) &&
	       !lighthouse_in_own_networks(node, addr);
}

/* The place in list of the next address from `at` on that others may hear of, or count. */
static size_t next_told(const struct node *node, const struct addr *list, size_t count, size_t at)
{
	while (at < count && !lighthouse_may_report(node, &list[at]))
		at++;
	return at;
}

/* Do others hear of the same addresses? Containers that come bring others, all the time. */
static bool same_told(const struct node *node, const struct addr *now, size_t now_count)
{
	const struct lighthouse *lighthouse = &node->lighthouse;
	const struct addr *was = lighthouse->own;
	size_t was_count = lighthouse->own_count;
	size_t i = next_told(node, was, was_count, 0), j = next_told(node, now, now_count, 0);

	while (i < was_count && j < now_count && addr_equal(&was[i], &now[j])) {
		i = next_told(node, was, was_count, i + 1);
		j = next_told(node, now, now_count, j + 1);
	}
	return i == was_count && j == now_count;
}

size_t lighthouse_look_at_self(struct node *node, struct local_addr list[LOCAL_ADDRS_MAX])
{
	struct lighthouse *lighthouse = &node->lighthouse;
	struct addr now[LOCAL_ADDRS_MAX];
	size_t count = 0;

	if (node->options.local_addrs)
		count = node->options.local_addrs(node->options.local_context, list,
						  LOCAL_ADDRS_MAX);
	for (size_t i = 0; i < count; i++)
		now[i] = list[i].addr;
	lighthouse->own_changed |= !same_told(node, now, count);
	memcpy(lighthouse->own, now, count * sizeof(now[0]));
	lighthouse->own_count = count;
	return count;
}
