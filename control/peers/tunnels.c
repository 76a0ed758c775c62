/*
 * tunnels.c - see tunnels.h: records, from a finished handshake to their removal. Which of them
 * workers see for an address: tunnel_hosts.c.
 *
 * Removal: unlink from the hosts (workers punt or take the next tunnel), take the index away, and
 * hand the tunnel to hostmap_defer(), which frees it after a grace period.
 */
#include "peers/tunnels.h"

#include <errno.h>
#include <stdlib.h>

#include "sockaddr.h"

#define MS_NS 1000000ull
#define S_NS  (1000 * MS_NS)

/* CloseTunnel is carried out by a worker, which needs the tunnel until then. */
#define CLOSE_LINGER_NS S_NS
/* Test requests on an unconfirmed tunnel, after stage 2 (PROTOCOL.md 2.11). */
static const uint64_t test_after_ns[] = {0, 100 * MS_NS, 300 * MS_NS, 1000 * MS_NS};
#define TESTS          (sizeof(test_after_ns) / sizeof(test_after_ns[0]))
#define UNCONFIRMED_NS (6 * S_NS)
#define SUSPECT_NS     (10 * S_NS)
#define ROAM_QUIET_NS  (2 * S_NS)

static void fire_record(void *context, struct timer *timer);

int tunnels_init(struct tunnels *tunnels, struct hostmap *map, const struct outside *outside,
		 uint32_t queues, bool udp_v6)
{
	memset(tunnels, 0, sizeof(*tunnels));
	tunnels->map = map;
	tunnels->outside = outside;
	tunnels->queues = queues;
	tunnels->udp_v6 = udp_v6;
	tunnels->by_slot = calloc(TUNNELS_MAX, sizeof(struct tunnel_record *));
	if (!tunnels->by_slot)
		return -ENOMEM;
	if (table_init(&tunnels->by_addr) != 0)
		goto err_slots;
	if (table_init(&tunnels->by_stage1) != 0)
		goto err_addr;
	if (table_init(&tunnels->by_remote_index) != 0)
		goto err_stage1;
	if (timers_init(&tunnels->timers) != 0)
		goto err_index;
	return 0;

err_index:
	table_free(&tunnels->by_remote_index);
err_stage1:
	table_free(&tunnels->by_stage1);
err_addr:
	table_free(&tunnels->by_addr);
err_slots:
	free(tunnels->by_slot);
	return -ENOMEM;
}

void tunnels_release(struct tunnels *tunnels)
{
	timers_free(&tunnels->timers);
	table_free(&tunnels->by_remote_index);
	table_free(&tunnels->by_stage1);
	table_free(&tunnels->by_addr);
	free(tunnels->by_slot);
}

static uint64_t now_ns(const struct tunnels *tunnels)
{
	return tunnels->outside->now_ns(tunnels->outside->context);
}

/* --- records -----------------------------------------------------------------------------------
 */

static void release_plain(struct hostmap *map, void *object)
{
	free(object);
}

static void release_tunnel(struct hostmap *map, void *object)
{
	tunnel_free(map, object);
}

static struct remote *make_remote(const struct tunnels *tunnels, const struct endpoint *to)
{
	struct remote *remote = calloc(1, sizeof(*remote));

	if (!remote)
		return NULL;
	remote->to = *to;
	atomic_init(&remote->gso_segment_max, DATAGRAM_MAX);
	remote->sockaddr_bytes = endpoint_to_sockaddr(to, tunnels->udp_v6, &remote->sockaddr);
	return remote;
}

/* The addresses of the certificate, each once: a tunnel has one place in each of its hosts. */
static void fill_addrs(struct tunnel *tunnel, const struct cert *cert)
{
	for (uint32_t i = 0; i < cert->network_count && tunnel->addr_count < PEER_ADDRS_MAX; i++) {
		const struct addr *addr = &cert->networks[i].addr;
		uint32_t at = 0;

		while (at < tunnel->addr_count && !addr_equal(&tunnel->addrs[at], addr))
			at++;
		if (at == tunnel->addr_count)
			tunnel->addrs[tunnel->addr_count++] = *addr;
	}
}

