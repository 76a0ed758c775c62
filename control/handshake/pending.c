/* pending.c - see pending.h. */
#include "handshake/pending.h"

#include <errno.h>
#include <stdlib.h>

void pending_init(struct pending *pending, uint64_t try_interval_ns, uint32_t retries,
		  uint64_t now_ns, bool at_once)
{
	memset(pending, 0, sizeof(*pending));
	pending->try_interval_ns = try_interval_ns;
	pending->retries = retries;
	pending->started_ns = now_ns;
	pending->due_ns = at_once ? now_ns : now_ns + try_interval_ns;
	pending->last = &pending->first;
}

enum pending_action pending_due(struct pending *pending, uint64_t now_ns)
{
	if (now_ns < pending->due_ns)
		return PENDING_WAIT;
	if (pending->attempts >= pending->retries)
		return PENDING_TIMEOUT;
	pending->attempts++;
	pending->due_ns = now_ns + pending->attempts * pending->try_interval_ns;
	return PENDING_SEND;
}

uint32_t pending_run_packets(const struct virtio_net_hdr *vnet, uint32_t length)
{
	if (vnet->gso_type == VIRTIO_NET_HDR_GSO_NONE || vnet->gso_size == 0 ||
	    length <= vnet->hdr_len)
		return 1;
	return (length - vnet->hdr_len + vnet->gso_size - 1u) / vnet->gso_size;
}

int pending_hold(struct pending *pending, uint64_t *total_bytes, uint32_t queue,
		 const struct virtio_net_hdr *vnet, const uint8_t *bytes, uint32_t length)
{
	uint32_t packets = pending_run_packets(vnet, length);
	struct held_run *run;

	if (pending->packets + packets > PENDING_PACKETS_MAX ||
	    pending->bytes + length > PENDING_BYTES_MAX ||
	    *total_bytes + length > PENDING_TOTAL_BYTES_MAX)
		return -ENOBUFS;
	run = malloc(sizeof(*run) + length);
	if (!run)
		return -ENOMEM;
	run->next = NULL;
	run->queue = queue;
	run->packets = packets;
	run->length = length;
	run->vnet = *vnet;
	memcpy(run->bytes, bytes, length);
	*pending->last = run;
	pending->last = &run->next;
	pending->packets += packets;
	pending->bytes += length;
	*total_bytes += length;
	return 0;
}

struct held_run *pending_take(struct pending *pending, uint64_t *total_bytes)
{
	struct held_run *run = pending->first;

	if (!run)
		return NULL;
	pending->first = run->next;
	if (!pending->first)
		pending->last = &pending->first;
	pending->packets -= run->packets;
	pending->bytes -= run->length;
	*total_bytes -= run->length;
	return run;
}

void pending_move(struct pending *from, struct pending *to)
{
	if (!from->first)
		return;
	*to->last = from->first;
	to->last = from->last;
	to->packets += from->packets;
	to->bytes += from->bytes;
	from->first = NULL;
	from->last = &from->first;
	from->packets = from->bytes = 0;
}

void pending_release(struct pending *pending)
{
	free(pending->stage1);
	pending->stage1 = NULL;
	machine_wipe(&pending->machine);
}
