/*
 * inbound_run.h - encrypted datagrams of one train, one type, one tunnel and one worker: what
 * inbound.c makes of a train, and inbound_run.c opens.
 */
#ifndef M57_INBOUND_RUN_H
#define M57_INBOUND_RUN_H

#include "worker.h"

#define OWNER_NONE   UINT32_MAX
#define OWNER_SPARSE 0 /* the only window beside the tunnel's own */

struct inbound_run {
	struct tunnel *tunnel;
	const struct endpoint *source;
	uint32_t via; /* as in struct arrival */
	enum wire_type type;
	uint32_t owner; /* worker that the datagrams are for, or OWNER_NONE */
	struct replay *window;
	bool mixed; /* as in struct arrival */
	uint32_t count;
	uint32_t settled; /* datagrams before this one are in the replay window */
	uint8_t *datagram[RUN_MAX];
	uint32_t bytes[RUN_MAX];
	uint64_t counter[RUN_MAX];
	bool fresh[RUN_MAX];     /* new to the replay window; false once it failed to open */
	uint64_t highest;        /* counter so far, see replay_repeated() */
	struct open_chain *tail; /* the chain that grew since the last settle */
	struct chain mark;       /* and how it stood then */
};

/*
 * Opens a run of this worker's: type, tunnel, source, via, owner, mixed, and count datagrams with
 * their bytes and counters are filled in, the rest is not. Each datagram ends as inbound_run.c
 * says.
 */
void inbound_run_open(struct worker *w, struct inbound_run *run);

#endif
