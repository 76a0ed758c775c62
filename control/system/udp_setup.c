/*
 * udp_setup.c - see udp_setup.h.
 *
 * "Port in use": with SO_REUSEPORT set, a second process of the same user binds silently and takes
 * a share of the datagrams. So the first socket is bound without it and gets it afterwards: a
 * stranger with the port makes our bind fail, and later our other sockets join the group of the
 * first.
 *
 * Path MTU discovery stays as the system has it (IP_PMTUDISC_WANT by default, what Nebula's sockets
 * have): a datagram above the MTU of the route is fragmented here, and one that a router further on
 * refuses teaches the kernel the MTU for the next. A UDP_SEGMENT send above it is refused with
 * EINVAL or EMSGSIZE, which the dataplane answers by sending singles.
 */
#include "system/udp_setup.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sockaddr.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO     104
#endif

#define UDP_RETRY_STEP_MS 50

struct udp_address {
	struct sockaddr_storage storage;
	socklen_t length;
};

static int address_resolve(const struct udp_options *options, struct udp_address *address,
			   char *error)
{
	const char *host = options->host && options->host[0] ? options->host : "0.0.0.0";
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_PASSIVE};
	struct addrinfo *found = NULL;
	char bare[256];
	size_t length = strlen(host);

	/* "[::]" is what people write who also write a port behind it. */
	if (length > 2 && length < sizeof(bare) && host[0] == '[' && host[length - 1] == ']') {
		memcpy(bare, host + 1, length - 2);
		bare[length - 2] = '\0';
		host = bare;
	}

	int failure = getaddrinfo(host, NULL, &hints, &found);

	if (failure) {
		snprintf(error, ERROR_LINE_MAX,
			 "cannot resolve listen.host %s: %s; use an address of this host", host,
			 gai_strerror(failure));
		return -EINVAL;
	}
	memcpy(&address->storage, found->ai_addr, found->ai_addrlen);
	address->length = found->ai_addrlen;
	freeaddrinfo(found);
	if (address->storage.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&address->storage)->sin6_port = htons(options->port);
	else
		((struct sockaddr_in *)&address->storage)->sin_port = htons(options->port);
	return 0;
}

static uint16_t address_port(const struct udp_address *address)
{
	return address->storage.ss_family == AF_INET6
		       ? ntohs(((const struct sockaddr_in6 *)&address->storage)->sin6_port)
		       : ntohs(((const struct sockaddr_in *)&address->storage)->sin_port);
}

static void buffer_set(int fd, int force, int plain, uint32_t bytes)
{
	int value = bytes > INT32_MAX ? INT32_MAX : (int)bytes;

	if (value && setsockopt(fd, SOL_SOCKET, force, &value, sizeof(value)) != 0)
		(void)setsockopt(fd, SOL_SOCKET, plain, &value, sizeof(value));
}

static uint32_t buffer_read(int fd, int option)
{
	int value = 0;
	socklen_t length = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &length) == 0 ? (uint32_t)value : 0;
}

static void read_buffer_set(int fd, const struct udp_options *options)
{
	buffer_set(fd, SO_RCVBUFFORCE, SO_RCVBUF,
		   options->read_buffer ? options->read_buffer : UDP_READ_BUFFER_DEFAULT);
}

static void write_buffer_set(int fd, const struct udp_options *options)
{
	buffer_set(fd, SO_SNDBUFFORCE, SO_SNDBUF,
		   options->write_buffer ? options->write_buffer : UDP_WRITE_BUFFER_DEFAULT);
}

static int mark_set(int fd, uint32_t mark, char *error)
{
	if (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0)
		return 0;

	int failure = errno;

	snprintf(error, ERROR_LINE_MAX,
		 "cannot set listen.so_mark %u: %s; run as root or with CAP_NET_ADMIN", mark,
		 strerror(failure));
	return -failure;
}

/*
 * All sockets or none: packets of one node that are marked differently take different roads. 0, or
 * -errno with error, and every socket has the mark of before.
 */
static int marks_set(const struct udp_sockets *sockets, uint32_t before, uint32_t after,
		     char *error)
{
	char ignored[ERROR_LINE_MAX];

	for (uint32_t i = 0; i < sockets->queues; i++) {
		int result = mark_set(sockets->fds[i], after, error);

		if (result == 0)
			continue;
		while (i-- > 0)
			(void)mark_set(sockets->fds[i], before, ignored);
		return result;
	}
	return 0;
}

/* Everything but the address. 0 or -errno with error. */
static int socket_prepare(struct udp_sockets *sockets, int fd, const struct udp_options *options,
			  char *error)
{
	int off = 0, on = 1;

	if (sockets->v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) {
		int failure = errno;

		snprintf(error, ERROR_LINE_MAX,
			 "cannot make a dual-stack socket: %s; "
			 "set listen.host: 0.0.0.0",
			 strerror(failure));
		return -failure;
	}
	int result = options->mark ? mark_set(fd, options->mark, error) : 0;

	if (result)
		return result;
	read_buffer_set(fd, options);
	write_buffer_set(fd, options);

	/* A probe that changes nothing: 0 is the value it has. The segment size goes with each
	 * send. */
	sockets->gso = options->offloads &&
		       setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &off, sizeof(off)) == 0;
	sockets->gro = options->offloads && !options->single &&
		       setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) == 0;
	return 0;
}

static int share_port(int fd)
{
	int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 ? 0 : -errno;
}

