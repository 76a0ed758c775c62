/*
 * manager_facts.c - what is known of a tunnel, and the row of PROTOCOL.md 8.2 that fits; see
 * manager.h. Nothing here changes anything.
 */
#include "peers/manager_facts.h"

/*
 * An answer is awaited for at least so long; longer where round trips are. Only a path that
 * was SLOW_NS twice in a row, and not for a moment, is given more than ANSWER_USUAL_MAX_NS:
 * elsewhere SILENCE_NS, that, and two steps of the grid are the longest time until a handshake
 * begins beside a silent tunnel, 2 s. A handshake too many is worse where paths are slow: with it
 * the reference drops the tunnel of before, and all that is on its way in it.
 */
#define ANSWER_MIN_NS       (500 * MS_NS)
#define ANSWER_USUAL_MAX_NS S_NS
#define ANSWER_MAX_NS       (5 * S_NS)

#define ANYTHING 0

/* PROTOCOL.md 8.2; a letter behind the number marks a row that it does not have. */
const struct manager_row manager_rows[] = {
	{"1 blocked", FACT_BLOCKED, 0, MANAGER_CLOSE},
	{"2 invalid", FACT_INVALID, 0, MANAGER_CLOSE},
	{"3 counter", FACT_EXHAUSTED, 0, MANAGER_REMOVE},
	{"4 outdated", FACT_IN | FACT_PRIMARY | FACT_OUTDATED, 0, MANAGER_REHANDSHAKE},
	{"4 alive", FACT_IN | FACT_PRIMARY, 0, MANAGER_KEEP},
	{"4 swap", FACT_IN | FACT_MAY_SWAP, 0, MANAGER_SWAP},
	{"4 used by the peer", FACT_IN, 0, MANAGER_KEEP_SECOND},
	{"5 dead", FACT_PENDING | FACT_EXPIRED, 0, MANAGER_REMOVE},
	{"5a unanswered", FACT_PENDING | FACT_OVERDUE | FACT_PRIMARY, 0, MANAGER_HEAL},
	{"5b pending", FACT_PENDING, 0, MANAGER_WAIT},
	{"6 unused", FACT_PRIMARY | FACT_UNUSED, FACT_OUT, MANAGER_CLOSE},
	{"6 quiet", FACT_PRIMARY, FACT_OUT, MANAGER_REST},
	{"7 silent", FACT_PRIMARY, 0, MANAGER_TEST},
	{"8 not used", ANYTHING, 0, MANAGER_DOUBT},
};
const size_t manager_row_count = sizeof(manager_rows) / sizeof(manager_rows[0]);

const struct manager_row *manager_decide(uint32_t facts)
{
	const struct manager_row *row = manager_rows;

	while ((facts & row->all) != row->all || (facts & row->none))
		row++;
	return row;
}

uint64_t manager_answer_wait_ns(const struct round_trip *trip)
{
	uint64_t wait = 2 * trip->answer_ns + 100 * MS_NS;
	uint64_t most = trip->slow_answers < SLOW_ANSWERS ? ANSWER_USUAL_MAX_NS : ANSWER_MAX_NS;

	return wait < ANSWER_MIN_NS ? ANSWER_MIN_NS : wait > most ? most : wait;
}

uint32_t manager_certificate_facts(const struct node *node, const struct tunnel_record *record,
				   enum cert_error *error)
{
	*error = ca_pool_reverify(node->pki->ca, record->cert, node_wall_s(node),
				  node->pki->blocklist);
	if (*error == CERT_OK)
		return 0;
	if (*error == CERT_BLOCKED)
		return FACT_BLOCKED;
	return node->options.disconnect_invalid ? FACT_INVALID : 0;
}

/* Rule of 8.3: only the node with the lower address moves, to a tunnel that is up to date. */
static bool may_swap(const struct node *node, const struct tunnel_record *record, bool outdated)
{
	const struct cert *own = pki_own_cert(node->pki);

	return !outdated && record->tunnel->addr_count > 0 &&
	       addr_compare(&own->networks[0].addr, &record->tunnel->addrs[0]) < 0;
}

bool manager_is_outdated(const struct node *node, const struct tunnel_record *record)
{
	const struct cert *own = node->pki->v1.cert;

	return atomic_load(&record->tunnel->counter) >= COUNTER_REHANDSHAKE_AT || !own ||
	       memcmp(own->fingerprint, record->own_fingerprint, CERT_FINGERPRINT_SIZE);
}

uint32_t manager_facts(const struct node *node, const struct tunnel_record *record, uint64_t now)
{
	const struct node_options *options = &node->options;
	const struct liveness *live = &record->live;
	uint64_t in = in_ns(record), out = out_ns(record);
	uint64_t counter = atomic_load(&record->tunnel->counter);
	bool outdated = manager_is_outdated(node, record);
	bool primary = is_primary(record);
	enum cert_error error;
	uint32_t facts = manager_certificate_facts(node, record, &error);

	facts |= counter >= COUNTER_REFUSE_AT ? FACT_EXHAUSTED : 0;
	facts |= outdated ? FACT_OUTDATED : 0;
	facts |= primary ? FACT_PRIMARY : 0;
	facts |= !primary && may_swap(node, record, outdated) ? FACT_MAY_SWAP : 0;
	facts |= out > in ? FACT_OUT : 0;
	if (options->drop_inactive &&
	    later_ns(later_ns(in, out), record->created_ns) + options->inactivity_ns <= now)
		facts |= FACT_UNUSED;
	if (!live->test_ns) {
		bool heard = primary ? in + SILENCE_NS > now : in > live->checked_ns;
		return facts | (heard ? FACT_IN : 0);
	}
	facts |= FACT_PENDING;
	facts |= in > (primary ? live->test_ns : later_ns(live->test_ns, live->checked_ns))
			 ? FACT_IN
			 : 0;
	facts |= live->test_ns + manager_answer_wait_ns(&record->round_trip) <= now ? FACT_OVERDUE
										    : 0;
	facts |= live->test_ns + options->deletion_interval_ns <= now ? FACT_EXPIRED : 0;
	return facts;
}
