/*
 * lighthouse_server.c - being a lighthouse (PROTOCOL.md 6.3, 6.4): hosts report where they are, and
 * are told who looks for whom. Most questions never come here: workers answer them (lighthouse.h).
 *
 * Only what a host itself has said, and where its packets come from, is handed out: static entries
 * of ours are not. A host without a tunnel to us is unknown, and questions about it get no answer.
 */
#include "peers/lighthouse.h"

#include <stdlib.h>

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
	node_count(node, STAT_LIGHTHOUSE_PUNCHES, 1);
	lighthouse_send(node, target->primary, &order);
}

static size_t encode_words(const struct peer_host *host, const struct remotes_owner *owner,
			   enum lighthouse_type type, enum lighthouse_form form,
			   uint8_t bytes[LIGHTHOUSE_BYTES_MAX])
{
	struct lighthouse_message message = {
		.type = type,
		.form = form,
		.has_addr = true,
		.addr = host->addr,
	};

	say_words(&message, owner);
	if (type == LIGHTHOUSE_REPLY)
		say_relays(&message, owner);
	return lighthouse_encode(&message, bytes, LIGHTHOUSE_BYTES_MAX);
}

_Static_assert((int)CARD_V1 == LIGHTHOUSE_V1 && (int)CARD_V2 == LIGHTHOUSE_V2, "one meaning");

/* NULL: the host has said nothing, or no memory. *size: of the block. */
static struct host_card *make_card(const struct peer_host *host, size_t *size)
{
	const struct remotes_owner *owner = own_words(host);
	uint8_t bytes[2 * CARD_FORMS * LIGHTHOUSE_BYTES_MAX];
	struct host_card head = {0}, *card;
	size_t used = 0;

	if (!owner || !host->primary)
		return NULL;
	head.punch_form = (uint8_t)lighthouse_form_of(host->primary);
	for (int form = 0; form < CARD_FORMS; form++) {
		head.reply_bytes[form] = (uint16_t)encode_words(
			host, owner, LIGHTHOUSE_REPLY, (enum lighthouse_form)form, bytes + used);
		used += head.reply_bytes[form];
	}
	for (int form = 0; form < CARD_FORMS; form++) {
		head.punch_bytes[form] = (uint16_t)encode_words(
			host, owner, LIGHTHOUSE_PUNCH, (enum lighthouse_form)form, bytes + used);
		used += head.punch_bytes[form];
	}
	*size = sizeof(*card) + used;
	card = calloc(1, *size); /* the structure's padding, too: cards are compared as bytes */
	if (!card)
		return NULL;
	*card = head;
	memcpy(card->bytes, bytes, used);
	return card;
}

static size_t card_size(const struct host_card *card)
{
	return sizeof(*card) + card->reply_bytes[0] + card->reply_bytes[1] + card->punch_bytes[0] +
	       card->punch_bytes[1];
}

void lighthouse_publish(struct node *node, struct peer_host *host)
{
	struct hostmap *map = node->tunnels.map;
	struct host_entry *entry;
	struct host_card *card;
	size_t size = 0;

	if (!node->lighthouse.options.am_lighthouse)
		return;
	entry = hostmap_by_addr(map, &host->addr);
	if (!entry)
		return; /* no tunnel carries its traffic: published when one does */
	card = make_card(host, &size);
	if (card && entry->card && card_size(entry->card) == size &&
	    memcmp(card, entry->card, size) == 0)
		free(card);
	else if (card || entry->card)
		hostmap_card_publish(map, &host->addr, card);
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
	node_count(node, STAT_LIGHTHOUSE_QUERIES, 1);
	if (!owner)
		return;
	node_count(node, STAT_LIGHTHOUSE_REPLIES, 1);
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

		if (lighthouse_keep(node, host, record, &host->addr, message) != 0)
			return;
	}
	/*
	 * Where this tunnel's packets come from is where the host is. Another of its tunnels may
	 * have said otherwise: somebody on the path has sent a packet on before the host's own
	 * came.
	 */
	lighthouse_learn(node, record);
	if (ack.form == LIGHTHOUSE_V1) {
		ack.has_addr = true;
		ack.addr = record->links[0].host->addr;
	}
	lighthouse_send(node, record, &ack);
}
