/*
 * resolver.c - see resolver.h.
 *
 * Each look-up has a c-ares channel of its own: so it reads /etc/resolv.conf, nsswitch.conf and
 * hosts as they are at that moment, it can be ended alone, and its sockets are nobody else's.
 * c-ares may end a look-up inside any call, even the one that begins it, so its callback only takes
 * down what was found; the answer is given, and the channel destroyed, by resolver_tick().
 */
#include "system/resolver.h"

#include <ares.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "limits.h"

#define MS_NS      1000000ull
#define TRIES      2
#define TRY_MIN_MS 50
#define EVENTS_MAX 16

/*
 * The hosts' names fill LOOKUPS_MAX places whenever they have that many to ask for, at the start
 * and at each reload, and come before lighthouse.dns.host, which is asked for once: one more place
 * is for that.
 */
#define PLACES (LOOKUPS_MAX + 1)

struct lookup {
	struct resolver *resolver;
	ares_channel channel; /* NULL: free place */
	uint32_t id;
	uint64_t due_ns; /* c-ares wants to be called then */
	bool ended;
	enum name_outcome outcome;
	uint32_t count;
	struct addr addrs[NAME_ADDRS_MAX + 1]; /* one more says that there are more */
};

struct resolver {
	int epoll_fd;
	bool has_library;
	resolver_answer_fn *answer;
	void *context;
	uint32_t active;
	struct lookup lookups[PLACES];
};

static uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 * MS_NS + (uint64_t)now.tv_nsec;
}

struct resolver *resolver_open(resolver_answer_fn *answer, void *context)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (!resolver)
		return NULL;
	resolver->answer = answer;
	resolver->context = context;
	resolver->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	resolver->has_library = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
	if (resolver->epoll_fd >= 0 && resolver->has_library)
		return resolver;
	resolver_close(resolver);
	return NULL;
}

static void lookup_free(struct lookup *lookup)
{
	ares_channel channel = lookup->channel;

	lookup->ended = true; /* what the callback says from here on does not count */
	if (channel)
		ares_destroy(channel);
	lookup->channel = NULL;
	lookup->resolver->active--;
}

void resolver_close(struct resolver *resolver)
{
	if (!resolver)
		return;
	for (uint32_t i = 0; i < PLACES; i++)
		if (resolver->lookups[i].channel)
			lookup_free(&resolver->lookups[i]);
	if (resolver->epoll_fd >= 0)
		close(resolver->epoll_fd);
	if (resolver->has_library)
		ares_library_cleanup();
	free(resolver);
}

int resolver_fd(const struct resolver *resolver)
{
	return resolver->epoll_fd;
}

