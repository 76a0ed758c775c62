/*
 * sockaddr.h - struct endpoint to and from socket addresses. Both planes.
 */
#ifndef M57_SOCKADDR_H
#define M57_SOCKADDR_H

#include <arpa/inet.h>
#include <sys/socket.h>

#include "addr.h"

/*
 * Writes e for a socket of family AF_INET6 (v6: IPv4 stays mapped) or AF_INET and returns the bytes
 * used; 0 when e is IPv6 and the socket is not.
 */
static inline socklen_t endpoint_to_sockaddr(const struct endpoint *e, bool v6,
					     struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (v6) {
		struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(e->port);
		memcpy(&six->sin6_addr, e->addr.bytes, 16);
		return sizeof(*six);
	}
	if (!addr_is_v4(&e->addr))
		return 0;
	struct sockaddr_in *four = (struct sockaddr_in *)out;
	four->sin_family = AF_INET;
	four->sin_port = htons(e->port);
	memcpy(&four->sin_addr, e->addr.bytes + 12, 4);
	return sizeof(*four);
}

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
