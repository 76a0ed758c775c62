/*
 * inbox.c - what control has asked this worker to do, in the order it was asked.
 */
#include "worker.h"

#include <errno.h>

void inbox_order(struct worker *w, struct order *order)
{
	uint32_t size = ORDERS_MAX + 1;

	/* dataplane_post() lets no more than these be under way */
	if (order->type == ORDER_STOP)
		w->stop_asked = true;
	w->orders[(w->order_head + w->order_count++) % size] = order;
}

static void done(struct worker *w, struct order *order, enum punt_type type, int result)
{
	struct punt *punt = punt_take(w, POOL_CLASS_ORDER, type);

	if (!punt)
		return; /* cannot be: the pool holds one for each order under way */
	punt->order = order;
	punt->addr = order->addr;
	punt->result = result;
	punt_send(w, punt);
}

static int resume(struct worker *w, struct tunnel *tunnel, struct order *order)
{
	struct inner inner;
	enum drop reason = inner_parse(order->bytes, order->length, OUTBOUND, &inner);

	if (reason == DROP_NONE)
		reason = outbound_on_tunnel(w, tunnel, order->bytes, order->length, &order->vnet,
					    &inner);
	if (reason != DROP_NONE)
		count_drop(w->counters, reason,
			   vnet_packets(&order->vnet, order->bytes, order->length));
	return reason == DROP_NONE ? 0 : -EPERM;
}

/* Newer runs of this host may go on their own once none is on its way to control any more. */
static enum punt_type resume_end(struct worker *w, const struct order *order)
{
	if (order->waiting_seen != w->waiting_punted)
		return PUNT_RESUME_AGAIN;
	struct host_entry *host = hostmap_by_addr(w->map, &order->addr);
	if (host)
		atomic_fetch_and(&host->held_queues, ~(1ull << w->queue));
	return PUNT_ORDER_DONE;
}

/* What an order did not send: no packet goes without a name. */
static void count_lost(struct worker *w, const struct order *order, int result)
{
	switch (result) {
	case 0:
	case -EPERM: /* resume() has counted it */
		break;
	case -ENOENT: /* the tunnel closed after control had looked */
		count_drop(w->counters, DROP_NO_TUNNEL,
			   order->type == ORDER_RESUME
				   ? vnet_packets(&order->vnet, order->bytes, order->length)
				   : 1);
		break;
	case -EHOSTUNREACH:
		count_drop(w->counters, DROP_NO_REMOTE, 1);
		break;
	case -EKEYEXPIRED:
		count_drop(w->counters, DROP_COUNTER_LIMIT, 1);
		break;
	default:
		count_drop(w->counters, DROP_SEND_ERROR, 1);
	}
}

static void carry_out(struct worker *w, struct order *order)
{
	struct tunnel *tunnel = hostmap_by_id(w->map, order->tunnel);
	enum punt_type answer = PUNT_ORDER_DONE;
	int result = 0;

	count_stat(w->counters, STAT_ORDERS, 1);
	switch (order->type) {
	case ORDER_SEND_IN_TUNNEL:
		result = tunnel ? outbound_message(w, tunnel, order->wire,
						   order->has_remote ? &order->remote : NULL,
						   order->bytes, order->length)
				: -ENOENT;
		break;
	case ORDER_SEND_VIA_RELAY:
		result = tunnel ? relay_send(w, tunnel, order->relay_index, order->bytes,
					     order->length)
				: -ENOENT;
		break;
	case ORDER_RESUME:
		result = tunnel ? resume(w, tunnel, order) : -ENOENT;
		break;
	case ORDER_RESUME_END:
		answer = resume_end(w, order);
		break;
	case ORDER_STOP:
		w->stopping = true;
		return;
	}
	count_lost(w, order, result);
	done(w, order, answer, result);
}

void inbox_work(struct worker *w)
{
	while (w->order_count > 0) {
		struct order *order = w->orders[w->order_head];
		uint32_t packets = order->type == ORDER_RESUME
					   ? vnet_packets(&order->vnet, order->bytes, order->length)
					   : 1;
		if (!train_possible(w, packets,
				    order->length +
					    packets * (INNER_HEADER_MAX + 2 * WIRE_OVERHEAD))) {
			/* a socket that stays full must not keep the worker */
			w->stopping = w->stop_asked && io_send_blocked(w->io);
			return;
		}
		w->order_head = (w->order_head + 1) % (ORDERS_MAX + 1);
		w->order_count--;
		carry_out(w, order);
	}
}
