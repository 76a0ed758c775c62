/* names.c - see names.h. */
#include "peers/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "peers/node_state.h"

#define S_NS           1000000000ull
#define RETRY_FIRST_NS S_NS

/* The resolver ends a look-up in time, with what there is; this is for one that does not. */
#define ANSWER_LATE_NS (S_NS / 10)

static void fire_names(void *context, struct timer *timer);

static uint32_t id_of(const struct names *names, const struct name *name)
{
	return names->first_id + (uint32_t)(name - names->list);
}

/* --- what was found ------------------------------------------------------------------------- */

static bool is_among(const struct endpoint *list, uint32_t count, const struct endpoint *at)
{
	for (uint32_t i = 0; i < count; i++)
		if (endpoint_equal(&list[i], at))
			return true;
	return false;
}

/* In any order: servers turn it with each answer. */
static bool same_found(const struct name *name, const struct endpoint *found, uint32_t count)
{
	for (uint32_t i = 0; i < name->count; i++)
		if (!is_among(found, count, &name->found[i]))
			return false;
	for (uint32_t i = 0; i < count; i++)
		if (!is_among(name->found, name->count, &found[i]))
			return false;
	return true;
}

/* All that the names of one host stand for becomes the host's. */
static void tell_host(struct node *node, const struct addr *addr)
{
	struct peer_host *host = tunnels_obtain_host(&node->tunnels, addr);
	struct endpoint all[REMOTES_MAX];
	struct remotes *remotes = host ? initiator_remotes(node, host) : NULL;
	uint32_t count = 0, before;

	if (!remotes)
		return; /* no memory: told at the next answer */
	for (uint32_t i = 0; i < node->names.count; i++) {
		const struct name *name = &node->names.list[i];

		for (uint32_t j = 0; addr_equal(&name->host, addr) && j < name->count; j++)
			if (count < REMOTES_MAX)
				all[count++] = name->found[j];
	}
	before = remotes->changes;
	if (remotes_resolved(remotes, all, count) == 0 && remotes->changes != before) {
		if (host->pending)
			initiator_poke(node, host->pending);
		else if (!host->primary && lighthouse_is(node, addr))
			initiator_begin(node, host, 0);
	}
	tunnels_put_host(&node->tunnels, host);
}

static void tell(struct node *node, const struct name *name)
{
	if (addr_is_zero(&name->host))
		lighthouse_tell_move(node); /* what we advertise has changed */
	else
		tell_host(node, &name->host);
}

static const char *found_text(const struct name *name,
			      char text[NAME_ADDRS_MAX * ENDPOINT_TEXT_MAX])
{
	char one[ENDPOINT_TEXT_MAX];
	size_t at = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < name->count; i++) {
		endpoint_format(&name->found[i], one);
		if (at > 0)
			text[at++] = ' ';
		memcpy(text + at, one, strlen(one) + 1);
		at += strlen(one);
	}
	return text;
}

static void say_found(struct node *node, const struct name *name)
{
	char text[NAME_ADDRS_MAX * ENDPOINT_TEXT_MAX];

	NODE_LOG(node, OUTSIDE_INFO, "Host name was looked up", FIELD_TEXT("hostname", name->text),
		 FIELD_TEXT("udpAddrs", found_text(name, text)));
}

/* The same trouble is told once. */
static void say_trouble(struct node *node, struct name *name, const char *trouble)
{
	if (name->trouble && strcmp(name->trouble, trouble) == 0)
		return;
	name->trouble = trouble;
	NODE_LOG(node, OUTSIDE_WARNING, "Host name could not be looked up",
		 FIELD_TEXT("hostname", name->text), FIELD_TEXT("error", trouble),
		 FIELD_NUMBER("addresses", name->count));
}

static void fail(struct node *node, struct name *name, const char *trouble)
{
	node_count(node, STAT_NAMES_FAILED, 1);
	say_trouble(node, name, trouble);
}

/* Was nothing told of the family of this address? */
static bool untold(const struct name_answer *answer, const struct addr *addr)
{
	return answer->told != NAME_IP && addr_is_v4(addr) != (answer->told == NAME_IP4);
}

