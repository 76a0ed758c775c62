/* manager_facts.h - times and facts of a tunnel, between manager.c and manager_facts.c. */
#ifndef M57_MANAGER_FACTS_H
#define M57_MANAGER_FACTS_H

#include "peers/manager.h"

#define MS_NS 1000000ull
#define S_NS  (1000 * MS_NS)

#define SLOW_NS      (800 * MS_NS)
#define SLOW_ANSWERS 2

static inline uint64_t later_ns(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* When something authenticated came last, to a worker or to control; monotonic. */
static inline uint64_t in_ns(const struct tunnel_record *record)
{
	return later_ns(atomic_load(&record->tunnel->last_in_ns), record->live.heard_ns);
}

static inline uint64_t out_ns(const struct tunnel_record *record)
{
	return atomic_load(&record->tunnel->last_out_ns);
}

/* Do workers send on it, to one of its hosts at least? */
static inline bool is_primary(const struct tunnel_record *record)
{
	for (uint32_t i = 0; i < record->link_count; i++)
		if (record->links[i].host->primary == record)
			return true;
	return false;
}

/* How long the answer to a test request is waited for. */
uint64_t manager_answer_wait_ns(const struct round_trip *trip);

/* FACT_BLOCKED, FACT_INVALID, or 0; *error says what is wrong with the certificate. */
uint32_t manager_certificate_facts(const struct node *node, const struct tunnel_record *record,
				   enum cert_error *error);
/* Rule of 8.4, but for the traffic: our certificate is another one, or the counter is high. */
bool manager_is_outdated(const struct node *node, const struct tunnel_record *record);
/* All facts of a LIVE tunnel now. */
uint32_t manager_facts(const struct node *node, const struct tunnel_record *record, uint64_t now);

#endif