static int fill_tunnel(const struct tunnels *tunnels, struct tunnel *tunnel,
		       const struct tunnel_facts *facts)
{
	const struct cert *cert = facts->cert;

	tunnel->local_index = facts->local_index;
	tunnel->remote_index = facts->remote_index;
	tunnel->initiator = facts->initiator;
	atomic_init(&tunnel->state, facts->initiator ? TUNNEL_CONFIRMED : TUNNEL_UNCONFIRMED);
	if (cert->network_count > 1) {
		tunnel->addrs = calloc(cert->network_count, sizeof(struct addr));
		if (!tunnel->addrs) {
			tunnel->addrs = &tunnel->first;
			return -ENOMEM;
		}
	}
	fill_addrs(tunnel, cert);
	if (cert->unsafe_network_count > 0) {
		tunnel->prefixes = calloc(cert->unsafe_network_count, sizeof(struct prefix));
		if (!tunnel->prefixes)
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < cert->unsafe_network_count && i < PEER_PREFIXES_MAX; i++)
		tunnel->prefixes[tunnel->prefix_count++] = prefix_masked(cert->unsafe_networks[i]);
	if (facts->remote) {
		tunnel->remote = make_remote(tunnels, facts->remote);
		if (!tunnel->remote)
			return -ENOMEM;
	}

	int err = aead_key_init(&tunnel->keys->seal, facts->cipher, facts->keys->seal);
	if (err == 0)
		err = aead_key_init(&tunnel->keys->open, facts->cipher, facts->keys->open);
	return err;
}

/* The list of unconfirmed tunnels, the oldest first. */
static void await_proof(struct tunnels *tunnels, struct tunnel_record *record)
{
	record->unproved_before = tunnels->unproved_last;
	*(record->unproved_before ? &record->unproved_before->unproved_next : &tunnels->unproved) =
		record;
	tunnels->unproved_last = record;
	tunnels->unconfirmed++;
}

static void await_no_more(struct tunnels *tunnels, struct tunnel_record *record)
{
	struct tunnel_record *before = record->unproved_before, *next = record->unproved_next;

	*(before ? &before->unproved_next : &tunnels->unproved) = next;
	*(next ? &next->unproved_before : &tunnels->unproved_last) = before;
	record->unproved_before = record->unproved_next = NULL;
	tunnels->unconfirmed--;
}

static void list_record(struct tunnels *tunnels, struct tunnel_record *record)
{
	record->next = tunnels->all;
	if (record->next)
		record->next->previous = record;
	tunnels->all = record;
	tunnels->count++;
	tunnels->by_slot[record->tunnel->id.slot] = record;
	table_add(&tunnels->by_remote_index, &record->by_remote_index,
		  record->tunnel->remote_index * 0x9e3779b97f4a7c15ull >> 32);
}

struct tunnel_record *tunnels_add(struct tunnels *tunnels, const struct tunnel_facts *facts)
{
	struct tunnel *tunnel = tunnel_allocate(tunnels->map);
	struct tunnel_record *record;

	if (!tunnel)
		return NULL;
	/* One timer per record, one per pending handshake, the node's own. */
	if (fill_tunnel(tunnels, tunnel, facts) != 0 ||
	    timers_reserve(&tunnels->timers, tunnels->count + PENDING_MAX + NODE_TIMERS) != 0)
		goto err_tunnel;
	record = calloc(1, sizeof(*record) + tunnel->addr_count * sizeof(record->links[0]));
	if (!record)
		goto err_tunnel;
	record->tunnel = tunnel;
	record->state = facts->initiator ? RECORD_LIVE : RECORD_UNCONFIRMED;
	record->queue = facts->queue;
	record->peer_time = facts->peer_time;
	record->created_ns = now_ns(tunnels);
	record->expires_ns = record->next_test_ns = record->live.due_ns = TIMER_NEVER;
	record->timer.fire = fire_record;
	/* A new tunnel counts as having sent (PROTOCOL.md 8.1), and is watched from the start. */
	record->live.heard_ns = record->created_ns;
	atomic_init(&tunnel->last_out_ns, record->created_ns + 1);
	atomic_init(&tunnel->watched, 1);
	if (hostmap_index_publish(tunnels->map, tunnel) != 0)
		goto err_record;
	record->cert = cert_ref(facts->cert);
	memcpy(record->own_fingerprint, facts->own->fingerprint, CERT_FINGERPRINT_SIZE);
	if (facts->rules)
		tunnel->rules[facts->rules->version & 1] = facts->rules;
	if (record->state == RECORD_UNCONFIRMED)
		await_proof(tunnels, record);
	list_record(tunnels, record);
	return record;

err_record:
	free(record);
err_tunnel:
	tunnel_free(tunnels->map, tunnel);
	return NULL;
}