static void take_found(struct node *node, struct name *name, const struct name_answer *answer)
{
	struct endpoint found[NAME_ADDRS_MAX];
	struct addr kept_addrs[NAME_ADDRS_MAX];
	uint32_t kept = 0;
	bool well, changed;

	if (answer->count > NAME_ADDRS_MAX)
		node_count(node, STAT_NAMES_CUT, 1);
	for (uint32_t i = 0; i < answer->count; i++) {
		struct endpoint to = {answer->addrs[i], name->port};

		if (lighthouse_accepts_static(node, &name->host, &to))
			kept = name_keep_least(kept_addrs, kept, NAME_ADDRS_MAX, &to.addr);
	}
	well = kept > 0;
	if (!well && answer->count > 0)
		fail(node, name, "none of its addresses may be used");
	for (uint32_t i = 0; i < name->count; i++)
		if (untold(answer, &name->found[i].addr))
			kept = name_keep_least(kept_addrs, kept, NAME_ADDRS_MAX,
					       &name->found[i].addr);
	for (uint32_t i = 0; i < kept; i++)
		found[i] = (struct endpoint){kept_addrs[i], name->port};
	changed = !same_found(name, found, kept);
	if (changed) { /* else the first one stays the one that is advertised */
		memcpy(name->found, found, kept * sizeof(*found));
		name->count = kept;
	}
	name->was_found |= kept > 0;
	if (well && (changed || name->trouble)) {
		name->trouble = NULL;
		say_found(node, name);
	}
	if (changed)
		tell(node, name);
}

static const char *const outcome_texts[] = {
	[NAME_FOUND] = "",
	[NAME_NONE] = "the name does not exist or has no address",
	[NAME_FAILED] = "the DNS servers did not answer, or not with sense",
};

/* --- asking --------------------------------------------------------------------------------- */

/* The next turn: names that never had an address come again soon, then less and less. */
static void rest(struct node *node, struct name *name)
{
	uint64_t pause = node->names.cadence_ns;

	if (!name->was_found) {
		name->retry_ns = name->retry_ns ? name->retry_ns * 2 : RETRY_FIRST_NS;
		if (name->retry_ns < pause)
			pause = name->retry_ns;
		name->retry_ns = pause; /* doubled for ever, it would come round to 0 */
	}
	name->state = NAME_RESTS;
	name->due_ns = node_now_ns(node) + pause;
}

static void end_asked(struct node *node, struct name *name)
{
	node->names.asked--;
	rest(node, name);
}

static void ask(struct node *node, struct name *name)
{
	struct names *names = &node->names;
	const struct outside *outside = node->outside;

	node_count(node, STAT_NAMES_ASKED, 1);
	if (outside->resolve(outside->context, id_of(names, name), name->text, names->network,
			     names->timeout_ns) != 0) {
		fail(node, name, "no memory or descriptor for a look-up");
		rest(node, name);
		return;
	}
	name->state = NAME_ASKED;
	name->due_ns = node_now_ns(node) + names->timeout_ns + ANSWER_LATE_NS;
	names->asked++;
}

/* Does what is due and arms the timer for what comes next. */
static void look_around(struct node *node)
{
	struct names *names = &node->names;
	uint64_t next = TIMER_NEVER, now = node_now_ns(node);

	for (uint32_t i = 0; i < names->count; i++) {
		struct name *name = &names->list[i];

		if (name->state == NAME_ASKED && name->due_ns <= now) {
			node->outside->resolve_cancel(node->outside->context, id_of(names, name));
			end_asked(node, name);
			fail(node, name, outcome_texts[NAME_FAILED]);
		}
		if (name->state == NAME_RESTS && name->due_ns <= now)
			name->state = NAME_WAITS;
	}
	for (uint32_t i = 0; i < names->count; i++) {
		struct name *name = &names->list[i];

		if (name->state == NAME_WAITS && names->asked < LOOKUPS_MAX)
			ask(node, name);
		if (name->state != NAME_WAITS && name->due_ns < next)
			next = name->due_ns;
	}
	timer_arm(&node->tunnels.timers, &names->timer, next);
}

static void fire_names(void *context, struct timer *timer)
{
	struct node *node = table_entry(context, struct node, tunnels);

	if (!node->shut_down)
		look_around(node);
}

