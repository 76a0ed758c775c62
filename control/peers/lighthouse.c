/* lighthouse.c - a client of lighthouses, and what clients and servers share; see lighthouse.h. */
#include "peers/lighthouse.h"

#include <errno.h>

#include "peers/manager.h"
#include "peers/node_state.h"

/* An interface that comes and goes all the time is told once in this time. */
#define MOVE_QUIET_NS 1000000000ull
/* A change is often several messages: one address goes, another comes. */
#define MOVE_SETTLE_NS 20000000ull

static void fire_update(void *context, struct timer *timer);
static void fire_moved(void *context, struct timer *timer);

int lighthouse_init(struct node *node)
{
	struct lighthouse *lighthouse = &node->lighthouse;
	struct local_addr local[LOCAL_ADDRS_MAX];

	punch_init(&lighthouse->punches);
	lighthouse->update.fire = fire_update;
	lighthouse->moved.fire = fire_moved;
	/* Ours: updates, moves, holes, tests; later reservations count them too. */
	if (timers_reserve(&node->tunnels.timers, NODE_TIMERS) != 0)
		return -ENOMEM;
	lighthouse_look_at_self(node, local);
	lighthouse->own_changed = false;
	if (lighthouse->options.am_lighthouse) {
		if (dns_names_init(&node->dns_names) != 0)
			return -ENOMEM;
		dns_names_learn(&node->dns_names, pki_own_cert(node->pki));
	}
	if (!lighthouse->options.am_lighthouse && lighthouse->options.host_count > 0)
		timer_arm(&node->tunnels.timers, &lighthouse->update, node_now_ns(node));
	return 0;
}

void lighthouse_reconfigure(struct node *node, const struct lighthouse_options *options)
{
	struct lighthouse *lighthouse = &node->lighthouse;
	bool am_lighthouse = lighthouse->options.am_lighthouse;

	lighthouse->options = *options;
	lighthouse->options.am_lighthouse = am_lighthouse;
	lighthouse->order = (struct remotes_order){options->preferred, options->preferred_count};
	if (am_lighthouse)
		dns_names_learn(&node->dns_names, pki_own_cert(node->pki));
	timer_arm(&node->tunnels.timers, &lighthouse->update,
		  !am_lighthouse && options->host_count > 0 ? node_now_ns(node) : TIMER_NEVER);
}

bool lighthouse_is(const struct node *node, const struct addr *host)
{
	const struct lighthouse_options *options = &node->lighthouse.options;

	for (uint32_t i = 0; i < options->host_count; i++)
		if (addr_equal(&options->hosts[i], host))
			return true;
	return false;
}

static bool is_lighthouse_record(const struct node *node, const struct tunnel_record *record)
{
	for (uint32_t i = 0; i < record->link_count; i++)
		if (lighthouse_is(node, &record->links[i].host->addr))
			return true;
	return false;
}

/* --- sending ----------------------------------------------------------------------------------
 */

enum lighthouse_form lighthouse_form_of(const struct tunnel_record *record)
{
	return record->cert->version == CERT_VERSION_1 ? LIGHTHOUSE_V1 : LIGHTHOUSE_V2;
}

void lighthouse_send(struct node *node, const struct tunnel_record *record,
		     const struct lighthouse_message *message)
{
	uint8_t bytes[LIGHTHOUSE_BYTES_MAX];
	size_t length = lighthouse_encode(message, bytes, sizeof(bytes));

	/* 0: an IPv6 address, and the peer knows IPv4 only */
	if (length > 0)
		tunnels_send(&node->tunnels, record, WIRE_LIGHTHOUSE, bytes, length);
}

static void send_query(struct node *node, const struct tunnel_record *record,
		       const struct addr *about)
{
	struct lighthouse_message query = {
		.type = LIGHTHOUSE_QUERY,
		.form = lighthouse_form_of(record),
		.has_addr = true,
		.addr = *about,
	};

	lighthouse_send(node, record, &query);
}

