/*
 * manager.c - see manager.h.
 *
 * Two rhythms. The slow one is Nebula's: a tunnel that is not primary is looked at every
 * timers.connection_alive_interval, and one that stays silent goes timers.pending_deletion_interval
 * later. The fast one is ours: while traffic leaves on a primary tunnel, its timer stands at the
 * moment at which SILENCE_NS will have passed since the last packet came. Packets that come move
 * that moment; a timer that fires too early is just set again. Only when something was sent and
 * nothing has come is the peer asked, by a test request, once more after a part of the wait; and
 * when that is not answered either, a handshake begins beside the tunnel. The tunnel goes on
 * carrying the traffic until the new one is complete, so nothing is taken from a tunnel that
 * answers after all. A peer that has restarted, or one that is reached at another of its addresses
 * only, answers the handshake.
 *
 * A primary tunnel without traffic has no timer at all: control clears tunnel.watched, and the
 * worker that sends on it next sets it and says so (PUNT_ACTIVE). The worker stores the time of its
 * packet before it reads watched, control clears watched before it reads the time again; the two
 * may still miss each other by a store that lingers in the worker's CPU, then the tunnel is watched
 * from the next packet on. So an idle node sleeps, however many tunnels it has. Due times are
 * rounded up to a grid, so that one wake-up serves many tunnels.
 *
 * Several tunnels to one host, after a simultaneous start or healing, settle to one: the node with
 * the lower address moves to the tunnel on which the peer sends (8.3), the others fall silent. A
 * new primary beside other tunnels is tested once even without traffic, so that the peer sees which
 * it is.
 */
#include "peers/manager.h"

#include "peers/manager_facts.h"

#include "peers/promote.h"

#define ALIVE_INTERVAL_NS    (5 * S_NS)
#define DELETION_INTERVAL_NS (10 * S_NS)
/*
 * What comes on a tunnel so soon after another has become primary was on its way by then, and tells
 * nothing about what the peer will use.
 */
#define LATE_NS      (500 * MS_NS)
#define HEAL_STEP_NS S_NS /* between test requests while a tunnel does not answer */
/*
 * A peer that asks although we send, and then answers nothing for so long, does not hear us. Any
 * round trip is shorter, and a peer that could mend it has done so.
 */
#define UNHEARD_NS (5 * S_NS)
/* Before this age tests are those of a new tunnel (PROTOCOL.md 2.11). */
#define ASKED_NS (2 * S_NS)
/* Due times are multiples of these: of the first when they are near, else of the second. */
#define GRID_FAST_NS (100 * MS_NS)
#define GRID_SLOW_NS (500 * MS_NS)
#define NEAR_NS      (2 * S_NS)
#define SWEEP_SLOTS  4096       /* looked at in one go: about 1 ms */
#define HEARD_NS     (5 * S_NS) /* a tunnel on which something came so lately is in use */

static struct node *node_of(struct tunnels *tunnels)
{
	return table_entry(tunnels, struct node, tunnels);
}

void manager_check_at(struct tunnels *tunnels, struct tunnel_record *record, uint64_t due_ns)
{
	uint64_t now = node_now_ns(node_of(tunnels));
	uint64_t grid = due_ns < now + NEAR_NS ? GRID_FAST_NS : GRID_SLOW_NS;

	due_ns = (later_ns(due_ns, now + 1) + grid - 1) / grid * grid;
	if (record->state != RECORD_LIVE || due_ns >= record->live.due_ns)
		return;
	record->live.due_ns = due_ns;
	tunnels_arm(tunnels, record);
}

/* --- actions -----------------------------------------------------------------------------------
 */

static void test_over(struct tunnel_record *record)
{
	record->live.test_ns = 0;
	atomic_store(&record->tunnel->unanswered, 0);
}

/* The tunnel answers: what was begun because it did not is not needed any more. */
static void answered(struct node *node, struct tunnel_record *record)
{
	test_over(record);
	if (!record->live.healing)
		return;
	record->live.healing = false;
	for (uint32_t i = 0; i < record->link_count; i++)
		initiator_quiet(node, record->links[i].host);
}

static void ask(struct node *node, struct tunnel_record *record, uint64_t now)
{
	if (!record->live.test_ns)
		record->live.test_ns = now;
	record->live.asked_ns = now;
	tunnels_test(&node->tunnels, record);
}

