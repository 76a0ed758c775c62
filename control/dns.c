/* dns.c - the socket of the DNS responder; see dns.h. */
#include "dns.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "addr_text.h"
#include "peers/rate.h"
#include "sockaddr.h"
#include "system/resolver.h"

#define LOOKUP_NS   5000000000ull /* a lighthouse that starts before its DNS says so and works */
#define QUERY_BYTES 1024 /* a name has 255, EDNS options some more; the rest is cut, and broken */

struct dns {
	int epoll_fd;
	int fd; /* -1: does not listen */
	struct resolver *resolver;
	struct dns_options options; /* of fd */
	struct dns_options sought;  /* whose name is looked up; serve: it is */
	struct rate rate;
};

/* Every address: one socket for both families, or for IPv4 alone where there is no IPv6. */
static int socket_open(const struct dns_options *options)
{
	struct endpoint at = {options->host, options->port};
	bool v6 = options->any || !addr_is_v4(&options->host);
	union sockaddr_ip address;
	int fd, on = 1, off = 0;
	socklen_t bytes;

	fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 && options->any) {
		v6 = false;
		at.addr = addr_from_v4(0);
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	}
	if (fd < 0)
		return -errno;
	/* A reply leaves from the address that was asked. */
	if (v6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, options->any ? &off : &on,
				 sizeof(on));
	(void)setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO,
			 &on, sizeof(on));
	bytes = endpoint_to_sockaddr(&at, v6, &address);
	if (bytes != 0 && bind(fd, (struct sockaddr *)&address, bytes) == 0)
		return fd;
	int err = bytes ? errno : EAFNOSUPPORT;
	close(fd);
	return -err;
}

struct dns *dns_create(struct resolver *resolver)
{
	struct dns *dns = calloc(1, sizeof(*dns));

	if (!dns)
		return NULL;
	dns->fd = -1;
	dns->resolver = resolver;
	dns->rate = RATE(DNS_QUERIES_PER_SECOND, DNS_QUERIES_BURST);
	dns->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (dns->epoll_fd >= 0)
		return dns;
	free(dns);
	return NULL;
}

void dns_destroy(struct dns *dns)
{
	if (!dns)
		return;
	if (dns->fd >= 0)
		close(dns->fd);
	close(dns->epoll_fd);
	free(dns);
}

int dns_fd(const struct dns *dns)
{
	return dns->epoll_fd;
}

static bool same(const struct dns_options *a, const struct dns_options *b)
{
	return a->any == b->any && a->port == b->port && strcmp(a->name, b->name) == 0 &&
	       (a->name[0] != '\0' || addr_equal(&a->host, &b->host));
}

static int socket_add(struct dns *dns, const struct dns_options *options)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd = socket_open(options);

	if (fd >= 0)
		(void)epoll_ctl(dns->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	return fd;
}

/*
 * Every address and one of them exclude each other at the same port: there the old socket goes
 * first, and comes back when the new one cannot be had all the same.
 */
static int socket_replace(struct dns *dns, const struct dns_options *options)
{
	int fd = socket_add(dns, options);

	if (fd != -EADDRINUSE || dns->fd < 0 || dns->options.port != options->port)
		return fd;
	close(dns->fd);
	dns->fd = -1;
	fd = socket_add(dns, options);
	if (fd < 0) {
		int old = socket_add(dns, &dns->options);

		dns->fd = old < 0 ? -1 : old;
	}
	return fd;
}

/* Listens at the address of options, or not at all. */
static int listen_at(struct dns *dns, const struct dns_options *options, char error[ERROR_LINE_MAX])
{
	struct endpoint at = {options->host, options->port};
	char text[ENDPOINT_TEXT_MAX];
	int fd = -1;

	if (options->serve) {
		fd = socket_replace(dns, options);
		if (fd < 0) {
			snprintf(error, ERROR_LINE_MAX,
				 "lighthouse.dns: no answers are given at %s: %s; set "
				 "lighthouse.dns.host and lighthouse.dns.port to an address of "
				 "this host that is free, and reload",
				 endpoint_format(&at, text), strerror(-fd));
			return fd;
		}
	}
	if (dns->fd >= 0)
		close(dns->fd);
	dns->fd = fd;
	dns->options = *options;
	return 0;
}