int tunnels_remember_stage2(struct tunnels *tunnels, struct tunnel_record *record,
			    const uint8_t hash[STAGE1_HASH_BYTES], const uint8_t *stage2,
			    size_t length)
{
	uint64_t key;

	record->stage2 = malloc(length);
	if (!record->stage2)
		return -ENOMEM;
	memcpy(record->stage2, stage2, length);
	record->stage2_length = length;
	record->has_stage1 = true;
	memcpy(record->stage1_hash, hash, STAGE1_HASH_BYTES);
	memcpy(&key, hash, sizeof(key));
	table_add(&tunnels->by_stage1, &record->by_stage1, key);
	return 0;
}

/* One timer serves all that a record waits for. */
void tunnels_arm(struct tunnels *tunnels, struct tunnel_record *record)
{
	uint64_t due = record->expires_ns;

	if (record->next_test_ns < due)
		due = record->next_test_ns;
	if (record->roam_quiet_ns && record->roam_quiet_ns < due)
		due = record->roam_quiet_ns;
	if (record->live.due_ns < due)
		due = record->live.due_ns;
	timer_arm(&tunnels->timers, &record->timer, due);
}

void tunnels_send(struct tunnels *tunnels, const struct tunnel_record *record, enum wire_type wire,
		  const uint8_t *payload, size_t length)
{
	const struct outside *outside = tunnels->outside;

	outside->send_in_tunnel(outside->context, record->queue, record->tunnel->id, wire, NULL,
				payload, length);
}

void tunnels_test(struct tunnels *tunnels, struct tunnel_record *record)
{
	static const uint8_t payload[TEST_REQUESTS];
	struct round_trip *trip = &record->round_trip;
	uint32_t place = trip->requests++ % TEST_REQUESTS;

	trip->requested_ns[place] = now_ns(tunnels);
	tunnels_send(tunnels, record, WIRE_TEST_REQUEST, payload, place + 1);
}

static void send_due_tests(struct tunnels *tunnels, struct tunnel_record *record, uint64_t start_ns)
{
	uint64_t now = now_ns(tunnels);

	while (record->tests_sent < TESTS && start_ns + test_after_ns[record->tests_sent] <= now) {
		record->tests_sent++;
		tunnels_test(tunnels, record);
	}
	record->next_test_ns = record->tests_sent < TESTS
				       ? start_ns + test_after_ns[record->tests_sent]
				       : TIMER_NEVER;
}

void tunnels_start_tests(struct tunnels *tunnels, struct tunnel_record *record, bool now)
{
	if (record->expires_ns == TIMER_NEVER)
		record->expires_ns = record->created_ns + UNCONFIRMED_NS;
	record->tests_started_ns = now_ns(tunnels);
	record->tests_sent = now ? 0 : 1;
	send_due_tests(tunnels, record, record->tests_started_ns);
	tunnels_arm(tunnels, record);
}

void tunnels_confirm(struct tunnels *tunnels, struct tunnel_record *record)
{
	bool was_unconfirmed = record->state == RECORD_UNCONFIRMED;
	uint64_t now = now_ns(tunnels);

	if (was_unconfirmed)
		await_no_more(tunnels, record);
	record->state = RECORD_LIVE;
	record->expires_ns = record->next_test_ns = TIMER_NEVER;
	record->live =
		(struct liveness){.due_ns = now + SILENCE_NS, .since_ns = now, .heard_ns = now};
	tunnels_arm(tunnels, record);
	atomic_store(&record->tunnel->state, TUNNEL_CONFIRMED);
	if (was_unconfirmed) {
		free(record->stage2);
		record->stage2 = NULL;
		atomic_store(&record->tunnel->last_out_ns, now + 1);
		atomic_store(&record->tunnel->watched, 1);
		tunnels_lead(tunnels, record);
		return;
	}
	/* Back from doubt: in its old place, behind what was made meanwhile. */
	for (uint32_t i = 0; i < record->link_count; i++)
		tunnels_publish_host(tunnels, record->links[i].host);
}