/*
 * One byte that keeps the path through NATs open (PROTOCOL.md 6.6). A tunnel without a direct path
 * has none to keep; of all remotes, those of its peer are some.
 */
static void punch(struct node *node, struct tunnel_record *record, uint64_t now)
{
	static const uint8_t byte = 1;
	const struct remote *remote = record->tunnel->remote;

	if (!node->options.punch || now < record->live.punch_ns || record->link_count == 0)
		return;
	record->live.punch_ns = now + node->options.alive_interval_ns;
	for (uint32_t i = 0; i < record->link_count; i++)
		if (lighthouse_is(node, &record->links[i].host->addr))
			return; /* our updates keep that path open */

	const struct remotes *remotes = record->links[0].host->remotes;
	if (remote)
		node->outside->send_udp(node->outside->context, &remote->to, &byte, 1);
	for (uint32_t i = 0; node->options.punch_all && remotes && i < remotes->count; i++)
		if (!remotes->list[i].blocked &&
		    !(remote && endpoint_equal(&remotes->list[i].to, &remote->to)))
			node->outside->send_udp(node->outside->context, &remotes->list[i].to, &byte,
						1);
}

static void rest(struct node *node, struct tunnel_record *record, uint64_t now)
{
	const struct node_options *options = &node->options;
	uint64_t out = out_ns(record),
		 used = later_ns(later_ns(in_ns(record), out), record->created_ns);

	atomic_store(&record->tunnel->watched, 0);
	if (out_ns(record) != out) {
		atomic_store(&record->tunnel->watched, 1);
		manager_check_at(&node->tunnels, record, now + SILENCE_NS);
		return;
	}
	punch(node, record, now);
	if (options->punch)
		manager_check_at(&node->tunnels, record, record->live.punch_ns);
	if (options->drop_inactive)
		manager_check_at(&node->tunnels, record, used + options->inactivity_ns);
}

static void keep(struct node *node, struct tunnel_record *record, uint64_t now)
{
	uint64_t heard = later_ns(in_ns(record), record->live.since_ns);

	answered(node, record);
	relays_promote(node, record, now);
	promote_look(node, record, now);
	if (out_ns(record) + SILENCE_NS <= now)
		rest(node, record, now);
	else
		manager_check_at(&node->tunnels, record, heard + SILENCE_NS);
}

/* Another tunnel of the host on which something has come since this one fell silent. */
static struct tunnel_record *lively_sibling(const struct tunnel_record *record)
{
	for (uint32_t i = 0; i < record->link_count; i++) {
		struct host_link *link = record->links[i].host->links;
		for (; link; link = link->next)
			if (link->record != record && link->record->state == RECORD_LIVE &&
			    in_ns(link->record) > record->live.test_ns)
				return link->record;
	}
	return NULL;
}

/* Flows that have another gateway take that. What else leads to the host is no better. */
static void be_silent(struct tunnel_record *record)
{
	for (uint32_t i = 0; i < record->link_count; i++)
		for (struct host_link *link = record->links[i].host->links; link; link = link->next)
			atomic_store(&link->record->tunnel->unanswered, 1);
}

/*
 * The tunnel goes through a relay, and the peer was never heard on it, or not since the last search
 * for a direct path. It may send where stage 1 of the handshake, or a test request, came to it
 * directly, as 1.6.1 does, and that path be dead in its direction.
 */
static bool is_misled(struct node *node, struct tunnel_record *record, uint64_t now)
{
	bool searched = relays_promote_failed(node, record, now);

	return !record->tunnel->remote && (searched || in_ns(record) <= record->created_ns);
}

static void heal(struct node *node, struct tunnel_record *record, uint64_t now)
{
	struct tunnel_record *sibling = lively_sibling(record);
	uint64_t expiry = record->live.test_ns + node->options.deletion_interval_ns;
	uint64_t next = now + HEAL_STEP_NS;
	struct host_pending *pending = record->links[0].host->pending;
	bool misled;

	manager_check_at(&node->tunnels, record, next < expiry ? next : expiry);
	if (sibling) {
		tunnels_lead(&node->tunnels, sibling);
		return;
	}
	be_silent(record);
	ask(node, record, now);
	if (pending && !pending->quiet) {
		if (!record->live.healing) /* begun for another reason, perhaps long ago */
			initiator_hurry(node, pending);
		record->live.healing = true;
		return;
	}
	record->live.healing = true;
	misled = is_misled(node, record, now);
	node_rehandshake(node, record, "no answer");
	pending = record->links[0].host->pending;
	if (pending)
		pending->relays_first = misled;
}

