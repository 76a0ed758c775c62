/*
 * resolver.h - looks host names up by c-ares, without a thread and without waiting: its sockets are
 * in one epoll descriptor, which control's loop polls, and its deadlines are the loop's.
 */
#ifndef M57_RESOLVER_H
#define M57_RESOLVER_H

#include "addr.h"
#include "outside.h"

struct resolver;

/* What was found out about look-up id. The answer is valid during the call. */
typedef void resolver_answer_fn(void *context, uint32_t id, const struct name_answer *answer);

/* NULL: errno says why. */
struct resolver *resolver_open(resolver_answer_fn *answer, void *context);
/* Ends all look-ups without an answer. NULL is allowed. */
void resolver_close(struct resolver *resolver);

/* Readable when resolver_turn() has something to do. */
int resolver_fd(const struct resolver *resolver);

/*
 * Begins a look-up of name, asking servers until timeout_ns have passed; what one family has
 * answered by then is the answer. 0; -ENOBUFS: LOOKUPS_MAX and one are under way, the one for the
 * DNS responder beside the names of hosts; -EIO: c-ares cannot. Never answers from inside.
 */
int resolver_begin(struct resolver *resolver, uint32_t id, const char *name,
		   enum name_network network, uint64_t timeout_ns);
/* Ends look-up id without an answer, if it is under way. From inside of an answer too. */
void resolver_cancel(struct resolver *resolver, uint32_t id);

/* Takes in what the servers sent. */
void resolver_turn(struct resolver *resolver);
/* Does what is due at now_ns (monotonic), and gives the answers. Cheap when nothing is. */
void resolver_tick(struct resolver *resolver, uint64_t now_ns);
/* When resolver_tick() is to be called next; UINT64_MAX: nothing is under way. */
uint64_t resolver_next_deadline(const struct resolver *resolver);

#endif
