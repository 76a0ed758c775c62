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

bool outbound_reserve(struct worker *w, struct tunnel *tunnel, uint32_t count, uint64_t *first)
{
	skew_show(w, tunnel);
	if (!seal_reserve(tunnel, count, first)) {
		punt_tunnel_event(w, tunnel, TUNNEL_EVENT_COUNTER, PUNT_COUNTER, NULL, 0,
				  COUNTER_REFUSE_AT);
		return false;
	}
	if (*first < COUNTER_REHANDSHAKE_AT && *first + count >= COUNTER_REHANDSHAKE_AT)
		punt_tunnel_event(w, tunnel, TUNNEL_EVENT_COUNTER, PUNT_COUNTER, NULL, 0,
				  COUNTER_REHANDSHAKE_AT);
	return true;
}

void outbound_used(struct worker *w, struct tunnel *tunnel)
{
	/* the line is shared with other workers: not written more often than the clock moves */
	if (atomic_load_explicit(&tunnel->last_out_ns, memory_order_relaxed) != w->now_ns)
		atomic_store_explicit(&tunnel->last_out_ns, w->now_ns, memory_order_relaxed);
	if (atomic_load_explicit(&tunnel->watched, memory_order_relaxed) == 0)
		punt_active(w, tunnel);
}

/* Packet i of those whose counters begin at counter and way->counter; out has the way's overhead.
 */
static inline void seal_on_way(const struct tunnel *tunnel, const struct way *way,
			       enum wire_type type, uint16_t label, uint64_t counter, uint32_t i,
			       const uint8_t *bytes, uint32_t length, uint8_t *out)
{
	uint8_t *packet = way->via ? out + WIRE_HEADER_BYTES : out;

	seal_packet(tunnel, type, label, counter + i, bytes, length, packet);
	if (way->via)
		seal_frame(way->via, way->index, label, way->counter + i, out,
			   length + WIRE_OVERHEAD);
}