static void wait(struct node *node, struct tunnel_record *record, uint64_t now)
{
	struct liveness *live = &record->live;

	if (!is_primary(record)) {
		manager_check_at(&node->tunnels, record,
				 live->test_ns + node->options.deletion_interval_ns);
		return;
	}
	ask(node, record, now);
	manager_check_at(&node->tunnels, record,
			 live->test_ns + manager_answer_wait_ns(&record->round_trip));
}

static void test(struct node *node, struct tunnel_record *record, uint64_t now)
{
	ask(node, record, now);
	if (node->options.punch_all)
		punch(node, record, now);
	manager_check_at(&node->tunnels, record,
			 now + manager_answer_wait_ns(&record->round_trip) * 2 / 5);
}

/*
 * The peer is heard, but are we? Its own test reply says so, and nothing else does. Without one our
 * way to it is dead, and the handshake looks for another. A peer that is silent meanwhile is the
 * other rows' affair.
 */
static void insist(struct node *node, struct tunnel_record *record, uint64_t now)
{
	struct liveness *live = &record->live;

	if (!live->unheard_ns && !live->deaf)
		return;
	if (live->unheard_ns && (!is_primary(record) || now >= live->unheard_ns + UNHEARD_NS)) {
		live->deaf = is_primary(record) && in_ns(record) > live->unheard_ns;
		live->unheard_ns = 0;
		if (live->deaf)
			node_rehandshake(node, record, "not heard by the peer");
	}
	if (now >= live->insist_ns) {
		tunnels_test(&node->tunnels, record);
		live->insist_ns = now + HEAL_STEP_NS;
	}
	if (live->unheard_ns) /* later on it is asked while traffic leaves, and has no timer */
		manager_check_at(&node->tunnels, record, live->insist_ns);
}

static void log_end(struct node *node, const struct tunnel_record *record,
		    const struct manager_row *row)
{
	struct peer_text text;

	node_peer_text(record->cert, &text);
	NODE_LOG(node, OUTSIDE_INFO, "Tunnel status", FIELD_TEXT("vpnAddrs", text.addrs),
		 FIELD_TEXT("certName", record->cert->name),
		 FIELD_NUMBER("localIndex", record->tunnel->local_index),
		 FIELD_TEXT("tunnelCheck", row->name + 2));
}

static void rehandshake(struct node *node, struct tunnel_record *record)
{
	uint64_t counter = atomic_load(&record->tunnel->counter);

	if (!record->links[0].host->pending)
		node_rehandshake(node, record,
				 counter >= COUNTER_REHANDSHAKE_AT ? "send counter"
								   : "local certificate changed");
}

/*
 * Two quiet ends may each have kept another of their tunnels: what was taken for the peer's choice
 * was a late packet. So the last one left is asked whether the peer has it too. A peer that has
 * chosen another one is asked in the same way, and is told by our answer, or finds that it has to
 * begin anew.
 */
static void remove_dead(struct node *node, struct tunnel_record *record)
{
	struct tunnel_record *left = NULL;

	for (uint32_t i = 0; i < record->link_count && !left; i++) {
		const struct host_link *link = record->links[i].host->links;

		if (link->record == record)
			link = link->next;
		if (link && (!link->next || (link->next->record == record && !link->next->next)))
			left = link->record;
	}
	tunnels_remove(&node->tunnels, record);
	if (left && left->state == RECORD_LIVE)
		manager_doubt(node, left);
}