/*
 * One that the lighthouse is being called back by serves as well. It may be the very one that is
 * being sent: through a relay, with which a handshake begins, for which we ask here. So it must not
 * begin anew. A quiet one is not sent.
 */
static void call(struct node *node, struct peer_host *lighthouse)
{
	const struct host_pending *pending = lighthouse->pending;

	if (!pending || !pending->responds || pending->quiet)
		initiator_begin(node, lighthouse, 0);
}

void lighthouse_ask(struct node *node, struct peer_host *host)
{
	const struct lighthouse_options *options = &node->lighthouse.options;

	if (options->am_lighthouse || lighthouse_is(node, &host->addr))
		return;
	for (uint32_t i = 0; i < options->host_count; i++) {
		struct peer_host *lighthouse =
			tunnels_obtain_host(&node->tunnels, &options->hosts[i]);

		if (!lighthouse)
			continue;
		if (lighthouse->primary)
			send_query(node, lighthouse->primary, &host->addr);
		else
			call(node, lighthouse); /* asked when it is there: greet */
		tunnels_put_host(&node->tunnels, lighthouse);
	}
}

/* --- reporting where we are (6.3) --------------------------------------------------------------
 */

static void say_endpoint(struct lighthouse_message *message, const struct addr *addr, uint16_t port)
{
	bool v4 = addr_is_v4(addr);
	struct endpoint *list = v4 ? message->v4 : message->v6;
	uint32_t *count = v4 ? &message->v4_count : &message->v6_count;
	struct endpoint said = {*addr, port};

	for (uint32_t i = 0; i < *count; i++)
		if (endpoint_equal(&list[i], &said))
			return;
	if (*count < LIGHTHOUSE_ENTRIES_MAX)
		list[(*count)++] = said;
}

/* Nebula tells IPv6 addresses of an IPv4 socket, too: nobody could reach us there. */
static void say_own_addrs(struct node *node, struct lighthouse_message *message)
{
	const struct lighthouse_options *options = &node->lighthouse.options;
	struct local_addr local[LOCAL_ADDRS_MAX];
	struct endpoint named[ADVERTISE_ADDRS_MAX];
	uint16_t port = node->options.udp_port;
	uint32_t named_count;
	size_t count;

	for (uint32_t i = 0; i < options->advertise_count; i++) {
		if (lighthouse_in_own_networks(node, &options->advertise[i].addr))
			continue;
		say_endpoint(message, &options->advertise[i].addr,
			     options->advertise[i].port ? options->advertise[i].port : port);
	}
	named_count = names_advertised(node, named, ADVERTISE_ADDRS_MAX);
	for (uint32_t i = 0; i < named_count; i++)
		say_endpoint(message, &named[i].addr, named[i].port ? named[i].port : port);
	count = lighthouse_look_at_self(node, local);
	for (size_t i = 0; i < count; i++)
		if (lighthouse_may_report(node, &local[i].addr) &&
		    (node->options.udp_v6 || addr_is_v4(&local[i].addr)) &&
		    local_allow_permits(&options->local_allow, local[i].interface, &local[i].addr))
			say_endpoint(message, &local[i].addr, port);
}

static void say_own_relays(const struct node *node, struct lighthouse_message *message)
{
	const struct relay_options *relay = &node->relays.options;

	for (uint32_t i = 0; !relay->am_relay && i < relay->relay_count; i++)
		if (message->relay_count < LIGHTHOUSE_ENTRIES_MAX &&
		    (message->form == LIGHTHOUSE_V2 || addr_is_v4(&relay->relays[i])))
			message->relays[message->relay_count++] = relay->relays[i];
}

/* v2 form: no address at all, the tunnel says who we are. */
static void send_update(struct node *node, const struct tunnel_record *record)
{
	struct lighthouse_message update = {
		.type = LIGHTHOUSE_UPDATE,
		.form = lighthouse_form_of(record),
	};

	if (update.form == LIGHTHOUSE_V1) {
		update.has_addr = true;
		update.addr = pki_own_cert(node->pki)->networks[0].addr;
	}
	say_own_addrs(node, &update);
	say_own_relays(node, &update);
	lighthouse_send(node, record, &update);
}

