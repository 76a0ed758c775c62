/*
 * failures.h - the last failed handshake of each of the hosts that failed last: for "why". Private
 * to control/peers. A host is gone soon after its handshake has failed, so its failure is kept
 * here.
 */
#ifndef M57_FAILURES_H
#define M57_FAILURES_H

#include <stdio.h>

#include "peers/node_query.h"

struct failures {
	struct node_failure list[NODE_FAILURES_MAX];
	uint32_t next; /* the oldest */
};

/* The host's last one; NULL: none is kept. */
static inline const struct node_failure *failures_find(const struct failures *failures,
						       const struct addr *host)
{
	for (uint32_t i = 0; i < NODE_FAILURES_MAX; i++)
		if (failures->list[i].at_ns && addr_equal(&failures->list[i].host, host))
			return &failures->list[i];
	return NULL;
}

/* from: who answered, or NULL. detail may be "". */
static inline void failures_note(struct failures *failures, uint64_t now_ns,
				 const struct addr *host, const struct endpoint *from,
				 const char *text, const char *detail)
{
	struct node_failure *entry = (struct node_failure *)failures_find(failures, host);

	if (!entry) {
		entry = &failures->list[failures->next];
		failures->next = (failures->next + 1) % NODE_FAILURES_MAX;
	}
	entry->host = *host;
	entry->from = from ? *from : (struct endpoint){0};
	entry->at_ns = now_ns ? now_ns : 1;
	snprintf(entry->text, sizeof(entry->text), "%s%s%s", text, detail[0] ? ": " : "", detail);
}

/* A tunnel has been made since: what kept an earlier handshake from it is over. */
static inline void failures_forget(struct failures *failures, const struct addr *host)
{
	struct node_failure *entry = (struct node_failure *)failures_find(failures, host);

	if (entry)
		entry->at_ns = 0;
}

#endif
