/*
 * refusal.h - what was refused lately: flows, by the firewall or for want of a route, and sends, by
 * the kernel. Workers remember the last few of each kind (dataplane/refusals.h); m57ctl
 * list-refused shows the flows, m57ctl why the sends to the host that it is about.
 *
 * Both kinds begin with how often and when; what follows tells entries apart, as bytes: always
 * start from zero.
 */
#ifndef M57_REFUSAL_H
#define M57_REFUSAL_H

#include "flow.h"

struct refusal {
	uint64_t times;   /* a super-packet counts once */
	uint64_t last_ns; /* coarse monotonic */
	struct flow flow;
	uint32_t direction; /* enum direction */
	uint32_t reason;    /* enum drop, as it was counted */
};
_Static_assert(sizeof(struct refusal) == 64, "copied by words");

struct refused_send {
	uint64_t times;     /* datagrams */
	uint64_t last_ns;   /* monotonic */
	struct endpoint to; /* IPv4-mapped or IPv6, whatever the socket's family */
	uint16_t zero;
	uint32_t error; /* errno */
};
_Static_assert(sizeof(struct refused_send) == 40, "copied by words");

#endif
