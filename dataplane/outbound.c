/*
 * outbound.c - the road from the tun to the socket (PROTOCOL.md 4.1).
 *
 * Exits of a run: INNER_PARSE, TUN_SELF, TUN_BROADCAST, TUN_MULTICAST, TUN_NO_ROUTE, waits with
 * control (PUNT_POOL), NO_REMOTE, FIREWALL_OUT_*, INNER_GSO, TUN_SEGMENTS, TUN_TOO_BIG,
 * COUNTER_LIMIT, or sealed and sent. What FIREWALL_OUT_* and TUN_NO_ROUTE drop may be answered
 * (refuse.c).
 *
 * Where bytes are touched: the kernel copies the super-packet into the receive slot; each segment's
 * checksum reads its payload once; the AEAD reads it again (from cache) and writes the datagram
 * into the send slot, where it stays until the kernel copies it into the socket's buffer. Nothing
 * else moves payload.
 */
#include "worker.h"

#include <errno.h>

#include "crypto/seal.h"
#include "filter/firewall.h"
#include "io/segment.h"
#include "lookup/next_hop.h"

/* Packets in a run, for counting what was dropped before it was cut. */
uint32_t run_packets(uint32_t length, const struct virtio_net_hdr *vnet)
{
	if (vnet->gso_type == VIRTIO_NET_HDR_GSO_NONE || vnet->gso_size == 0)
		return 1;
	return (length - 1) / vnet->gso_size + 1;
}

static bool reserve(struct worker *w, struct tunnel *tunnel, uint32_t count, uint64_t *first)
{
	if (!seal_reserve(tunnel, count, first)) {
		punt_tunnel_event(w, tunnel, TUNNEL_EVENT_COUNTER, PUNT_COUNTER, NULL,
				  COUNTER_REFUSE_AT);
		return false;
	}
	if (*first < COUNTER_REHANDSHAKE_AT && *first + count >= COUNTER_REHANDSHAKE_AT)
		punt_tunnel_event(w, tunnel, TUNNEL_EVENT_COUNTER, PUNT_COUNTER, NULL,
				  COUNTER_REHANDSHAKE_AT);
	return true;
}

/* Control looks after the tunnel as long as traffic leaves on it: tunnel.watched. */
static void tunnel_is_used(struct worker *w, struct tunnel *tunnel)
{
	atomic_store_explicit(&tunnel->last_out_ns, w->now_ns, memory_order_relaxed);
	if (atomic_load_explicit(&tunnel->watched, memory_order_relaxed) == 0)
		punt_active(w, tunnel);
}

enum drop outbound_on_tunnel(struct worker *w, struct tunnel *tunnel, uint8_t *packet,
			     uint32_t length, const struct virtio_net_hdr *vnet,
			     const struct inner *inner)
{
	const struct remote *remote = RCU_READ(tunnel->remote);
	struct segmenter s;
	uint64_t counter;

	if (!remote)
		return DROP_NO_REMOTE;
	enum drop reason =
		firewall_check(w->conntrack, w->snapshot, tunnel, tunnel_rules(tunnel, w->snapshot->rules_version),
			       &inner->flow, OUTBOUND, w->now_s, w->counters);
	if (reason != DROP_NONE) {
		refuse_outbound(w, tunnel, packet, inner, reason);
		return firewall_drop(reason, OUTBOUND);
	}
	reason = segment_begin(&s, packet, length, vnet, inner);
	if (reason != DROP_NONE)
		return reason;
	if (s.count > RUN_SEGMENTS_MAX)
		return DROP_TUN_SEGMENTS;
	uint32_t largest = s.count > 1 ? s.header_bytes + s.segment_bytes : length;
	if (largest + WIRE_OVERHEAD > DATAGRAM_MAX)
		return DROP_TUN_TOO_BIG;
	if (!reserve(w, tunnel, s.count, &counter))
		return DROP_COUNTER_LIMIT;

	for (uint32_t i = 0; i < s.count; i++) {
		uint32_t bytes;
		const uint8_t *segment = segment_next(&s, &bytes);
		uint8_t *out = train_room(w, tunnel, remote, bytes + WIRE_OVERHEAD);
		if (!out) {
			count_drop(w->counters, DROP_SEND_ERROR, s.count - i);
			break;
		}
		seal_packet(tunnel, WIRE_MESSAGE, WIRE_LABEL_NONE, counter + i, segment, bytes,
			    out);
	}
	tunnel_is_used(w, tunnel);
	return DROP_NONE;
}

static enum drop outbound_judge(struct worker *w, uint8_t *packet, uint32_t length,
				const struct virtio_net_hdr *vnet, bool *held)
{
	struct inner inner;
	struct addr next_hop;

	enum drop reason = inner_parse(packet, length, OUTBOUND, &inner);
	if (reason != DROP_NONE)
		return reason;
	reason = next_hop_lookup(w->snapshot, &inner.flow.remote, &next_hop);
	if (reason != DROP_NONE) {
		refuse_outbound(w, NULL, packet, &inner, reason);
		return reason;
	}

	struct host_entry *host = hostmap_by_addr(w->map, &next_hop);
	struct tunnel *tunnel = host ? RCU_READ(host->tunnel) : NULL;
	if (!tunnel)
		return punt_waiting(w, &next_hop, packet, length, vnet);
	/*
	 * Older runs of this queue are still on their way back from control. Following them there
	 * would never end while packets keep coming; so the queue stands still until
	 * ORDER_RESUME_END.
	 */
	*held = atomic_load(&host->held_queues) & 1ull << w->queue;
	return *held ? DROP_NONE : outbound_on_tunnel(w, tunnel, packet, length, vnet, &inner);
}

bool outbound_run(struct worker *w, uint8_t *packet, uint32_t length,
		  const struct virtio_net_hdr *vnet)
{
	uint32_t packets = run_packets(length, vnet);
	bool held = false;

	enum drop reason = outbound_judge(w, packet, length, vnet, &held);
	if (held)
		return false;
	count_stat(w->counters, STAT_TUN_READS, 1);
	count_stat(w->counters, STAT_TUN_PACKETS, packets);
	count_stat(w->counters, STAT_TUN_BYTES, length);
	PROBE(run_out, w->queue, packets, length);
	if (reason != DROP_NONE)
		count_drop(w->counters, reason, packets);
	return true;
}

int outbound_message(struct worker *w, struct tunnel *tunnel, enum wire_type type,
		     const struct endpoint *to, const uint8_t *bytes, uint32_t length)
{
	const struct remote *remote = RCU_READ(tunnel->remote);
	uint8_t sealed[DATAGRAM_MAX];
	uint64_t counter;

	if (length + WIRE_OVERHEAD > sizeof(sealed))
		return -EMSGSIZE;
	if (!to && !remote)
		return -EHOSTUNREACH;
	if (!reserve(w, tunnel, 1, &counter))
		return -EKEYEXPIRED;
	seal_packet(tunnel, type, WIRE_LABEL_NONE, counter, bytes, length, sealed);
	/* what the connection manager asks and answers itself is no traffic */
	if (type != WIRE_TEST_REQUEST && type != WIRE_TEST_REPLY && type != WIRE_CLOSE_TUNNEL)
		tunnel_is_used(w, tunnel);
	return train_send_single(w, to ? to : &remote->to, tunnel->id, sealed,
				 length + WIRE_OVERHEAD);
}