static void fire_update(void *context, struct timer *timer)
{
	struct node *node = table_entry(context, struct node, tunnels);
	const struct lighthouse_options *options = &node->lighthouse.options;

	if (node->shut_down)
		return;
	for (uint32_t i = 0; i < options->host_count; i++) {
		struct peer_host *host = tunnels_obtain_host(&node->tunnels, &options->hosts[i]);

		if (!host)
			continue;
		if (host->primary)
			send_update(node, host->primary);
		else
			initiator_begin(node, host, 0);
		tunnels_put_host(&node->tunnels, host);
	}
	if (options->interval_ns > 0 && options->host_count > 0)
		timer_arm(&node->tunnels.timers, timer, node_now_ns(node) + options->interval_ns);
}

void lighthouse_report(struct node *node)
{
	struct lighthouse *lighthouse = &node->lighthouse;

	if (!lighthouse->options.am_lighthouse && lighthouse->options.host_count > 0)
		fire_update(&node->tunnels, &lighthouse->update);
}

/* A test request shows each peer where we are now: it roams, and what it sends comes again. */
static void test_tunnels(struct node *node)
{
	struct tunnel_record *record = node->tunnels.all;
	uint32_t left = MOVE_TESTS_MAX;

	for (; record && left > 0; record = record->next) {
		if (record->state != RECORD_LIVE || record->link_count == 0 ||
		    record->links[0].host->primary != record)
			continue;
		manager_doubt(node, record);
		left--;
	}
}

static void fire_moved(void *context, struct timer *timer)
{
	struct node *node = table_entry(context, struct node, tunnels);
	struct lighthouse *lighthouse = &node->lighthouse;

	if (node->shut_down)
		return;
	lighthouse->moved_ns = node_now_ns(node);
	lighthouse->own_changed = false;
	test_tunnels(node);
	if (!lighthouse->options.am_lighthouse)
		fire_update(context, &lighthouse->update);
}

void lighthouse_tell_move(struct node *node)
{
	struct lighthouse *lighthouse = &node->lighthouse;
	uint64_t due = node_now_ns(node) + MOVE_SETTLE_NS;

	if (lighthouse->moved.position != 0)
		return; /* will be told */
	if (lighthouse->moved_ns && lighthouse->moved_ns + MOVE_QUIET_NS > due)
		due = lighthouse->moved_ns + MOVE_QUIET_NS;
	timer_arm(&node->tunnels.timers, &lighthouse->moved, due);
}

void lighthouse_local_changed(struct node *node)
{
	struct local_addr local[LOCAL_ADDRS_MAX];

	lighthouse_look_at_self(node, local);
	if (node->lighthouse.own_changed)
		lighthouse_tell_move(node);
}

void lighthouse_learn(struct node *node, const struct tunnel_record *record)
{
	const struct lighthouse_options *options = &node->lighthouse.options;

	if (!options->am_lighthouse && options->host_count == 0)
		return; /* nobody asks for it */
	for (uint32_t i = 0; record->tunnel->remote && i < record->link_count; i++)
		initiator_learn(node, record->links[i].host, &record->tunnel->remote->to);
	for (uint32_t i = 0; i < record->link_count; i++)
		lighthouse_publish(node, record->links[i].host);
}

/* Is there a question about host that waits for a lighthouse to be there? */
static bool is_asked_about(const struct node *node, const struct peer_host *host)
{
	const struct host_pending *pending = host->pending;

	return host->asked_until_ns > node_now_ns(node) ||
	       (pending && !pending->quiet && !pending->responds);
}