void tunnels_remove(struct tunnels *tunnels, struct tunnel_record *record)
{
	struct tunnel *tunnel = record->tunnel;

	if (record->state == RECORD_UNCONFIRMED)
		await_no_more(tunnels, record);
	tunnels->gone(tunnels, record, true);
	tunnels_leave_hosts(tunnels, record);
	hostmap_index_remove(tunnels->map, tunnel->local_index);
	atomic_store(&tunnel->state, TUNNEL_CLOSED);
	tunnels->by_slot[tunnel->id.slot] = NULL;
	hostmap_defer(tunnels->map, release_tunnel, tunnel); /* without memory it is freed here */

	timer_arm(&tunnels->timers, &record->timer, TIMER_NEVER);
	table_remove(&tunnels->by_remote_index, &record->by_remote_index);
	if (record->has_stage1)
		table_remove(&tunnels->by_stage1, &record->by_stage1);
	if (record->previous)
		record->previous->next = record->next;
	else
		tunnels->all = record->next;
	if (record->next)
		record->next->previous = record->previous;
	tunnels->count--;
	cert_unref(record->cert);
	free(record->stage2);
	free(record);
}

void tunnels_close(struct tunnels *tunnels, struct tunnel_record *record)
{
	tunnels_send(tunnels, record, WIRE_CLOSE_TUNNEL, NULL, 0);
	if (record->state == RECORD_UNCONFIRMED)
		await_no_more(tunnels, record);
	record->state = RECORD_CLOSING;
	record->expires_ns = now_ns(tunnels) + CLOSE_LINGER_NS;
	record->next_test_ns = record->live.due_ns = TIMER_NEVER;
	tunnels->gone(tunnels, record, false);
	tunnels_leave_hosts(tunnels, record);
	tunnels_arm(tunnels, record);
}

void tunnels_suspect(struct tunnels *tunnels, struct tunnel_record *record)
{
	uint64_t now = now_ns(tunnels);

	for (uint32_t i = 0; i < record->link_count; i++) {
		struct host_link *link = record->links[i].host->links;
		for (; link; link = link->next) {
			struct tunnel_record *other = link->record;
			if (other->state != RECORD_LIVE || other->created_ns > record->created_ns)
				continue;
			other->state = RECORD_SUSPECT;
			other->suspect_ns = now;
			other->expires_ns = now + SUSPECT_NS;
			other->live.due_ns = TIMER_NEVER;
			tunnels_arm(tunnels, other);
		}
	}
	for (uint32_t i = 0; i < record->link_count; i++)
		tunnels_publish_host(tunnels, record->links[i].host);
}

void tunnels_evict_unconfirmed(struct tunnels *tunnels, const struct addr *addr)
{
	struct peer_host *host = tunnels_find_host(tunnels, addr);
	struct tunnel_record *oldest = NULL;
	uint32_t own = 0;

	for (struct host_link *link = host ? host->links : NULL; link; link = link->next) {
		if (link->record->state != RECORD_UNCONFIRMED)
			continue;
		own++;
		oldest = link->record;
	}
	if (own < UNCONFIRMED_PER_HOST_MAX && tunnels->unconfirmed < UNCONFIRMED_MAX)
		return;
	/* The host that floods pays; one that has none yet takes the oldest of all. */
	if (own < 2)
		oldest = tunnels->unproved;
	if (oldest)
		tunnels_remove(tunnels, oldest);
}

