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

int pending_hold(struct pending *pending, uint64_t *total_bytes, uint32_t queue,
		 const struct waiting_run *waiting)
{
	uint32_t packets = vnet_packets(&waiting->vnet, waiting->bytes, waiting->length);
	uint32_t length = waiting->length;
	struct held_run *run;

	if (pending->packets + packets > PENDING_PACKETS_MAX ||
	    pending->bytes + length > PENDING_BYTES_MAX ||
	    *total_bytes + length > PENDING_TOTAL_BYTES_MAX)
		return -ENOBUFS;
	run = malloc(sizeof(*run) + length + waiting->gateway_count * sizeof(struct addr));
	if (!run)
		return -ENOMEM;
	run->next = NULL;
	run->queue = queue;
	run->packets = packets;
	run->length = length;
	run->vnet = waiting->vnet;
	run->gateway_count = waiting->gateway_count;
	run->gateways = (struct addr *)(run->bytes + length);
	memcpy(run->bytes, waiting->bytes, length);
	if (run->gateway_count)
		memcpy(run->gateways, waiting->gateways, run->gateway_count * sizeof(struct addr));
	*pending->last = run;
	pending->last = &run->next;
	pending->packets += packets;
	pending->bytes += length;
	*total_bytes += length;
	return 0;
}

static struct held_run *take_at(struct pending *pending, struct held_run **at,
				uint64_t *total_bytes)
{
	struct held_run *run = *at;

	*at = run->next;
	if (!*at)
		pending->last = at;
	pending->packets -= run->packets;
	pending->bytes -= run->length;
	*total_bytes -= run->length;
	return run;
}

struct held_run *pending_take(struct pending *pending, uint64_t *total_bytes)
{
	return pending->first ? take_at(pending, &pending->first, total_bytes) : NULL;
}

struct held_run *pending_take_for(struct pending *pending, uint64_t *total_bytes,
				  const struct addr *gateway)
{
	for (struct held_run **at = &pending->first; *at; at = &(*at)->next)
		for (uint32_t i = 0; i < (*at)->gateway_count; i++)
			if (addr_equal(&(*at)->gateways[i], gateway))
				return take_at(pending, at, total_bytes);
	return NULL;
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
