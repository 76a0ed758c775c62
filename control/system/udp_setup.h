/*
 * udp_setup.h - the UDP sockets of the underlay: one per queue, all on one port.
 */
#ifndef M57_UDP_SETUP_H
#define M57_UDP_SETUP_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "limits.h"
#include "system/steer.h"

struct udp_options {
	const char *host; /* listen.host: address or host name; "::" makes a dual-stack socket */
	uint16_t port;    /* listen.port; 0: the kernel chooses, and all queues share its choice */
	uint32_t queues;  /* 1..QUEUES_MAX */
	uint32_t read_buffer;  /* bytes; 0: UDP_READ_BUFFER_DEFAULT */
	uint32_t write_buffer; /* bytes; 0: UDP_WRITE_BUFFER_DEFAULT */
	uint32_t mark;         /* listen.so_mark; 0: none */
	bool offloads;         /* listen.udp_offloads: GSO, and GRO unless single */
	bool spread;           /* m57.spread_flows: steer by flow label too */
	bool sparse;           /* the last of queues is for sparse flows alone (steer.h) */
	bool single;           /* listen.batch 1: no GRO */
};

struct udp_sockets {
	uint32_t queues;
	int fds[QUEUES_MAX]; /* in queue order: the order of the reuseport group; owned */
	bool v6;             /* AF_INET6: IPv4 remotes are written as mapped addresses */
	bool gso, gro;       /* the kernel has it, and the config wants it */
	enum steering steering;
	int steer_error; /* steer_by(): 0, or -errno and the kernel's hash serves */
	bool sparse;     /* the last one is for sparse flows */
	struct endpoint bound;
	uint32_t read_buffer, write_buffer; /* of socket 0, as the kernel reports it */
};

/*
 * Opens and binds them; without steering there is no socket for sparse flows. A port that another
 * program has is an error even though the sockets share it among themselves. 0, or -errno with one
 * line of cause and cure in error and nothing left open.
 */
int udp_open(struct udp_sockets *sockets, const struct udp_options *options,
	     char error[ERROR_LINE_MAX]);
/*
 * Gives every socket the buffers and the mark of after, where they differ from before; the rest of
 * the options stays as it is. 0, or -errno with one line in error: the kernel refuses the mark, and
 * every socket has that of before.
 */
int udp_reconfigure(struct udp_sockets *sockets, const struct udp_options *before,
		    const struct udp_options *after, char error[ERROR_LINE_MAX]);
void udp_close(struct udp_sockets *sockets);

#endif