enum drop outbound_on_tunnel(struct worker *w, struct tunnel *tunnel, uint8_t *packet,
			     uint32_t length, const struct virtio_net_hdr *vnet,
			     const struct inner *inner)
{
	struct segmenter s;
	uint16_t label = w->label;
	uint64_t counter;
	struct way way;

	if (!relay_way(tunnel, &way))
		return DROP_NO_REMOTE;
	enum drop reason = firewall_check(w->conntrack, w->snapshot, tunnel,
					  tunnel_rules(tunnel, w->snapshot->rules_version),
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
	if (largest + way.overhead > DATAGRAM_MAX)
		return DROP_TUN_TOO_BIG;
	if (!outbound_reserve(w, tunnel, s.count, &counter) ||
	    (way.via && !outbound_reserve(w, way.via, s.count, &way.counter)))
		return DROP_COUNTER_LIMIT;
	if (w->label_key && !way.via) /* a frame goes where its own index says */
		label = label_of(w->label_key, inner);

	for (uint32_t i = 0; i < s.count; i++) {
		uint32_t bytes;
		const uint8_t *segment = segment_next(&s, &bytes);
		uint8_t *out = train_room(w, way.via ? way.via : tunnel, way.remote, label,
					  bytes + way.overhead);
		if (!out) {
			count_drop(w->counters, DROP_SEND_ERROR, s.count - i);
			break;
		}
		seal_on_way(tunnel, &way, WIRE_MESSAGE, label, counter, i, segment, bytes, out);
	}
	outbound_used(w, tunnel);
	if (way.via)
		outbound_used(w, way.via);
	return DROP_NONE;
}

/*
 * Where the flow goes: to hop->addr, but of several gateways the chosen one may have no tunnel or
 * one that does not answer; then to the next one that is ready, and when none is, to one that at
 * least has a tunnel. Control is asked for the tunnels that were missed on the way. NULL: no
 * gateway has a tunnel, so the run waits for the chosen one's.
 */
static struct host_entry *gateway_host(struct worker *w, const struct next_hop *hop)
{
	struct host_entry *silent = NULL;

	for (uint32_t i = 0; i < hop->gateway_count; i++) {
		struct route_gateway *gateway =
			&hop->gateways[(hop->chosen + i) % hop->gateway_count];
		struct host_entry *host = hostmap_by_addr(w->map, &gateway->to.addr);
		const struct tunnel *tunnel = host ? host_tunnel(host) : NULL;

		if (tunnel && atomic_load_explicit(&tunnel->unanswered, memory_order_relaxed) == 0)
			return host;
		if (!tunnel)
			punt_wanted(w, gateway);
		else if (!silent)
			silent = host;
	}
	return silent;
}

/* No other worker is too far behind with what it has sealed for this tunnel, or for its relay's. */
static bool in_step(const struct worker *w, const struct tunnel *tunnel)
{
	struct way way;

	return w->queues == 1 ||
	       (skew_permits(w, tunnel) &&
		(!relay_way(tunnel, &way) || !way.via || skew_permits(w, way.via)));
}

static enum drop outbound_judge(struct worker *w, uint8_t *packet, uint32_t length,
				const struct virtio_net_hdr *vnet, bool *held)
{
	struct inner inner;
	struct next_hop hop;

	enum drop reason = inner_parse(packet, length, OUTBOUND, &inner);
	if (reason != DROP_NONE)
		return reason;
	reason = next_hop_lookup(w->snapshot, &inner.flow, &hop);
	if (reason != DROP_NONE) {
		refuse_outbound(w, NULL, packet, &inner, reason);
		return reason;
	}

	struct host_entry *host =
		hop.gateway_count > 1 ? gateway_host(w, &hop) : hostmap_by_addr(w->map, &hop.addr);
	struct tunnel *tunnel = host ? host_tunnel(host) : NULL;
	if (!tunnel)
		return punt_waiting(w, &hop, packet, length, vnet);
	/*
	 * Older runs of this queue are still on their way back from control. Following them there
	 * would never end while packets keep coming; so the queue stands still until
	 * ORDER_RESUME_END.
	 */
	*held = atomic_load(&host->held_queues) & 1ull << w->queue;
	if (!*held)
		*held = w->waits_outbound = !in_step(w, tunnel);
	return *held ? DROP_NONE : outbound_on_tunnel(w, tunnel, packet, length, vnet, &inner);
}

bool outbound_run(struct worker *w, uint8_t *packet, uint32_t length,
		  const struct virtio_net_hdr *vnet)
{
	uint32_t packets = vnet_packets(vnet, packet, length);
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
	struct way way = {.overhead = WIRE_OVERHEAD};
	uint8_t sealed[DATAGRAM_MAX];
	uint64_t counter;

	if (!to && !relay_way(tunnel, &way))
		return -EHOSTUNREACH;
	if (length + way.overhead > sizeof(sealed))
		return -EMSGSIZE;
	if (!outbound_reserve(w, tunnel, 1, &counter) ||
	    (way.via && !outbound_reserve(w, way.via, 1, &way.counter)))
		return -EKEYEXPIRED;
	seal_on_way(tunnel, &way, type, WIRE_LABEL_NONE, counter, 0, bytes, length, sealed);
	/* what the connection manager asks and answers itself is no traffic */
	if (type != WIRE_TEST_REQUEST && type != WIRE_TEST_REPLY && type != WIRE_CLOSE_TUNNEL)
		outbound_used(w, tunnel);
	return train_send_single(w, to ? to : &way.remote->to, way.via ? way.via->id : tunnel->id,
				 sealed, length + way.overhead);
}

int outbound_in_train(struct worker *w, struct tunnel *tunnel, enum wire_type type,
		      const uint8_t *bytes, uint32_t length)
{
	const struct remote *remote = RCU_READ(tunnel->remote);
	uint64_t counter;
	uint8_t *out;

	if (!remote)
		return -EHOSTUNREACH;
	if (!outbound_reserve(w, tunnel, 1, &counter))
		return -EKEYEXPIRED;
	out = train_room(w, tunnel, remote, WIRE_LABEL_NONE, length + WIRE_OVERHEAD);
	if (!out) {
		count_drop(w->counters, DROP_SEND_ERROR, 1);
		return -ENOBUFS;
	}
	seal_packet(tunnel, type, WIRE_LABEL_NONE, counter, bytes, length, out);
	outbound_used(w, tunnel);
	return 0;
}
