/*
 * dns.h - a lighthouse's DNS responder (PROTOCOL.md 10.4): UDP only, one question a datagram,
 * answers about hosts that have had a tunnel with this one, and no others. On control's loop.
 *
 * It is no amplifier: an A or AAAA reply is 16 or 28 bytes longer than its question; certificates
 * are told to this host alone. DNS_QUERIES_PER_SECOND bound its share of control's time.
 */
#ifndef M57_DNS_H
#define M57_DNS_H

#include "dns_options.h"
#include "dns_wire.h"
#include "limits.h"
#include "outside.h"

struct dns;
struct node;
struct resolver;

#define DNS_LOOKUP_ID UINT32_MAX /* of the look-up of lighthouse.dns.host; names count from 0 */

/* A responder that does not listen yet. resolver is borrowed; NULL: no name is looked up. NULL:
 * errno says why. */
struct dns *dns_create(struct resolver *resolver);
void dns_destroy(struct dns *dns); /* NULL is allowed */
/* Readable when dns_turn() has something to do; the same for its whole life. */
int dns_fd(const struct dns *dns);

/*
 * Listens as options say, or not at all: at the start, and for a reload. The socket is opened anew
 * where address or port have changed; when that fails the old one goes on. At a name it listens,
 * and leaves the place before, when the look-up that begins here has ended: dns_found(). 0, or
 * -errno with one line in error.
 */
int dns_reconfigure(struct dns *dns, const struct dns_options *options, char error[ERROR_LINE_MAX]);
/*
 * The resolver's answer to look-up DNS_LOOKUP_ID: the first IPv4 address counts, else the first
 * one, as in the reference. 0, or -errno with one line in error.
 */
int dns_found(struct dns *dns, enum name_outcome outcome, const struct addr *addrs, uint32_t count,
	      char error[ERROR_LINE_MAX]);

/* Answers what has come, at most DNS_TURN_MAX. */
void dns_turn(struct dns *dns, struct node *node, const struct outside *outside);

/*
 * The reply to a query of asker, in reply[DNS_REPLY_MAX]; its length. 0: it is no query. *found:
 * there is a record in it.
 */
size_t dns_answer(struct node *node, const struct addr *asker, const uint8_t *query, size_t length,
		  uint8_t *reply, bool *found);

#endif
