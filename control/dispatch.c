/*
 * dispatch.c - punts into calls of the node: one switch is the map of what workers send.
 *
 * Every punt goes back to its pool at the end; an order that came back with it is freed by
 * orders.c.
 */
#include <string.h>

#include "control.h"
#include "log.h"

struct note_text {
	const char *text;
	bool fatal;
};

static const struct note_text note_texts[NOTES] = {
	[NOTE_GSO_OFF] =
		{"The route to a remote takes no UDP segmentation: datagrams go one by one", false},
	[NOTE_GSO_REMOTE] =
		{"Segments exceed the MTU towards a remote: they go one by one, in fragments",
		 false},
	[NOTE_TSO_OFF] = {"The tun refuses joined TCP packets: they are written one by one", false},
	[NOTE_USO_OFF] = {"The tun refuses joined UDP packets: they are written one by one", false},
	[NOTE_TUN_DEAD] = {"Reading the tun failed for good", true},
	[NOTE_UDP_DEAD] = {"Reading the UDP socket failed for good", true},
};

static void note(struct control *control, const struct punt *punt)
{
	const struct note_text *row;

	if ((unsigned)punt->note >= NOTES || !note_texts[punt->note].text)
		return;
	row = &note_texts[punt->note];
	if (row->fatal && control->state >= CONTROL_CLOSING)
		return;
	if (!(control->notes_said & 1u << punt->note))
		LOG_AT(row->fatal ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, row->text,
		       LOG_U64("queue", punt->queue), LOG_STR("error", strerror((int)punt->value)));
	control->notes_said |= 1u << punt->note;
	if (row->fatal) {
		control->exit_status = 2;
		control->state = CONTROL_ENDED;
	}
}

/*
 * The kernel joins flows to trains before it steers them, so they reach their workers in part by
 * the socket and in part from another worker: out of order. All of a tunnel by one socket, and the
 * workers pass on what is not theirs, in order.
 */
static void trains_mixed(struct control *control)
{
	if (control->steering != STEER_LABEL ||
	    steer_by(STEER_INDEX, control->udp_fd, control->queues, false) != 0)
		return;
	control->steering = STEER_INDEX;
	log_info("The network joins flows of a tunnel to trains: its socket gets them all, and "
		 "workers share them out");
}

static void worker_ready(struct control *control, const struct punt *punt)
{
	control->workers_ready |= 1ull << punt->queue;
	/* A handshake may have been answered by another worker before this one was there. */
	orders_go_on(&control->orders, punt->queue);
	if (control->state == CONTROL_STARTING && control_workers_ready(control)) {
		control->state = CONTROL_RUNNING;
		control->on_ready(control);
	}
}

void dispatch_punt(struct control *control, struct punt *punt)
{
	struct node *node = control->node;
	struct waiting_run run;
	struct order *order;

	switch (punt->type) {
	case PUNT_READY:
		worker_ready(control, punt);
		break;
	case PUNT_HANDSHAKE:
		handshake_queue_put(&control->handshakes, punt); /* control.c works on it */
		return;
	case PUNT_RECV_ERROR:
		node_on_recv_error(node, &punt->source, punt->bytes, punt->length);
		break;
	case PUNT_OPENED:
		node_on_opened(node, punt->queue, punt->tunnel, &punt->source, punt->via,
			       punt->wire, punt->bytes, punt->length);
		break;
	case PUNT_WAITING:
		run = (struct waiting_run){
			.vnet = punt->vnet,
			.bytes = punt->bytes,
			.length = punt->length,
			.gateway_count = punt->gateway_count,
			.gateways = (const struct addr *)(punt->bytes + punt->length)};
		control->waiting_taken[punt->queue]++;
		node_on_waiting(node, punt->queue, &punt->addr, &run);
		break;
	case PUNT_ROAM:
		node_on_roam(node, punt->tunnel, &punt->source);
		break;
	case PUNT_CONFIRMED:
		node_on_confirmed(node, punt->tunnel, &punt->source, punt->via);
		break;
	case PUNT_COUNTER:
		node_on_counter(node, punt->tunnel, punt->value);
		break;
	case PUNT_ACTIVE:
		node_on_active(node, punt->tunnel);
		break;
	case PUNT_WANTED:
		node_on_wanted(node, punt->queue, &punt->addr);
		break;
	case PUNT_NOTE:
		if (punt->note == NOTE_TRAINS_MIXED)
			trains_mixed(control);
		else
			note(control, punt);
		break;
	case PUNT_RESUME_AGAIN:
		node_on_resume_again(node, punt->queue, &punt->addr);
		__attribute__((fallthrough)); /* its order came back too */
	case PUNT_ORDER_DONE:
		/* The punt goes back first: the order that follows needs one for its answer. */
		order = punt->order;
		punt_release(punt);
		orders_done(&control->orders, order);
		return;
	case PUNT_STOPPED:
		break;
	}
	punt_release(punt);
}