static void bind_error(const struct udp_options *options, const struct udp_address *address,
		       int failure, char *error)
{
	const char *host = options->host && options->host[0] ? options->host : "0.0.0.0";
	const char *cure = "check listen.host and listen.port";

	if (failure == EADDRINUSE)
		cure = "another process has the port: stop it, or change listen.port";
	else if (failure == EADDRNOTAVAIL)
		cure = "listen.host is no address of this host";
	else if (failure == EACCES)
		cure = "ports below 1024 need root or CAP_NET_BIND_SERVICE";
	snprintf(error, ERROR_LINE_MAX, "cannot listen on UDP %s port %u: %s; %s", host,
		 address_port(address), strerror(failure), cure);
}

/* The first bind of a port; a busy one is tried again for UDP_BUSY_RETRY_MS. 0 or -errno. */
static int bind_patiently(int fd, const struct udp_address *address)
{
	const struct timespec step = {.tv_nsec = UDP_RETRY_STEP_MS * 1000000l};

	for (unsigned waited_ms = 0;; waited_ms += UDP_RETRY_STEP_MS) {
		if (bind(fd, (const struct sockaddr *)&address->storage, address->length) == 0)
			return 0;
		if (errno != EADDRINUSE || waited_ms >= UDP_BUSY_RETRY_MS ||
		    nanosleep(&step, NULL) != 0)
			return errno == EINTR ? -EADDRINUSE : -errno;
	}
}

/* Binds fd as queue number `queue` of the group. 0 or -errno with error. */
static int socket_bind(int fd, uint32_t queue, const struct udp_options *options,
		       struct udp_address *address, char *error)
{
	int result = queue > 0 ? share_port(fd) : 0;

	if (result == 0)
		result = bind_patiently(fd, address);
	if (result == 0 && queue == 0 && options->queues > 1)
		result = share_port(fd);
	/* With port 0 the first socket's port is what the others must ask for. */
	if (result == 0 && queue == 0 &&
	    getsockname(fd, (struct sockaddr *)&address->storage, &address->length) != 0)
		result = -errno;
	if (result)
		bind_error(options, address, -result, error);
	return result;
}

static void ttl_lower(int fd, int level, int option)
{
	int ttl;
	socklen_t length = sizeof(ttl);

	if (getsockopt(fd, level, option, &ttl, &length) == 0 && ttl-- > 1)
		(void)setsockopt(fd, level, option, &ttl, sizeof(ttl));
}

/*
 * GRO joins no datagrams whose TTL differs, so those of sparse flows do not end up behind others in
 * a train, which the receiver's kernel would steer by its first.
 */
static void sparse_mark(int fd, bool v6)
{
	ttl_lower(fd, IPPROTO_IP, IP_TTL); /* a dual-stack socket has both */
	if (v6)
		ttl_lower(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS);
}

static void steer(struct udp_sockets *sockets, const struct udp_options *options)
{
	enum steering by = options->spread ? STEER_LABEL : STEER_INDEX;

	sockets->steer_error = steer_by(by, sockets->fds[0], sockets->queues, options->sparse);
	sockets->steering = sockets->steer_error ? STEER_HASH : by;
	sockets->sparse = options->sparse && !sockets->steer_error;
	if (sockets->sparse)
		sparse_mark(sockets->fds[sockets->queues - 1], sockets->v6);
	else if (options->sparse)
		close(sockets->fds[--sockets->queues]);
}

int udp_open(struct udp_sockets *sockets, const struct udp_options *options,
	     char error[ERROR_LINE_MAX])
{
	struct udp_address address = {0};

	memset(sockets, 0, sizeof(*sockets));
	int result = address_resolve(options, &address, error);

	if (result)
		return result;
	sockets->v6 = address.storage.ss_family == AF_INET6;

	for (uint32_t i = 0; i < options->queues; i++) {
		int fd = socket(address.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);

		if (fd < 0) {
			result = -errno;
			snprintf(error, ERROR_LINE_MAX, "cannot make a UDP socket: %s; %s",
				 strerror(-result),
				 result == -EMFILE
					 ? "raise the limit of open files (ulimit -n)"
					 : "listen.host 0.0.0.0 needs IPv4, :: needs IPv6");
			goto err_close;
		}
		sockets->fds[sockets->queues++] = fd;
		result = socket_prepare(sockets, fd, options, error);
		if (result == 0)
			result = socket_bind(fd, i, options, &address, error);
		if (result)
			goto err_close;
	}
	sockets->bound = endpoint_from_sockaddr(&address.storage);
	if (options->queues > 1)
		steer(sockets, options);
	sockets->read_buffer = buffer_read(sockets->fds[0], SO_RCVBUF);
	sockets->write_buffer = buffer_read(sockets->fds[0], SO_SNDBUF);
	return 0;

err_close:
	udp_close(sockets);
	return result;
}

int udp_reconfigure(struct udp_sockets *sockets, const struct udp_options *before,
		    const struct udp_options *after, char error[ERROR_LINE_MAX])
{
	for (uint32_t i = 0; i < sockets->queues; i++) {
		int fd = sockets->fds[i];

		if (after->read_buffer != before->read_buffer)
			read_buffer_set(fd, after);
		if (after->write_buffer != before->write_buffer)
			write_buffer_set(fd, after);
	}
	if (sockets->queues > 0) {
		sockets->read_buffer = buffer_read(sockets->fds[0], SO_RCVBUF);
		sockets->write_buffer = buffer_read(sockets->fds[0], SO_SNDBUF);
	}
	return after->mark != before->mark ? marks_set(sockets, before->mark, after->mark, error)
					   : 0;
}

void udp_close(struct udp_sockets *sockets)
{
	while (sockets->queues)
		close(sockets->fds[--sockets->queues]);
}
