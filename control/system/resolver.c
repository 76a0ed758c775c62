/*
 * resolver.c - see resolver.h.
 *
 * Both families of a name are two queries: c-ares answers one for both when the last of its tries
 * has ended, which is later than a look-up may take, and does not say which family had no answer.
 * Some servers drop every query for AAAA.
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
#define TRIES      2 /* of each server, one server after the other each time */
#define TRY_MIN_MS 50
#define EVENTS_MAX 16

/*
 * The hosts' names fill LOOKUPS_MAX places whenever they have that many to ask for, at the start
 * and at each reload, and come before lighthouse.dns.host, which is asked for once: one more place
 * is for that.
 */
#define PLACES (LOOKUPS_MAX + 1)

/* One of c-ares. */
struct query {
	struct lookup *lookup;
	enum name_network network;
	bool told; /* there is an answer, be it that there is none */
};

struct lookup {
	struct resolver *resolver;
	ares_channel channel; /* NULL: free place */
	uint32_t id;
	uint64_t due_ns; /* c-ares wants to be called then, or it is end_ns */
	uint64_t end_ns; /* what is found by then is the answer */
	bool ended;
	uint32_t query_count, open; /* of queries */
	struct query queries[2];
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
	for (const struct ares_addrinfo_node *node = found->nodes; node; node = node->ai_next) {
		struct addr one;

		if (node->ai_family == AF_INET) {
			const struct sockaddr_in *in = (const void *)node->ai_addr;
			one = addr_from_v4(ntohl(in->sin_addr.s_addr));
		} else if (node->ai_family == AF_INET6) {
			const struct sockaddr_in6 *in6 = (const void *)node->ai_addr;
			memcpy(one.bytes, &in6->sin6_addr, sizeof(one.bytes));
		} else {
			continue;
		}
		lookup->count =
			name_keep_least(lookup->addrs, lookup->count, NAME_ADDRS_MAX + 1, &one);
	}
}

static void finished(void *data, int status, int timeouts, struct ares_addrinfo *found)
{
	struct query *query = data;
	struct lookup *lookup = query->lookup;

	if (!lookup->ended) {
		query->told = status == ARES_SUCCESS || status == ARES_ENOTFOUND ||
			      status == ARES_ENODATA;
		if (status == ARES_SUCCESS && found)
			take_addrs(lookup, found);
		lookup->ended = --lookup->open == 0;
	}
	ares_freeaddrinfo(found);
}

/* When c-ares wants to try again, or the time is over. */
static void lookup_arm(struct lookup *lookup)
{
	struct timeval left;

	lookup->due_ns = lookup->ended ? 0 : lookup->end_ns;
	if (!lookup->ended && ares_timeout(lookup->channel, NULL, &left)) {
		uint64_t retry_ns = clock_now_ns() + (uint64_t)left.tv_sec * 1000 * MS_NS +
				    (uint64_t)left.tv_usec * 1000 + MS_NS;

		if (retry_ns < lookup->due_ns)
			lookup->due_ns = retry_ns;
	}
}

/* The file of hosts is asked for both families at once: a name that has one of them there has none
 * of the other, and no server is to be asked for it. */
static bool in_hosts_file(ares_channel channel, const char *name)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct hostent *host = NULL;

	for (int i = 0; i < 2 && !host; i++)
		if (ares_gethostbyname_file(channel, name, families[i], &host) != ARES_SUCCESS)
			host = NULL;
	if (host)
		ares_free_hostent(host);
	return host != NULL;
}

static void lookup_ask(struct lookup *lookup, const char *name, enum name_network network)
{
	static const int families[] = {
		[NAME_IP4] = AF_INET, [NAME_IP6] = AF_INET6, [NAME_IP] = AF_UNSPEC};
	static const enum name_network both[] = {NAME_IP4, NAME_IP6};
	bool apart = network == NAME_IP && !in_hosts_file(lookup->channel, name);

	lookup->query_count = lookup->open = apart ? 2 : 1;
	for (uint32_t i = 0; i < lookup->query_count; i++) {
		struct query *query = &lookup->queries[i];
		struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT,
						    .ai_socktype = SOCK_DGRAM};

		*query = (struct query){.lookup = lookup, .network = apart ? both[i] : network};
		hints.ai_family = families[query->network];
		ares_getaddrinfo(lookup->channel, name, NULL, &hints, finished, query);
	}
}

static uint32_t server_count(ares_channel channel)
{
	struct ares_addr_node *servers = NULL;
	uint32_t count = 0;

	if (ares_get_servers(channel, &servers) == ARES_SUCCESS)
		for (struct ares_addr_node *at = servers; at; at = at->next)
			count++;
	ares_free_data(servers);
	return count;
}

/* asks: how many are to begin in that time. */
static bool channel_open(struct lookup *lookup, uint64_t timeout_ns, uint32_t asks)
{
	uint64_t ask_ms = timeout_ns / MS_NS / asks;
	struct ares_options options = {
		.sock_state_cb = socket_state,
		.sock_state_cb_data = lookup,
		.tries = TRIES,
		.timeout = (int)(ask_ms > TRY_MIN_MS ? ask_ms : TRY_MIN_MS),
	};

	if (ares_init_options(&lookup->channel, &options,
			      ARES_OPT_SOCK_STATE_CB | ARES_OPT_TRIES | ARES_OPT_TIMEOUTMS) !=
	    ARES_SUCCESS)
		lookup->channel = NULL;
	return lookup->channel != NULL;
}

/* The last of several servers is to be asked in time, whatever the others do. How many there are is
 * known when a channel is open. */
static bool channel_open_fitting(struct lookup *lookup, uint64_t timeout_ns)
{
	uint32_t servers;

	if (!channel_open(lookup, timeout_ns, TRIES))
		return false;
	servers = server_count(lookup->channel);
	if (servers <= TRIES)
		return true;
	ares_destroy(lookup->channel);
	return channel_open(lookup, timeout_ns, servers);
}

int resolver_begin(struct resolver *resolver, uint32_t id, const char *name,
		   enum name_network network, uint64_t timeout_ns)
{
	struct lookup *lookup = resolver->lookups;

	while (lookup < resolver->lookups + PLACES && lookup->channel)
		lookup++;
	if (lookup == resolver->lookups + PLACES)
		return -ENOBUFS;
	*lookup = (struct lookup){
		.resolver = resolver, .id = id, .end_ns = clock_now_ns() + timeout_ns};
	if (!channel_open_fitting(lookup, timeout_ns))
		return -EIO;
	resolver->active++;
	lookup_ask(lookup, name, network);
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
	struct name_answer answer = {
		.outcome = NAME_FAILED, .told = NAME_IP, .count = copy.count, .addrs = copy.addrs};
	uint32_t told = 0;

	for (uint32_t i = 0; i < copy.query_count; i++)
		told += copy.queries[i].told;
	if (told > 0)
		answer.outcome = copy.count > 0 ? NAME_FOUND : NAME_NONE;
	if (told == 1 && copy.query_count == 2)
		answer.told = copy.queries[copy.queries[0].told ? 0 : 1].network;
	lookup_free(lookup);
	resolver->answer(resolver->context, copy.id, &answer);
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
		if (lookup->ended || lookup->end_ns <= now_ns)
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
