/*
 * message.h - what crosses between the planes, both ways, as pointers carried by MSG_RING.
 *
 * punt  (worker -> control): lives in a bounded pool of the worker, one pool per class, so that a
 *        flood of one class starves no other. Pool empty: the packet is dropped and counted. The
 *        worker fills it and sends it; control owns it until punt_release().
 * order (control -> worker): allocated by control, which owns it again when it comes back as
 *        PUNT_ORDER_DONE. At most ORDERS_MAX are on their way to one worker.
 *
 * Tunnels are named by id, never by pointer.
 */
#ifndef M57_MESSAGE_H
#define M57_MESSAGE_H

#include <stdatomic.h>
#include "vnet.h"

#include "addr.h"
#include "tunnel.h"
#include "wire.h"

enum punt_type {
	PUNT_READY,      /* the worker has enabled its ring; orders may be posted from now on */
	PUNT_HANDSHAKE,  /* bytes: the whole datagram, header included, as it came */
	PUNT_RECV_ERROR, /* bytes: the whole datagram */
	PUNT_OPENED,     /* bytes: authenticated payload; wire, tunnel and source say of what */
	PUNT_WAITING,    /* bytes: a tun run for host addr that has no tunnel; vnet as read */
	PUNT_ROAM,       /* an authenticated packet of tunnel came from source */
	PUNT_CONFIRMED,  /* first authenticated packet on an unconfirmed tunnel, from source */
	PUNT_COUNTER,    /* the tunnel's send counter has reached a limit (value) */
	PUNT_ACTIVE,     /* traffic leaves on tunnel, which was quiet (tunnel.watched) */
	PUNT_WANTED, /* flows would take the gateway addr, which has no tunnel; others carry them */
	PUNT_NOTE,   /* something to say once: enum note, value = errno */
	PUNT_RESUME_AGAIN, /* ORDER_RESUME_END of addr came too early: send another after the runs
			      behind it; order is control's again */
	PUNT_ORDER_DONE, /* order: carried out (or impossible: result = -errno); control's again */
	PUNT_STOPPED,    /* the worker has left its loop */
};

enum note {
	NOTE_GSO_OFF,    /* EIO: no trains to one remote, for its route takes none */
	NOTE_GSO_REMOTE, /* EMSGSIZE or EINVAL: no trains of that segment size to one remote */
	NOTE_TSO_OFF,    /* the tun refused a joined TCP packet: singles from now on */
	NOTE_USO_OFF,
	NOTE_TRAINS_MIXED, /* trains with flows of several workers: steer by index alone */
	NOTE_TUN_DEAD,     /* the tun read failed for good (value = errno): the node cannot go on */
	NOTE_UDP_DEAD,
	NOTES
};

/* Must not be lost: without it a node that can do nothing would go on. */
static inline bool note_is_fatal(enum note note)
{
	return note == NOTE_TUN_DEAD || note == NOTE_UDP_DEAD;
}

/*
 * Of one worker: how many PUNT_HANDSHAKE control has in hand, by bucket of source networks, or
 * PUNT_OPENED, by bucket of peers (dataplane/lookup/source.h). The worker counts up, punt_release()
 * down.
 */
struct source_shares {
	_Atomic uint32_t all;
	_Atomic uint16_t of[SOURCE_BUCKETS];
};

struct punt {
	_Atomic uint32_t busy; /* pool: owned by control while set */
	enum punt_type type;
	uint32_t queue;         /* the worker that sent it */
	uint32_t length;        /* bytes in bytes[] */
	struct endpoint source; /* underlay; zero when it came through a relay */
	uint32_t via;           /* our index of that relay; 0: it came directly */
	struct tunnel_id tunnel;
	struct addr addr;             /* PUNT_WAITING, PUNT_WANTED: overlay next hop */
	enum wire_type wire;          /* PUNT_OPENED */
	enum note note;               /* PUNT_NOTE */
	int result;                   /* PUNT_ORDER_DONE: 0 or -errno */
	uint64_t value;               /* PUNT_COUNTER: COUNTER_*_AT; PUNT_NOTE: errno */
	struct order *order;          /* PUNT_ORDER_DONE, PUNT_RESUME_AGAIN */
	struct source_shares *shares; /* where it is counted, as one of bucket; NULL: nowhere */
	uint32_t bucket;
	struct punt *next;          /* control's own; before it is delivered, the engine's */
	struct virtio_net_hdr vnet; /* PUNT_WAITING */
	/* PUNT_WAITING: hosts that would do as well as addr; struct addr each, behind the bytes */
	uint32_t gateway_count;
	uint8_t bytes[];
};

/* Gives a punt back to its worker's pool. Control. */
static inline void punt_release(struct punt *punt)
{
	struct source_shares *shares = punt->shares;
	uint32_t bucket = punt->bucket;

	/* First the punt: a share that is free promises one. */
	atomic_store_explicit(&punt->busy, 0, memory_order_release);
	if (!shares)
		return;
	atomic_fetch_sub_explicit(&shares->of[bucket], 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&shares->all, 1, memory_order_release);
}

enum order_type {
	ORDER_SEND_IN_TUNNEL, /* seal bytes as wire type and send; remote overrides the tunnel's */
	ORDER_SEND_VIA_RELAY, /* wrap bytes, a whole datagram, for relay_index and send on tunnel */
	ORDER_RESUME,         /* a run that waited: through the firewall, sealed, sent on tunnel */
	ORDER_RESUME_END, /* clear this queue's bit of host addr, unless more runs are on the way */
	ORDER_STOP,       /* cancel everything and leave the loop */
};

struct order {
	enum order_type type;
	uint32_t queue; /* the worker it goes to; set by dataplane_post() */
	struct tunnel_id tunnel;
	enum wire_type wire;    /* ORDER_SEND_IN_TUNNEL */
	bool has_remote;        /* ORDER_SEND_IN_TUNNEL: to remote, wherever the tunnel leads */
	struct endpoint remote; /* underlay */
	uint32_t relay_index;   /* ORDER_SEND_VIA_RELAY: the relay's */
	struct addr addr;       /* ORDER_RESUME_END */
	uint64_t
		waiting_seen; /* ORDER_RESUME_END: PUNT_WAITING that control has taken from queue */
	struct virtio_net_hdr vnet; /* ORDER_RESUME */
	uint32_t length;
	uint32_t capacity; /* ORDER_RESUME: bytes[] has room for SLOT_BYTES, segments are rebuilt in
			      it */
	void *context;     /* control's own */
	uint8_t bytes[];
};

#endif