void node_on_name(struct node *node, uint32_t id, const struct name_answer *answer)
{
	struct names *names = &node->names;
	uint32_t at = id - names->first_id;
	struct name *name = at < names->count ? &names->list[at] : NULL;

	if (node->shut_down || !name || name->state != NAME_ASKED)
		return;
	if (answer->outcome != NAME_FAILED)
		take_found(node, name, answer);
	if (answer->outcome != NAME_FOUND)
		fail(node, name,
		     outcome_texts[answer->told == NAME_IP ? answer->outcome : NAME_FAILED]);
	end_asked(node, name);
	look_around(node);
}

/* --- the list ------------------------------------------------------------------------------- */

static void free_list(struct name *list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		free(list[i].text);
	free(list);
}

static struct name *copy_list(const struct name_options *options, uint32_t count)
{
	struct name *list = calloc(count + 1, sizeof(*list));

	for (uint32_t i = 0; list && i < count; i++) {
		list[i].text = strdup(options->list[i].text);
		list[i].port = options->list[i].port;
		list[i].host = options->list[i].host;
		if (!list[i].text) {
			free_list(list, i);
			list = NULL;
		}
	}
	return list;
}

static struct name *find_name(struct name *list, uint32_t count, const struct name *like)
{
	for (uint32_t i = 0; i < count; i++)
		if (list[i].port == like->port && addr_equal(&list[i].host, &like->host) &&
		    strcmp(list[i].text, like->text) == 0)
			return &list[i];
	return NULL;
}

/* What the names before have found, and may still be used, goes over to those that are still there.
 * The hosts have lost the rest already: an answer that brings it again is a change. */
static void inherit(struct node *node, struct name *list, uint32_t count)
{
	struct names *names = &node->names;

	for (uint32_t i = 0; i < count; i++) {
		const struct name *old = find_name(names->list, names->count, &list[i]);

		list[i].due_ns = node_now_ns(node);
		if (!old)
			continue;
		list[i].retry_ns = old->retry_ns;
		list[i].was_found = old->was_found;
		list[i].trouble = old->trouble;
		for (uint32_t j = 0; j < old->count; j++)
			if (lighthouse_accepts_static(node, &list[i].host, &old->found[j]))
				list[i].found[list[i].count++] = old->found[j];
	}
}

int names_reconfigure(struct node *node, const struct name_options *options)
{
	struct names *names = &node->names;
	uint32_t count = names->count, next = node->outside->resolve ? options->count : 0;
	struct name *before = names->list, *list = copy_list(options, next);
	struct peer_host *host;

	if (!list)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		if (before[i].state == NAME_ASKED)
			node->outside->resolve_cancel(node->outside->context,
						      id_of(names, &before[i]));
	inherit(node, list, next);
	names->first_id += count;
	names->list = list;
	names->count = next;
	names->asked = 0;
	names->cadence_ns = options->cadence_ns;
	names->timeout_ns = options->timeout_ns;
	names->network = options->network;
	for (uint32_t i = 0; i < names->count; i++) {
		if (addr_is_zero(&list[i].host))
			continue;
		host = tunnels_obtain_host(&node->tunnels, &list[i].host);
		if (host)
			host->is_static = true;
	}
	for (uint32_t i = 0; i < count; i++)
		if (before[i].count > 0 && !find_name(list, names->count, &before[i]))
			tell(node, &before[i]);
	free_list(before, count);
	if (!node->shut_down)
		look_around(node);
	return 0;
}

int names_init(struct node *node, const struct name_options *options)
{
	node->names.timer.fire = fire_names;
	return names_reconfigure(node, options);
}

void names_release(struct node *node)
{
	struct names *names = &node->names;

	for (uint32_t i = 0; i < names->count; i++)
		if (names->list[i].state == NAME_ASKED)
			node->outside->resolve_cancel(node->outside->context,
						      id_of(names, &names->list[i]));
	free_list(names->list, names->count);
	names->list = NULL;
	names->count = 0;
}

uint32_t names_advertised(const struct node *node, struct endpoint *list, uint32_t most)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < node->names.count && count < most; i++)
		if (addr_is_zero(&node->names.list[i].host) && node->names.list[i].count > 0)
			list[count++] = node->names.list[i].found[0];
	return count;
}
