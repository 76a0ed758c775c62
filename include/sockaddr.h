/*
 * sockaddr.h - struct endpoint to and from socket addresses. Both planes.
 */
#ifndef M57_SOCKADDR_H
#define M57_SOCKADDR_H

#include <arpa/inet.h>
#include <sys/socket.h>

#include "addr.h"

/* An address of either family; a fifth of a sockaddr_storage, of which each tunnel has one. */
union sockaddr_ip {
	sa_family_t family;
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/*
 * Writes e for a socket of family AF_INET6 (v6: IPv4 stays mapped) or AF_INET and returns the bytes
 * used; 0 when e is IPv6 and the socket is not.
 */
static inline socklen_t endpoint_to_sockaddr(const struct endpoint *e, bool v6,
					     union sockaddr_ip *out)
{
	memset(out, 0, sizeof(*out));
	if (v6) {
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons(e->port);
		memcpy(&out->v6.sin6_addr, e->addr.bytes, 16);
		return sizeof(out->v6);
	}
	if (!addr_is_v4(&e->addr))
		return 0;
	out->v4.sin_family = AF_INET;
	out->v4.sin_port = htons(e->port);
	memcpy(&out->v4.sin_addr, e->addr.bytes + 12, 4);
	return sizeof(out->v4);
}

/* name: a sockaddr_in or sockaddr_in6, aligned as one. IPv4 becomes IPv4-mapped, port host order.
 */
static inline struct endpoint endpoint_from_sockaddr(const void *name)
{
	const struct sockaddr_in6 *six = name;
	const struct sockaddr_in *four = name;
	struct endpoint e = {0};

	if (six->sin6_family == AF_INET6) {
		memcpy(e.addr.bytes, &six->sin6_addr, 16);
		e.port = ntohs(six->sin6_port);
	} else {
		e.addr = addr_from_v4(ntohl(four->sin_addr.s_addr));
		e.port = ntohs(four->sin_port);
	}
	return e;
}

#endif
