/*
 * lighthouse_server.c - being a lighthouse (PROTOCOL.md 6.3, 6.4): hosts report where they are, and
 * are told who looks for whom.
 *
 * Only what a host itself has said, and where its packets come from, is handed out: static entries
 * of ours are not. A host without a tunnel to us is unknown, and questions about it get no answer.
 */
#include "peers/lighthouse.h"
#include "peers/node_state.h"

/* The host's own words, or NULL when it has said nothing. */
static const struct remotes_owner *own_words(const struct peer_host *host)
{
	const struct remotes_owner *owner = remotes_of(host->remotes, &host->addr);

	if (!owner || (owner->v4_count + owner->v6_count + owner->relay_count == 0 &&
		       owner->learned[0].port == 0 && owner->learned[1].port == 0))
		return NULL;
	return owner;
}

static void say(struct endpoint *list, uint32_t *count, const struct endpoint *to)
{
	if (to->port != 0 && *count < LIGHTHOUSE_ENTRIES_MAX)
		list[(*count)++] = *to;
}

/* Learned first, then reported; an address that is both is said twice, as the reference does. */
static void say_words(struct lighthouse_message *message, const struct remotes_owner *owner)
{
	say(message->v4, &message->v4_count, &owner->learned[0]);
	say(message->v6, &message->v6_count, &owner->learned[1]);
	for (uint32_t i = 0; i < owner->v4_count; i++)
		say(message->v4, &message->v4_count, &owner->entries[i]);
	for (uint32_t i = 0; i < owner->v6_count; i++)
		say(message->v6, &message->v6_count, &owner->entries[owner->v4_count + i]);
}

static void say_relays(struct lighthouse_message *message, const struct remotes_owner *owner)
{
	for (uint32_t i = 0; i < owner->relay_count; i++)
		if (message->form == LIGHTHOUSE_V2 || addr_is_v4(&owner->relays[i]))
			message->relays[message->relay_count++] = owner->relays[i];
}

/* An address of the asker in one of the target's networks, if there is one. */
static const struct peer_host *asker_as_seen_by(const struct tunnel_record *asker,
						const struct tunnel_record *target)
{
	for (uint32_t i = 0; i < asker->link_count; i++)
		for (size_t j = 0; j < target->cert->network_count; j++)
			if (prefix_contains(&target->cert->networks[j],
					    &asker->links[i].host->addr))
				return asker->links[i].host;
	return asker->links[0].host;
}

/* The target opens its NAT for the asker. */
static void order_punch(struct node *node, const struct tunnel_record *asker,
			struct peer_host *target)
{
	const struct peer_host *seen;
	const struct remotes_owner *owner;

	if (!target->primary || target->primary == asker)
		return;
	seen = asker_as_seen_by(asker, target->primary);
	owner = own_words(seen);
	if (!owner)
		return;
	if (!rate_take(&target->remotes->punch_orders, node_now_ns(node))) {
		node_drop(node, DROP_PUNCH_LIMITED, 1);
		return;
	}

	struct lighthouse_message order = {
		.type = LIGHTHOUSE_PUNCH,
		.form = lighthouse_form_of(target->primary),
		.has_addr = true,
		.addr = seen->addr,
	};

	say_words(&order, owner);
	lighthouse_send(node, target->primary, &order);
}

void lighthouse_on_query(struct node *node, const struct tunnel_record *record,
			 const struct lighthouse_message *message)
{
	struct lighthouse_message reply = {
		.type = LIGHTHOUSE_REPLY,
		.form = message->form,
		.has_addr = true,
		.addr = message->addr,
	};
	const struct remotes_owner *owner;
	struct peer_host *host;

	if (!node->lighthouse.options.am_lighthouse || !message->has_addr) {
		lighthouse_refuse(node);
		return;
	}
	host = tunnels_find_host(&node->tunnels, &message->addr);
	owner = host ? own_words(host) : NULL;
	if (!owner)
		return;
	say_words(&reply, owner);
	say_relays(&reply, owner);
	lighthouse_send(node, record, &reply);
	order_punch(node, record, host);
}

static bool is_own_addr(const struct tunnel_record *record, const struct addr *addr)
{
	for (uint32_t i = 0; i < record->link_count; i++)
		if (addr_equal(&record->links[i].host->addr, addr))
			return true;
	return false;
}

void lighthouse_on_update(struct node *node, const struct tunnel_record *record,
			  const struct lighthouse_message *message)
{
	struct lighthouse_message ack = {.type = LIGHTHOUSE_ACK, .form = message->form};

	if (!node->lighthouse.options.am_lighthouse ||
	    (message->has_addr && !is_own_addr(record, &message->addr))) {
		lighthouse_refuse(node);
		return;
	}
	for (uint32_t i = 0; i < record->link_count; i++) {
		struct peer_host *host = record->links[i].host;

		if (lighthouse_keep(node, host, &host->addr, message) != 0)
			return;
	}
	if (ack.form == LIGHTHOUSE_V1) {
		ack.has_addr = true;
		ack.addr = record->links[0].host->addr;
	}
	lighthouse_send(node, record, &ack);
}
