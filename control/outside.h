/*
 * outside.h - all that the deciding part of control (peers/node.c and below) may do to the world.
 *
 * Decisions are pure: an event, the state and the time go in, calls of this table come out. The
 * product fills the table in outside_live.c, the simulator (tests/sim) with a fake network and
 * clock, so both run the same node. Tables that workers read are changed directly through
 * hostmap.h.
 *
 * Every function gets context first. Pointers handed over are borrowed for the call. No function
 * may call back into the node.
 */
#ifndef M57_OUTSIDE_H
#define M57_OUTSIDE_H

#include "addr.h"
#include "counters.h"
#include "peers/name_options.h"
#include "tunnel.h"
#include "vnet.h"
#include "wire.h"

enum outside_level { OUTSIDE_DEBUG, OUTSIDE_INFO, OUTSIDE_WARNING, OUTSIDE_ERROR };

/* One key=value of a log line. A dotted key ("handshake.stage") is a group in JSON. */
struct outside_field {
	const char *key;
	const char *text; /* NULL: number counts */
	uint64_t number;
};

/* A run as it was read from the tun. */
struct waiting_run {
	struct virtio_net_hdr vnet;
	const uint8_t *bytes;
	uint32_t length; /* at most SLOT_BYTES */
	/* other hosts that lead to its destination, should one of them have a tunnel first */
	uint32_t gateway_count;
	const struct addr *gateways;
};

/* How a look-up of a host name ended. */
enum name_outcome {
	NAME_FOUND,  /* there are addresses */
	NAME_NONE,   /* a server says that it does not exist, or has none of the family */
	NAME_FAILED, /* no answer, or none that makes sense */
};

/* Of which addresses the look-up has told: NAME_IP of all that were asked for. Where only one
 * family was answered in time, it is that one, and of the other nothing is known. */
struct name_answer {
	enum name_outcome outcome;
	enum name_network told;
	uint32_t count; /* 0 without NAME_FOUND */
	const struct addr *addrs;
};

struct outside {
	void *context;

	uint64_t (*now_ns)(void *context);                         /* monotonic */
	uint64_t (*wall_ns)(void *context);                        /* unix time; may jump */
	void (*random)(void *context, void *bytes, size_t length); /* from a CSPRNG */

	/* One datagram from socket 0. What the kernel refuses is lost, as on any network. */
	void (*send_udp)(void *context, const struct endpoint *to, const uint8_t *bytes,
			 size_t length);

	/* Has worker queue seal payload as wire and send it, to remote, or to the tunnel's when
	 * NULL. */
	void (*send_in_tunnel)(void *context, uint32_t queue, struct tunnel_id tunnel,
			       enum wire_type wire, const struct endpoint *remote,
			       const uint8_t *payload, size_t length);

	/* Has worker queue wrap a datagram for the entry index of tunnel's peer, a relay. */
	void (*send_via_relay)(void *context, uint32_t queue, struct tunnel_id tunnel,
			       uint32_t index, const uint8_t *bytes, size_t length);

	/*
	 * ORDER_RESUME and ORDER_RESUME_END of message.h. Calls for one queue must reach that
	 * worker in the order they were made, none may be lost (kept back while the worker's orders
	 * are full). resume_end: waiting_seen of the order is the number of PUNT_WAITING handed to
	 * node_on_waiting() from that queue before this call.
	 */
	void (*resume)(void *context, uint32_t queue, struct tunnel_id tunnel,
		       const struct waiting_run *run);
	void (*resume_end)(void *context, uint32_t queue, const struct addr *host);

	/*
	 * Begins to look a host name up; the answer comes as node_on_name() with the same id,
	 * unless resolve_cancel() was called first. timeout_ns is how long it will be waited for. 0
	 * or -errno. May be NULL: then no name is looked up.
	 */
	int (*resolve)(void *context, uint32_t id, const char *name, enum name_network network,
		       uint64_t timeout_ns);
	void (*resolve_cancel)(void *context, uint32_t id);

	void (*count_drop)(void *context, enum drop reason, uint64_t packets);
	void (*count_stat)(void *context, enum statistic which, uint64_t n); /* may be NULL */
	void (*log)(void *context, enum outside_level level, const char *message,
		    const struct outside_field *fields, size_t count);
};

#endif
