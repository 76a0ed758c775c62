/* outside_live.c - struct outside (outside.h) on the real clock, socket, workers and log. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "addr_text.h"
#include "control.h"
#include "log.h"
#include "sockaddr.h"
#include "system/resolver.h"

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t live_now_ns(void *context)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t live_wall_ns(void *context)
{
	return clock_ns(CLOCK_REALTIME);
}

static void live_random(void *context, void *bytes, size_t length)
{
	randombytes_buf(bytes, length);
}

static void live_count_drop(void *context, enum drop reason, uint64_t packets)
{
	struct control *control = context;

	PROBE(drop, reason, drop_metrics[reason], packets);
	control->drops[reason] += packets;
}

/* --- datagrams that control sends itself --------------------------------------------------------
 */

struct refused_send *control_refused_send(struct control *control, const struct endpoint *to)
{
	for (uint32_t i = 0; i < REFUSALS_MAX; i++)
		if (control->refused[i].times && endpoint_equal(&control->refused[i].to, to))
			return &control->refused[i];
	return NULL;
}

static void refused_send_note(struct control *control, const struct endpoint *to, int error)
{
	struct refused_send *entry = control_refused_send(control, to);
	uint32_t oldest = 0;

	for (uint32_t i = 1; i < REFUSALS_MAX; i++)
		if (control->refused[i].last_ns < control->refused[oldest].last_ns)
			oldest = i;
	if (!entry) {
		entry = &control->refused[oldest];
		*entry = (struct refused_send){.to = *to};
	}
	entry->times++;
	entry->error = (uint32_t)error;
	entry->last_ns = control->outside.now_ns(control);
}

/* The kernel has taken one to that address. */
static void refused_send_forget(struct control *control, const struct endpoint *to)
{
	struct refused_send *entry = control_refused_send(control, to);

	if (entry)
		*entry = (struct refused_send){0};
}

/* Usually no route, or no address of ours: nothing that the peer could have to do with. */
static void send_refused(struct control *control, const struct endpoint *to, int error)
{
	char text[ENDPOINT_TEXT_MAX];

	refused_send_note(control, to, error);
	live_count_drop(control, DROP_SEND_ERROR, 1);
	if (error != EAGAIN && rate_take(&control->refused_log, control->outside.now_ns(control)))
		log_warning("The kernel refused to send",
			    LOG_STR("udpAddr", endpoint_format(to, text)),
			    LOG_STR("error", strerror(error)));
}

/* An address that our IPv4 socket cannot reach. Peers on both families have one each: no trouble.
 */
static void send_not_ours(struct control *control, const struct endpoint *to)
{
	char text[ENDPOINT_TEXT_MAX];

	refused_send_note(control, to, EAFNOSUPPORT);
	if (!control->v6_told)
		log_info("IPv6 addresses of peers are not used, for listen.host is IPv4's; :: is "
			 "for both",
			 LOG_STR("udpAddr", endpoint_format(to, text)));
	control->v6_told = true;
}

/* Lost like any datagram when the kernel refuses it: whoever sent it tries again. */
static void live_send_udp(void *context, const struct endpoint *to, const uint8_t *bytes,
			  size_t length)
{
	struct control *control = context;
	union sockaddr_ip address;

	socklen_t address_bytes = endpoint_to_sockaddr(to, control->udp_v6, &address);

	if (address_bytes == 0)
		send_not_ours(control, to);
	else if (sendto(control->udp_fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL,
			(struct sockaddr *)&address, address_bytes) < 0)
		send_refused(control, to, errno);
	else
		refused_send_forget(control, to);
}

/* --- the rest -----------------------------------------------------------------------------------
 */

static void live_count_stat(void *context, enum statistic which, uint64_t n)
{
	((struct control *)context)->stats[which] += n;
}

static int live_resolve(void *context, uint32_t id, const char *name, enum name_network network,
			uint64_t timeout_ns)
{
	struct control *control = context;

	return control->resolver ? resolver_begin(control->resolver, id, name, network, timeout_ns)
				 : -ENOSYS;
}

static void live_resolve_cancel(void *context, uint32_t id)
{
	resolver_cancel(((struct control *)context)->resolver, id);
}