static void act(struct node *node, struct tunnel_record *record, const struct manager_row *row,
		uint64_t now)
{
	struct tunnels *tunnels = &node->tunnels;

	switch (row->action) {
	case MANAGER_CLOSE:
		log_end(node, record, row);
		tunnels_close(tunnels, record);
		break;
	case MANAGER_REMOVE:
		log_end(node, record, row);
		remove_dead(node, record);
		break;
	case MANAGER_REHANDSHAKE:
		rehandshake(node, record);
		keep(node, record, now);
		break;
	case MANAGER_KEEP:
		keep(node, record, now);
		break;
	case MANAGER_SWAP:
		answered(node, record);
		tunnels_lead(tunnels, record); /* which attends to it */
		break;
	case MANAGER_KEEP_SECOND:
		answered(node, record);
		record->live.checked_ns = now;
		manager_check_at(tunnels, record, now + node->options.alive_interval_ns);
		break;
	case MANAGER_HEAL:
		heal(node, record, now);
		break;
	case MANAGER_WAIT:
		wait(node, record, now);
		break;
	case MANAGER_REST:
		rest(node, record, now);
		break;
	case MANAGER_TEST:
		test(node, record, now);
		break;
	case MANAGER_DOUBT:
		record->live.test_ns = now;
		manager_check_at(tunnels, record, now + node->options.deletion_interval_ns);
		break;
	}
}

/* --- events ------------------------------------------------------------------------------------
 */

/*
 * Traffic goes to a tunnel that the peer began and has not used: our answer was lost, and so may be
 * what we send. All its tests are unanswered, so we begin one ourselves. Where the message came
 * from is not proved: it is no address to try. Traffic that begins later has it tested once more.
 */
static void unproved(struct node *node, struct tunnel_record *record)
{
	for (uint32_t i = 0; i < record->link_count; i++) {
		struct peer_host *host = record->links[i].host;

		if (host->primary == record && !host->pending &&
		    out_ns(record) > record->created_ns + 1)
			initiator_begin(node, host, record->queue);
	}
}

static void check(struct tunnels *tunnels, struct tunnel_record *record)
{
	struct node *node = node_of(tunnels);
	uint64_t now = node_now_ns(node);
	uint64_t ripe = later_ns(in_ns(record), record->live.since_ns) + SILENCE_NS;

	if (node->shut_down || record->link_count == 0)
		return;
	if (record->state == RECORD_UNCONFIRMED) {
		unproved(node, record);
		return;
	}
	insist(node, record, now);
	uint32_t facts = manager_facts(node, record, now);
	if (record->live.ask && (facts & (FACT_PRIMARY | FACT_PENDING)) == FACT_PRIMARY) {
		record->live.ask = false;
		manager_doubt(node, record);
		return;
	}
	/* Watched for less than the time of silence: too early to miss an answer. */
	if ((facts & FACT_PRIMARY) && !(facts & (FACT_IN | FACT_PENDING)) && now < ripe)
		manager_check_at(tunnels, record, ripe);
	else
		act(node, record, manager_decide(facts), now);
}

static void attend(struct tunnels *tunnels, struct peer_host *host)
{
	struct node *node = node_of(tunnels);
	uint64_t now = node_now_ns(node), answer = 0;
	uint32_t slow = 0;

	lighthouse_publish(node, host);
	if (host->primary && host->primary->state == RECORD_LIVE)
		failures_forget(&node->failures, &host->addr);
	for (struct host_link *link = host->links; link; link = link->next) {
		const struct round_trip *trip = &link->record->round_trip;

		answer = later_ns(answer, trip->answer_ns);
		slow = trip->slow_answers > slow ? trip->slow_answers : slow;
	}
	for (struct host_link *link = host->links; link; link = link->next) {
		struct tunnel_record *record = link->record;

		record->live.since_ns = now;
		record->live.checked_ns = now + LATE_NS;
		/* one that is unproved has no timer: its first traffic says so */
		atomic_store(&record->tunnel->watched, record->state != RECORD_UNCONFIRMED);
		if (record != host->primary) {
			if (in_ns(record) > record->live.test_ns)
				test_over(record);
			record->live.healing = false;
			manager_check_at(tunnels, record, now + node->options.alive_interval_ns);
			continue;
		}
		/* one of which a sibling has said that the peer is silent is asked, not believed */
		record->live.test_ns = 0;
		record->live.ask =
			host->links->next != NULL || atomic_load(&record->tunnel->unanswered);
		record->round_trip.answer_ns = answer; /* the same path, most likely */
		record->round_trip.slow_answers = slow;
		record->live.healing = false;
		manager_check_at(tunnels, record, now + SILENCE_NS);
	}
	relays_attend(node, host);
}

static void gone(struct tunnels *tunnels, struct tunnel_record *record, bool for_good)
{
	relays_tunnel_gone(node_of(tunnels), record, for_good);
}