/* c-ares says what it waits for on a socket of its own; closing takes it out of the epoll. */
static void socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
	const struct lookup *lookup = data;
	struct epoll_event event = {
		.events = (readable ? (uint32_t)EPOLLIN : 0) | (writable ? (uint32_t)EPOLLOUT : 0),
		.data.u64 = (uint64_t)(lookup - lookup->resolver->lookups) << 32 | (uint32_t)fd,
	};
	int epoll_fd = lookup->resolver->epoll_fd;

	if (!event.events)
		(void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0)
		(void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void take_addrs(struct lookup *lookup, const struct ares_addrinfo *found)
{
	for (const struct ares_addrinfo_node *node = found->nodes;
	     node && lookup->count <= NAME_ADDRS_MAX; node = node->ai_next) {
		struct addr *to = &lookup->addrs[lookup->count];

		if (node->ai_family == AF_INET) {
			const struct sockaddr_in *in = (const void *)node->ai_addr;
			*to = addr_from_v4(ntohl(in->sin_addr.s_addr));
		} else if (node->ai_family == AF_INET6) {
			const struct sockaddr_in6 *in6 = (const void *)node->ai_addr;
			memcpy(to->bytes, &in6->sin6_addr, sizeof(to->bytes));
		} else {
			continue;
		}
		lookup->count++;
	}
}

static void finished(void *data, int status, int timeouts, struct ares_addrinfo *found)
{
	struct lookup *lookup = data;

	if (!lookup->ended) {
		lookup->ended = true;
		lookup->due_ns = 0;
		if (status == ARES_SUCCESS && found)
			take_addrs(lookup, found);
		if (lookup->count > 0)
			lookup->outcome = NAME_FOUND;
		else if (status == ARES_SUCCESS || status == ARES_ENOTFOUND ||
			 status == ARES_ENODATA)
			lookup->outcome = NAME_NONE;
		else
			lookup->outcome = NAME_FAILED;
	}
	ares_freeaddrinfo(found);
}

/* When c-ares wants to try again, at the latest. */
static void lookup_arm(struct lookup *lookup)
{
	struct timeval left;

	if (lookup->ended)
		lookup->due_ns = 0;
	else if (ares_timeout(lookup->channel, NULL, &left))
		lookup->due_ns = clock_now_ns() + (uint64_t)left.tv_sec * 1000 * MS_NS +
				 (uint64_t)left.tv_usec * 1000 + MS_NS;
	else
		lookup->due_ns = UINT64_MAX;
}

int resolver_begin(struct resolver *resolver, uint32_t id, const char *name,
		   enum name_network network, uint64_t timeout_ns)
{
	static const int families[] = {
		[NAME_IP4] = AF_INET, [NAME_IP6] = AF_INET6, [NAME_IP] = AF_UNSPEC};
	struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT,
					    .ai_family = families[network],
					    .ai_socktype = SOCK_DGRAM};
	struct lookup *lookup = resolver->lookups;
	uint64_t try_ms = timeout_ns / MS_NS / TRIES;
	struct ares_options options = {
		.sock_state_cb = socket_state,
		.tries = TRIES,
		.timeout = (int)(try_ms > TRY_MIN_MS ? try_ms : TRY_MIN_MS),
	};

	while (lookup < resolver->lookups + PLACES && lookup->channel)
		lookup++;
	if (lookup == resolver->lookups + PLACES)
		return -ENOBUFS;
	*lookup = (struct lookup){.resolver = resolver, .id = id};
	options.sock_state_cb_data = lookup;
	if (ares_init_options(&lookup->channel, &options,
			      ARES_OPT_SOCK_STATE_CB | ARES_OPT_TRIES | ARES_OPT_TIMEOUTMS) !=
	    ARES_SUCCESS) {
		lookup->channel = NULL;
		return -EIO;
	}
	resolver->active++;
	ares_getaddrinfo(lookup->channel, name, NULL, &hints, finished, lookup);
	lookup_arm(lookup);
	return 0;
}

void resolver_cancel(struct resolver *resolver, uint32_t id)
{
	for (uint32_t i = 0; i < PLACES; i++)
		if (resolver->lookups[i].channel && resolver->lookups[i].id == id)
			lookup_free(&resolver->lookups[i]);
}

void resolver_turn(struct resolver *resolver)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(resolver->epoll_fd, events, EVENTS_MAX, 0);

	for (int i = 0; i < count; i++) {
		struct lookup *lookup = &resolver->lookups[events[i].data.u64 >> 32];
		ares_socket_t fd = (ares_socket_t)(uint32_t)events[i].data.u64;
		bool out = events[i].events & EPOLLOUT, in = events[i].events & ~(uint32_t)EPOLLOUT;

		if (!lookup->channel || lookup->ended)
			continue;
		ares_process_fd(lookup->channel, in ? fd : ARES_SOCKET_BAD,
				out ? fd : ARES_SOCKET_BAD);
		lookup_arm(lookup);
	}
}

/* The answer may begin other look-ups, which may take this very place. */
static void lookup_answer(struct lookup *lookup)
{
	struct resolver *resolver = lookup->resolver;
	struct lookup copy = *lookup;

	lookup_free(lookup);
	resolver->answer(resolver->context, copy.id, copy.outcome, copy.addrs, copy.count);
}

void resolver_tick(struct resolver *resolver, uint64_t now_ns)
{
	for (uint32_t i = 0; resolver->active > 0 && i < PLACES; i++) {
		struct lookup *lookup = &resolver->lookups[i];

		if (!lookup->channel || lookup->due_ns > now_ns)
			continue;
		if (!lookup->ended) {
			ares_process_fd(lookup->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
			lookup_arm(lookup);
		}
		if (lookup->ended)
			lookup_answer(lookup);
	}
}

uint64_t resolver_next_deadline(const struct resolver *resolver)
{
	uint64_t next = UINT64_MAX;

	for (uint32_t i = 0; resolver->active > 0 && i < PLACES; i++)
		if (resolver->lookups[i].channel && resolver->lookups[i].due_ns < next)
			next = resolver->lookups[i].due_ns;
	return next;
}
