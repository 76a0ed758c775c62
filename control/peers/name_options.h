/*
 * name_options.h - host names whose addresses the node looks up (PROTOCOL.md 6.7): those in
 * static_host_map and lighthouse.advertise_addrs, and how static_map.* says to do it.
 */
#ifndef M57_NAME_OPTIONS_H
#define M57_NAME_OPTIONS_H

#include "addr.h"

/* static_map.network: which addresses of a name count. */
enum name_network { NAME_IP4, NAME_IP6, NAME_IP };

struct name_entry {
	const char *text; /* host name */
	uint16_t port;    /* 0, of an advertised name only: ours */
	struct addr
		host; /* overlay address of the host that is there; zero: we are, advertise_addrs */
};

struct name_options {
	uint64_t cadence_ns; /* static_map.cadence: from one look-up of a name to the next */
	uint64_t timeout_ns; /* static_map.lookup_timeout */
	enum name_network network;
	uint32_t count; /* at most NAMES_MAX count */
	const struct name_entry *list;
};

/*
 * Takes one more address into a list that has room for `most`; when there are more, the least stay,
 * so that it does not matter in which order a server gives them. The new count.
 */
static inline uint32_t name_keep_least(struct addr *list, uint32_t count, uint32_t most,
				       const struct addr *one)
{
	uint32_t greatest = 0;

	if (count < most) {
		list[count] = *one;
		return count + 1;
	}
	for (uint32_t i = 1; i < count; i++)
		if (addr_compare(&list[i], &list[greatest]) > 0)
			greatest = i;
	if (addr_compare(one, &list[greatest]) < 0)
		list[greatest] = *one;
	return count;
}

#endif