void manager_init(struct node *node)
{
	node->tunnels.check = check;
	node->tunnels.attend = attend;
	node->tunnels.gone = gone;
	if (!node->options.alive_interval_ns)
		node->options.alive_interval_ns = ALIVE_INTERVAL_NS;
	if (!node->options.deletion_interval_ns)
		node->options.deletion_interval_ns = DELETION_INTERVAL_NS;
}

void manager_heard(struct node *node, struct tunnel_record *record)
{
	record->live.heard_ns = node_now_ns(node);
	if (record->live.test_ns && record->state == RECORD_LIVE)
		answered(node, record);
}

/*
 * Whoever hears us does not ask while we send: m57 does after SILENCE_NS, the reference after more.
 * What left earlier may be what it answered last.
 */
void manager_asked(struct node *node, struct tunnel_record *record)
{
	uint64_t now = node_now_ns(node);

	if (record->live.unheard_ns || record->state != RECORD_LIVE || !is_primary(record) ||
	    now < record->created_ns + ASKED_NS || out_ns(record) + SILENCE_NS < now)
		return;
	record->live.unheard_ns = now;
	insist(node, record, now);
}

void manager_measure(struct tunnel_record *record, uint64_t now, size_t bytes)
{
	struct round_trip *trip = &record->round_trip;
	uint64_t *requested_ns, took, old = trip->answer_ns - trip->answer_ns / 4;

	if (bytes > 0) { /* else it came from another address, which was tried */
		record->live.unheard_ns = 0;
		record->live.deaf = false;
	}
	if (bytes == 0 || bytes > TEST_REQUESTS || !trip->requested_ns[bytes - 1])
		return;
	requested_ns = &trip->requested_ns[bytes - 1];
	took = now - *requested_ns;
	*requested_ns = 0;
	trip->answer_ns = later_ns(took, old);
	if (took < SLOW_NS)
		trip->slow_answers = 0;
	else if (trip->slow_answers < SLOW_ANSWERS)
		trip->slow_answers++;
}

void manager_active(struct node *node, struct tunnel_record *record)
{
	uint64_t now = node_now_ns(node);

	if (record->state == RECORD_UNCONFIRMED) {
		if (record->next_test_ns == TIMER_NEVER) /* all were in vain: see unproved() */
			tunnels_start_tests(&node->tunnels, record, true);
		return;
	}
	record->live.since_ns = now;
	manager_check_at(&node->tunnels, record, now + SILENCE_NS);
}

void manager_doubt(struct node *node, struct tunnel_record *record)
{
	uint64_t now = node_now_ns(node);
	bool asked = record->live.test_ns != 0; /* and what follows is under way */

	ask(node, record, now);
	if (asked)
		return;
	manager_check_at(&node->tunnels, record,
			 now + manager_answer_wait_ns(&record->round_trip) * 2 / 5);
}

/*
 * A tunnel that only the peer uses is watched by no timer, so the sweep, which is as frequent as
 * the reference's checks, sees to it that it does not go on with a certificate of ours that has
 * been replaced.
 */
static void renew(struct node *node, struct tunnel_record *record)
{
	if (record->state == RECORD_LIVE && record->link_count > 0 &&
	    manager_is_outdated(node, record) && is_primary(record) &&
	    in_ns(record) + HEARD_NS > node_now_ns(node))
		rehandshake(node, record);
}

bool manager_sweep(struct node *node)
{
	struct tunnels *tunnels = &node->tunnels;
	uint32_t end = node->sweep_slot + SWEEP_SLOTS;

	if (node->sweep_slot == 0)
		node->sweep_left = tunnels->count;
	for (; node->sweep_slot < end && node->sweep_slot < TUNNELS_MAX && node->sweep_left > 0;
	     node->sweep_slot++) {
		struct tunnel_record *record = tunnels->by_slot[node->sweep_slot];
		enum cert_error error;
		uint32_t facts;

		if (!record)
			continue;
		node->sweep_left--;
		facts = record->state == RECORD_CLOSING
				? 0
				: manager_certificate_facts(node, record, &error);
		if (facts) {
			node_log_invalid(node, record, error);
			act(node, record, manager_decide(facts), node_now_ns(node));
		} else {
			renew(node, record);
		}
	}
	if (node->sweep_left > 0 && node->sweep_slot < TUNNELS_MAX)
		return true;
	node->sweep_slot = 0;
	return false;
}
