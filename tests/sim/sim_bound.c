/*
 * sim_bound.c - a simulated node that has less than a real one: fewer tunnels than TUNNELS_MAX, no
 * memory to put off the freeing of what has gone, or none to show workers a relay entry.
 *
 * The program is linked so that control's calls of these functions pass through here (Makefile:
 * --wrap); the product knows nothing of it.
 */
#include <errno.h>

#include "sim.h"

static struct sim *running;

struct tunnel *__real_tunnel_allocate(struct hostmap *map);
void __real_tunnel_free(struct hostmap *map, struct tunnel *tunnel);
void __real_hostmap_defer(struct hostmap *map, void (*release)(struct hostmap *map, void *object),
			  void *object);
int __real_hostmap_relay_publish(struct hostmap *map, uint32_t index,
				 const struct relay_entry *relay);

void sim_bound_begin(struct sim *sim)
{
	running = sim;
}

static struct sim_node *node_of(const struct hostmap *map)
{
	uint32_t i = 0;

	while (i < running->node_count && running->nodes[i].map != map)
		i++;
	cr_assert_lt(i, running->node_count, "a table of no node");
	return &running->nodes[i];
}

/* As with every slot of the table in use: those of tunnels that wait to be freed are, too. */
struct tunnel *__wrap_tunnel_allocate(struct hostmap *map)
{
	struct sim_node *node = node_of(map);
	struct tunnel *tunnel = NULL;

	if (!running->tunnels_max || node->tunnel_slots < running->tunnels_max)
		tunnel = __real_tunnel_allocate(map);
	node->tunnel_slots += tunnel != NULL;
	node->tunnels_refused += tunnel == NULL;
	return tunnel;
}

void __wrap_tunnel_free(struct hostmap *map, struct tunnel *tunnel)
{
	node_of(map)->tunnel_slots--;
	__real_tunnel_free(map, tunnel);
}

/* What the note would need is not to be had, and no worker reads: see hostmap_defer(). */
void __wrap_hostmap_defer(struct hostmap *map, void (*release)(struct hostmap *map, void *object),
			  void *object)
{
	if (running->frees_at_once)
		release(map, object);
	else
		__real_hostmap_defer(map, release, object);
}

int __wrap_hostmap_relay_publish(struct hostmap *map, uint32_t index,
				 const struct relay_entry *relay)
{
	if (running->publish_fails && --running->publish_fails == 0)
		return -ENOMEM;
	return __real_hostmap_relay_publish(map, index, relay);
}