static void live_send_in_tunnel(void *context, uint32_t queue, struct tunnel_id tunnel,
				enum wire_type wire, const struct endpoint *remote,
				const uint8_t *payload, size_t length)
{
	struct control *control = context;
	struct order *order = order_create(ORDER_SEND_IN_TUNNEL, payload, (uint32_t)length);

	if (!order) {
		live_count_drop(context, DROP_SEND_ERROR, 1);
		return;
	}
	order->tunnel = tunnel;
	order->wire = wire;
	if (remote) {
		order->has_remote = true;
		order->remote = *remote;
	}
	if (orders_send(&control->orders, queue, order) != 0)
		live_count_drop(context, DROP_SEND_ERROR, 1);
}

static void live_send_via_relay(void *context, uint32_t queue, struct tunnel_id tunnel,
				uint32_t index, const uint8_t *bytes, size_t length)
{
	struct control *control = context;
	struct order *order = order_create(ORDER_SEND_VIA_RELAY, bytes, (uint32_t)length);

	if (!order) {
		live_count_drop(context, DROP_SEND_ERROR, 1);
		return;
	}
	order->tunnel = tunnel;
	order->relay_index = index;
	if (orders_send(&control->orders, queue, order) != 0)
		live_count_drop(context, DROP_SEND_ERROR, 1);
}

static void live_resume(void *context, uint32_t queue, struct tunnel_id tunnel,
			const struct waiting_run *run)
{
	struct control *control = context;
	struct order *order = order_create(ORDER_RESUME, run->bytes, run->length);

	if (!order) {
		live_count_drop(context, DROP_PENDING_FULL, 1);
		return;
	}
	order->tunnel = tunnel;
	order->vnet = run->vnet;
	if (orders_send(&control->orders, queue, order) != 0)
		live_count_drop(context, DROP_PENDING_FULL, 1);
}

static void live_resume_end(void *context, uint32_t queue, const struct addr *host)
{
	struct control *control = context;
	struct order *order = order_create(ORDER_RESUME_END, NULL, 0);

	if (!order)
		return;
	order->addr = *host;
	order->waiting_seen = control->waiting_taken[queue];
	(void)orders_send(&control->orders, queue, order);
}

/* "handshake.stage" is Nebula's handshake={stage, style}; its style is always ix_psk0. */
static struct log_field live_field(const struct outside_field *field)
{
	if (strcmp(field->key, "handshake.stage") == 0)
		return LOG_STAGE(field->number);
	return field->text ? LOG_STR(field->key, field->text) : LOG_U64(field->key, field->number);
}

static void live_log(void *context, enum outside_level level, const char *message,
		     const struct outside_field *fields, size_t count)
{
	static const enum log_level levels[] = {
		[OUTSIDE_DEBUG] = LOG_LEVEL_DEBUG,
		[OUTSIDE_INFO] = LOG_LEVEL_INFO,
		[OUTSIDE_WARNING] = LOG_LEVEL_WARNING,
		[OUTSIDE_ERROR] = LOG_LEVEL_ERROR,
	};
	struct log_field line[LOG_FIELDS_MAX + 1] = {0};
	size_t used = 0;

	if (!log_enabled(levels[level]))
		return;
	for (size_t i = 0; i < count && used < LOG_FIELDS_MAX; i++)
		if (strcmp(fields[i].key, "handshake.style") != 0)
			line[used++] = live_field(&fields[i]);
	log_write(levels[level], message, line);
}

void outside_live_init(struct control *control)
{
	control->outside = (struct outside){
		.context = control,
		.now_ns = live_now_ns,
		.wall_ns = live_wall_ns,
		.random = live_random,
		.send_udp = live_send_udp,
		.send_in_tunnel = live_send_in_tunnel,
		.send_via_relay = live_send_via_relay,
		.resume = live_resume,
		.resume_end = live_resume_end,
		.resolve = live_resolve,
		.resolve_cancel = live_resolve_cancel,
		.count_drop = live_count_drop,
		.count_stat = live_count_stat,
		.log = live_log,
	};
}
