/*
 * system_routes.h - the kernel's routes that lead to overlay gateways over our device, as its
 * messages tell of them (tun.use_system_route_table). Data and decisions only: no socket, no clock;
 * route_watch.c feeds it.
 *
 * A route counts when it is unicast, in any table but the local one, and one of its next hops or
 * more leaves by our device to a gateway in our networks; those next hops are its gateways, with
 * their weights. Several tables or metrics may hold one prefix: the main table's before others,
 * then the lowest metric.
 */
#ifndef M57_SYSTEM_ROUTES_H
#define M57_SYSTEM_ROUTES_H

#include <linux/netlink.h>
#include <stdbool.h>

#include "addr.h"
#include "route.h"

struct system_routes;

/* The routes over device index, whose gateways are in networks (own addresses with their length;
 * copied, at most PEER_ADDRS_MAX). NULL: no memory. */
struct system_routes *system_routes_create(unsigned index, const struct prefix *networks,
					   uint32_t network_count);
void system_routes_destroy(struct system_routes *routes); /* NULL is allowed */

/* A dump of the family (AF_INET, AF_INET6) begins; when it ends, routes that neither it nor a
 * message since has named are forgotten. */
void system_routes_dump_begin(struct system_routes *routes);
void system_routes_dump_end(struct system_routes *routes, uint8_t family);

/*
 * Takes one message in; header->nlmsg_len bytes must be there. dumped: it is part of a dump. What
 * is no route, broken, or not ours changes nothing.
 */
void system_routes_message(struct system_routes *routes, const struct nlmsghdr *header,
			   bool dumped);

/* Has anything changed since system_routes_settled()? */
bool system_routes_changed(const struct system_routes *routes);
void system_routes_settled(struct system_routes *routes);
void system_routes_unsettle(struct system_routes *routes); /* takes that back */
/* What a message means cannot be told from it alone: only a dump helps. Asking forgets it. */
bool system_routes_unsure(struct system_routes *routes);
/* Routes that did not fit into ROUTES_MAX, in this dump and since. */
uint32_t system_routes_left_out(const struct system_routes *routes);

/*
 * Writes the routes to list, at most `most`, of equal prefixes the best one last; returns how many.
 * Their gateways are borrowed until the next message. No memory: *failed.
 */
uint32_t system_routes_list(const struct system_routes *routes, struct route *list, uint32_t most,
			    bool *failed);
uint32_t system_routes_count(const struct system_routes *routes);
/* Is there one to exactly this prefix? Goes through all of them: for m57ctl. */
bool system_routes_knows(const struct system_routes *routes, const struct prefix *to);

#endif
