/*
 * route_watch.h - follows the kernel's route table through rtnetlink (tun.use_system_route_table):
 * the socket, dumps, and when there is enough news to tell. Control thread, never blocks.
 */
#ifndef M57_ROUTE_WATCH_H
#define M57_ROUTE_WATCH_H

#include "system/system_routes.h"

struct route_watch;

/*
 * Subscribes to changes and begins a dump; it comes in through route_watch_turn(). Device and
 * networks as system_routes_create(). buffer_bytes: of the socket's receive buffer, whatever the
 * system's limit; 0 leaves the system's default. NULL with errno set.
 */
struct route_watch *route_watch_open(unsigned index, const struct prefix *networks,
				     uint32_t network_count, uint32_t buffer_bytes);
void route_watch_close(struct route_watch *watch); /* NULL is allowed */

/* Readable when there is something for route_watch_turn(). */
int route_watch_fd(const struct route_watch *watch);
/* Takes in a bounded part of what has come; the rest keeps the descriptor readable. */
void route_watch_turn(struct route_watch *watch, uint64_t now_ns);
/* When to call route_watch_due() next; UINT64_MAX: when the descriptor is readable. */
uint64_t route_watch_next_deadline(const struct route_watch *watch);
/*
 * Does what time asks for. True: the routes have changed, are complete, and the last time that this
 * said so was ROUTES_PUBLISH_NS ago or more: now is the time to make a table of them.
 */
bool route_watch_due(struct route_watch *watch, uint64_t now_ns);

/* What route_watch_due() said could not be done: it says so again, ROUTES_PUBLISH_NS later. */
void route_watch_retry(struct route_watch *watch);

/* Borrowed; changes with route_watch_turn(). */
const struct system_routes *route_watch_routes(const struct route_watch *watch);
/* Times that the socket's buffer overran, and dumps that were begun. */
uint64_t route_watch_overruns(const struct route_watch *watch);
uint64_t route_watch_dumps(const struct route_watch *watch);

#endif