static void fire_record(void *context, struct timer *timer)
{
	struct tunnels *tunnels = context;
	struct tunnel_record *record = table_entry(timer, struct tunnel_record, timer);
	uint64_t now = now_ns(tunnels);
	uint64_t in = atomic_load(&record->tunnel->last_in_ns);

	if (record->expires_ns <= now) {
		/* The peer sends on it: it was never lost, whatever the recv_error said. */
		if (record->state == RECORD_SUSPECT && in > record->suspect_ns) {
			tunnels_confirm(tunnels, record);
			record->live.heard_ns = in; /* not now: it may have died since */
		} else {
			tunnels_remove(tunnels, record);
		}
		return;
	}
	if (record->next_test_ns <= now) {
		send_due_tests(tunnels, record, record->tests_started_ns);
		if (record->tests_sent == TESTS)
			tunnels->check(tunnels, record);
	}
	if (record->roam_quiet_ns && record->roam_quiet_ns <= now) {
		record->roam_quiet_ns = 0;
		atomic_fetch_and(&record->tunnel->event_in_flight, ~(uint32_t)TUNNEL_EVENT_ROAM);
	}
	if (record->live.due_ns <= now) {
		record->live.due_ns = TIMER_NEVER;
		tunnels_arm(tunnels, record);
		tunnels->check(tunnels, record);
		return;
	}
	tunnels_arm(tunnels, record);
}

/* --- look-ups ----------------------------------------------------------------------------------
 */

struct tunnel_record *tunnels_by_id(struct tunnels *tunnels, struct tunnel_id id)
{
	struct tunnel_record *record = id.slot < TUNNELS_MAX ? tunnels->by_slot[id.slot] : NULL;

	return record && record->tunnel->id.generation == id.generation ? record : NULL;
}

struct tunnel_record *tunnels_by_stage1(struct tunnels *tunnels,
					const uint8_t hash[STAGE1_HASH_BYTES])
{
	struct table_node *node;
	uint64_t key;

	memcpy(&key, hash, sizeof(key));
	for (node = table_first(&tunnels->by_stage1, key); node; node = table_next(node)) {
		struct tunnel_record *record = table_entry(node, struct tunnel_record, by_stage1);
		if (memcmp(record->stage1_hash, hash, STAGE1_HASH_BYTES) == 0)
			return record;
	}
	return NULL;
}

struct tunnel_record *tunnels_by_remote_index(struct tunnels *tunnels, uint32_t index,
					      const struct endpoint *remote)
{
	struct table_node *node =
		table_first(&tunnels->by_remote_index, index * 0x9e3779b97f4a7c15ull >> 32);

	for (; node; node = table_next(node)) {
		struct tunnel_record *record =
			table_entry(node, struct tunnel_record, by_remote_index);
		if (record->state == RECORD_LIVE && record->tunnel->remote_index == index &&
		    record->tunnel->remote && endpoint_equal(&record->tunnel->remote->to, remote))
			return record;
	}
	return NULL;
}

/* --- remotes -----------------------------------------------------------------------------------
 */

int tunnels_set_remote(struct tunnels *tunnels, struct tunnel_record *record,
		       const struct endpoint *remote)
{
	struct remote *before = record->tunnel->remote;
	struct remote *after = remote ? make_remote(tunnels, remote) : NULL;

	if (remote && !after)
		return -ENOMEM;
	RCU_PUBLISH(record->tunnel->remote, after);
	if (before)
		hostmap_defer(tunnels->map, release_plain, before);
	return 0;
}

/*
 * Every authenticated packet from the old address would report itself while going back is ignored,
 * so the tunnel's roam bit stays set until that time is over (fire_record clears it).
 */
bool tunnels_roam(struct tunnels *tunnels, struct tunnel_record *record,
		  const struct endpoint *source)
{
	struct endpoint from;

	if (!record->tunnel->remote) /* it went through a relay: nothing to go back to */
		return tunnels_set_remote(tunnels, record, source) == 0;
	from = record->tunnel->remote->to;
	if (endpoint_equal(&from, source))
		return false;
	if (record->roam_quiet_ns && endpoint_equal(&record->roamed_from, source))
		return false;
	if (tunnels_set_remote(tunnels, record, source) != 0)
		return false;
	record->roamed_from = from;
	record->roam_quiet_ns = now_ns(tunnels) + ROAM_QUIET_NS;
	tunnels_arm(tunnels, record);
	return true;
}
