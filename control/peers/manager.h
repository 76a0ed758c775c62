/*
 * manager.h - the connection manager (PROTOCOL.md 8): which tunnel is asked whether it lives,
 * heals, is replaced, goes. Private to control/peers.
 */
#ifndef M57_MANAGER_H
#define M57_MANAGER_H

#include "peers/node_state.h"

/* What a decision rests on; bits. */
enum manager_fact {
	FACT_BLOCKED = 1,     /* the peer's certificate is on the blocklist */
	FACT_INVALID = 2,     /* it is not valid any more, and pki.disconnect_invalid */
	FACT_EXHAUSTED = 4,   /* the send counter has reached its end */
	FACT_IN = 8,          /* authenticated packets have come lately, or since the test */
	FACT_OUT = 16,        /* traffic has left that nothing has come back for */
	FACT_PRIMARY = 32,    /* workers send on it */
	FACT_PENDING = 64,    /* a test request is unanswered, or it was silent at the last check */
	FACT_OVERDUE = 128,   /* the answer should have come by now */
	FACT_EXPIRED = 256,   /* pending for timers.pending_deletion_interval */
	FACT_UNUSED = 512,    /* for tunnels.inactivity_timeout, and tunnels.drop_inactive */
	FACT_MAY_SWAP = 1024, /* rule of 8.3, but for the traffic */
	FACT_OUTDATED = 2048, /* rule of 8.4, but for the traffic */
};

enum manager_action {
	MANAGER_CLOSE,       /* with CloseTunnel */
	MANAGER_REMOVE,      /* without notice */
	MANAGER_REHANDSHAKE, /* a new tunnel beside it; else as KEEP */
	MANAGER_KEEP,        /* primary and alive: look again when it may have fallen silent */
	MANAGER_SWAP,        /* becomes primary */
	MANAGER_KEEP_SECOND, /* not primary, but the peer sends on it */
	MANAGER_HEAL,        /* test again, and handshake beside it */
	MANAGER_WAIT,        /* for the answer; test once more */
	MANAGER_REST,        /* no timer until traffic leaves on it again */
	MANAGER_TEST,
	MANAGER_DOUBT, /* pending without a test: it goes if nothing comes */
};

/* One row: needs all of `all`, none of `none`. The first that fits decides; the last fits always.
 */
struct manager_row {
	const char *name; /* for logs and tests: step of PROTOCOL.md 8.2, and what it is */
	uint32_t all, none;
	enum manager_action action;
};

extern const struct manager_row manager_rows[];
extern const size_t manager_row_count;

/* The row that decides; facts: bits of enum manager_fact. Never NULL. */
const struct manager_row *manager_decide(uint32_t facts);

/* Puts the manager's hooks into node->tunnels and defaults into node->options. */
void manager_init(struct node *node);

/* A message of the tunnel has come to control. */
void manager_heard(struct node *node, struct tunnel_record *record);
/* It was a test request: the peer has not heard us for a while. */
void manager_asked(struct node *node, struct tunnel_record *record);
/* It was a test reply of so many bytes. */
void manager_measure(struct tunnel_record *record, uint64_t now, size_t bytes);
/* Traffic leaves on a tunnel that rested. */
void manager_active(struct node *node, struct tunnel_record *record);
/* Somebody says the tunnel is dead, without proof: ask it now. */
void manager_doubt(struct node *node, struct tunnel_record *record);
/* Rows 1 and 2 for every tunnel, a bounded number at a time; true: some are left for the next call.
 */
bool manager_sweep(struct node *node);
/* The record is checked at due_ns, or earlier if that was said before. LIVE only. */
void manager_check_at(struct tunnels *tunnels, struct tunnel_record *record, uint64_t due_ns);

#endif