void lighthouse_greet(struct node *node, const struct tunnel_record *record)
{
	const struct table *hosts = &node->tunnels.by_addr;

	lighthouse_learn(node, record);
	if (node->lighthouse.options.am_lighthouse)
		dns_names_learn(&node->dns_names, record->cert);
	if (node->lighthouse.options.am_lighthouse || node->shut_down ||
	    !is_lighthouse_record(node, record))
		return;
	send_update(node, record);
	for (size_t i = 0; i <= hosts->mask; i++) {
		for (struct table_node *at = hosts->buckets[i]; at; at = at->next) {
			struct peer_host *host = table_entry(at, struct peer_host, node);

			if (is_asked_about(node, host) && !lighthouse_is(node, &host->addr))
				send_query(node, record, &host->addr);
		}
	}
}

/* --- what comes from a lighthouse --------------------------------------------------------------
 */

void lighthouse_refuse(struct node *node)
{
	node_drop(node, DROP_LIGHTHOUSE_INVALID, 1);
}

/* Only hosts that we look for, ask for or talk to: who asks for nothing stores nothing. */
static bool is_wanted(const struct node *node, const struct peer_host *host)
{
	return host->pending || host->links || host->asked_until_ns > node_now_ns(node);
}

static void on_reply(struct node *node, const struct tunnel_record *record,
		     const struct lighthouse_message *message)
{
	struct peer_host *host = tunnels_find_host(&node->tunnels, &message->addr);
	uint32_t before;

	if (!host || !is_wanted(node, host))
		return;
	before = host->remotes ? host->remotes->changes : 0;
	if (lighthouse_keep(node, host, record, &record->links[0].host->addr, message) != 0 ||
	    host->remotes->changes == before)
		return;
	if (host->pending)
		initiator_poke(node, host->pending);
	else if (host->primary && !host->primary->tunnel->remote)
		host->primary->promote_ns = 0; /* the next look at it tries them */
}

static void add_caller_addr(struct punch_caller *caller, const struct endpoint *at)
{
	if (caller->count < PUNCH_CALLER_ADDRS_MAX)
		caller->at[caller->count++] = *at;
}

static void on_punch(struct node *node, const struct tunnel_record *record,
		     const struct lighthouse_message *message)
{
	const struct lighthouse_options *options = &node->lighthouse.options;
	struct punch_caller caller = {message->addr, record->links[0].host->addr, 0, {{{{0}}, 0}}};

	for (uint32_t i = 0; i < message->v4_count + message->v6_count; i++) {
		const struct endpoint *at = i < message->v4_count
						    ? &message->v4[i]
						    : &message->v6[i - message->v4_count];

		if (!lighthouse_believes(node, record, &message->addr, at))
			continue;
		punch_hole(node, &message->addr, at, options->punch_delay_ns);
		add_caller_addr(&caller, at);
	}
	if (options->punch_respond)
		punch_test(node, &caller, options->respond_delay_ns);
}

void lighthouse_receive(struct node *node, const struct tunnel_record *record, const uint8_t *bytes,
			size_t length)
{
	struct lighthouse_message message;

	if (node->shut_down)
		return;
	if (record->link_count == 0 || lighthouse_decode(bytes, length, &message) != 0) {
		lighthouse_refuse(node);
		return;
	}
	switch (message.type) {
	case LIGHTHOUSE_QUERY:
		lighthouse_on_query(node, record, &message);
		break;
	case LIGHTHOUSE_UPDATE:
		lighthouse_on_update(node, record, &message);
		break;
	case LIGHTHOUSE_REPLY:
	case LIGHTHOUSE_PUNCH:
		if (!message.has_addr || !is_lighthouse_record(node, record))
			lighthouse_refuse(node);
		else if (message.type == LIGHTHOUSE_REPLY)
			on_reply(node, record, &message);
		else
			on_punch(node, record, &message);
		break;
	case LIGHTHOUSE_ACK: /* that it came is all */
		break;
	default:
		node_drop(node, DROP_MESSAGE_UNHANDLED, 1);
	}
}