static int no_place(const struct dns_options *options, int err, const char *why,
		    char error[ERROR_LINE_MAX])
{
	snprintf(error, ERROR_LINE_MAX,
		 "lighthouse.dns: no answers are given at %.253s:%u: %s; give an "
		 "address instead of the name, or reload when it can be looked up",
		 options->name, options->port, why);
	return err;
}

int dns_reconfigure(struct dns *dns, const struct dns_options *options, char error[ERROR_LINE_MAX])
{
	int err = -ENOSYS;

	if (dns->sought.serve)
		resolver_cancel(dns->resolver, DNS_LOOKUP_ID);
	dns->sought.serve = false;
	if (dns->fd >= 0 && options->serve && same(&dns->options, options))
		return 0;
	if (!options->serve || options->name[0] == '\0')
		return listen_at(dns, options, error);
	if (dns->resolver)
		err = resolver_begin(dns->resolver, DNS_LOOKUP_ID, options->name, NAME_IP,
				     LOOKUP_NS);
	if (err)
		return no_place(options, err, "no look-up of the name can begin", error);
	dns->sought = *options;
	return 0;
}

int dns_found(struct dns *dns, enum name_outcome outcome, const struct addr *addrs, uint32_t count,
	      char error[ERROR_LINE_MAX])
{
	struct dns_options options = dns->sought;
	uint32_t first = 0;

	dns->sought.serve = false;
	if (!options.serve)
		return 0;
	if (outcome != NAME_FOUND || count == 0)
		return no_place(&options, -ENOENT,
				outcome == NAME_FAILED ? "the DNS servers did not answer"
						       : "the name has no address",
				error);
	for (uint32_t i = count; i > 0; i--)
		if (addr_is_v4(&addrs[i - 1]))
			first = i - 1;
	options.host = addrs[first];
	return listen_at(dns, &options, error);
}

/* The interface is the routes' choice, but for addresses that mean nothing without it. */
static void any_interface(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			((struct in_pktinfo *)CMSG_DATA(c))->ipi_ifindex = 0;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo *info = (struct in6_pktinfo *)CMSG_DATA(c);

			if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
				info->ipi6_ifindex = 0;
		}
	}
}

static void answer(struct dns *dns, struct node *node, const struct outside *outside,
		   struct msghdr *message, const uint8_t *query, size_t length)
{
	uint8_t reply[DNS_REPLY_MAX];
	struct iovec part = {reply, 0};
	struct endpoint asker;
	struct msghdr back;
	bool found;

	if (!rate_take(&dns->rate, outside->now_ns(outside->context))) {
		outside->count_drop(outside->context, DROP_DNS_LIMITED, 1);
		return;
	}
	outside->count_stat(outside->context, STAT_DNS_QUERIES, 1);
	asker = endpoint_from_sockaddr(message->msg_name);
	part.iov_len = dns_answer(node, &asker.addr, query, length, reply, &found);
	if (part.iov_len == 0 || asker.port == 0) {
		outside->count_drop(outside->context, DROP_DNS_INVALID, 1);
		return;
	}
	outside->count_stat(outside->context, STAT_DNS_ANSWERS, found);
	any_interface(message);
	back = *message;
	back.msg_iov = &part;
	back.msg_flags = 0;
	(void)sendmsg(dns->fd, &back, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void dns_turn(struct dns *dns, struct node *node, const struct outside *outside)
{
	for (int i = 0; i < DNS_TURN_MAX && dns->fd >= 0; i++) {
		_Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		uint8_t query[QUERY_BYTES];
		struct sockaddr_storage source;
		struct iovec part = {query, sizeof(query)};
		struct msghdr message = {
			.msg_name = &source,
			.msg_namelen = sizeof(source),
			.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		ssize_t length = recvmsg(dns->fd, &message, MSG_DONTWAIT);

		if (length < 0)
			return;
		answer(dns, node, outside, &message, query, (size_t)length);
	}
}
