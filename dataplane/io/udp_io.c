/*
 * udp_io.c - trains from and to the UDP socket.
 *
 * Theory of operation of sending. Order is a promise: datagrams leave in the order of io_send().
 * Slots wait on the list unsent until the turn, which submits them as one chain of linked requests
 * with MSG_DONTWAIT. A request of a chain begins only when the one before has succeeded; when one
 * fails (socket buffer full), the rest is cancelled by the kernel, so none overtakes. The chain's
 * slots stay on the list in_flight until all of it has completed, in whatever order the kernel says
 * so; then what did not leave goes back in front of what has been queued meanwhile. No chain is
 * submitted while another is in flight or the socket is full. A chain ends with a request that does
 * nothing and completes only when it is cancelled: that one completion more than a turn expects
 * ends its sleep, so that a full socket is seen to at once.
 *
 *   free -> (worker fills) -> unsent -> in_flight -> free
 *                                ^           | EAGAIN, ECANCELED, train refused
 *                                +-----------+
 */
#include "io/uring.h"

#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "sockaddr.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define NAME_BYTES 32 /* sockaddr_in6 has 28; control messages follow and want 8-byte alignment */
_Static_assert(NAME_BYTES >= sizeof(struct sockaddr_in6), "any source fits");
#define CONTROL_BYTES CMSG_SPACE(sizeof(int))

_Static_assert(sizeof(struct io_uring_recvmsg_out) + NAME_BYTES + CONTROL_BYTES + 65535 <=
		       SLOT_BYTES,
	       "the largest datagram train fits a slot");

static void list_init(struct send_list *list)
{
	list->head = NULL;
	list->tail = &list->head;
}

static struct send_slot *list_take(struct send_list *list)
{
	struct send_slot *slot = list->head;

	list->head = slot->next;
	if (!list->head)
		list_init(list);
	return slot;
}

static void list_append(struct send_list *list, struct send_slot *slot)
{
	slot->next = NULL;
	*list->tail = slot;
	list->tail = &slot->next;
}

int udp_io_create(struct io *io)
{
	size_t bytes = (size_t)SEND_SLOTS * BUFFER_STRIDE;

	list_init(&io->unsent);
	list_init(&io->in_flight);
	io->receive_template.msg_namelen = NAME_BYTES;
	io->receive_template.msg_controllen = CONTROL_BYTES;
	io->messages = calloc(SEND_SLOTS, sizeof(*io->messages));
	io->send_memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (io->send_memory == MAP_FAILED)
		io->send_memory = NULL;
	if (!io->messages || !io->send_memory)
		return -ENOMEM;
	madvise(io->send_memory, bytes, MADV_NOHUGEPAGE);
	madvise(io->send_memory, bytes, MADV_DONTDUMP);
	for (uint32_t i = SEND_SLOTS; i-- > 0;) {
		struct send_slot *slot = &io->send_slots[i];
		slot->id = (uint16_t)i;
		slot->bytes = io->send_memory + (size_t)i * BUFFER_STRIDE;
		slot->next = io->free_sends;
		io->free_sends = slot;
		io->free_send_count++;
	}
	return buffers_create(&io->udp_buffers, &io->ring, GROUP_UDP, UDP_SLOTS);
}

void udp_io_destroy(struct io *io)
{
	free(io->messages);
	if (io->send_memory)
		munmap(io->send_memory, (size_t)SEND_SLOTS * BUFFER_STRIDE);
	if (io->udp_buffers.memory)
		buffers_destroy(&io->udp_buffers);
}

/* ---- receiving ------------------------------------------------------------------------------- */

void udp_io_arm(struct io *io)
{
	if (io->udp_armed || io->udp_errors >= ERRORS_MAX || io->udp_buffers.in_ring == 0)
		return;
	struct io_uring_sqe *sqe = uring_sqe(io);
	io_uring_prep_recvmsg_multishot(sqe, FILE_UDP, &io->receive_template, 0);
	sqe->buf_group = GROUP_UDP;
	sqe->flags |= IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE;
	sqe->user_data = TAG(OP_UDP_RECEIVE, 0);
	io->udp_armed = true;
}

static void receive_failed(struct io *io, int error)
{
	if (error == -ECANCELED)
		return;
	if (error == -ENOBUFS) {
		buffers_grow(&io->udp_buffers);
		return;
	}
	if (++io->udp_errors == ERRORS_MAX)
		uring_note(io, &(struct io_event){
				       .type = IO_NOTE, .note = NOTE_UDP_DEAD, .error = -error});
}

/* Segment size of a train from the UDP_GRO control message; 0: one datagram. */
static uint32_t gro_size(struct io_uring_recvmsg_out *out, struct msghdr *template)
{
	struct cmsghdr *c = io_uring_recvmsg_cmsg_firsthdr(out, template);

	for (; c; c = io_uring_recvmsg_cmsg_nexthdr(out, template, c)) {
		if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
			int size;
			memcpy(&size, CMSG_DATA(c), sizeof(size));
			return size > 0 ? (uint32_t)size : 0;
		}
	}
	return 0;
}

bool udp_io_receive_done(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		io->udp_armed = false;
		io->udp_ended |= cqe->res >= 0;
		count_stat(io->counters, STAT_REARM_UDP, 1);
		PROBE(rearm, io->options.queue, 1, cqe->res);
	}
	if (cqe->res < 0) {
		if (cqe->flags & IORING_CQE_F_BUFFER) {
			buffers_taken(&io->udp_buffers, 0);
			buffers_release(&io->udp_buffers,
					(uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT));
		}
		receive_failed(io, cqe->res);
		return false;
	}
	if (!(cqe->flags & IORING_CQE_F_BUFFER))
		return false;

	uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	struct io_uring_recvmsg_out *out = io_uring_recvmsg_validate(
		buffers_slot(&io->udp_buffers, id), cqe->res, &io->receive_template);
	buffers_taken(&io->udp_buffers, (uint32_t)cqe->res);
	io->udp_errors = 0;
	if (!out || (out->flags & MSG_TRUNC)) {
		buffers_release(&io->udp_buffers, id);
		count_drop(io->counters, DROP_UDP_TRUNCATED, 1);
		return false;
	}
	event->type = IO_UDP_TRAIN;
	event->buffer = id;
	event->packet = io_uring_recvmsg_payload(out, &io->receive_template);
	event->length = io_uring_recvmsg_payload_length(out, cqe->res, &io->receive_template);
	event->source = endpoint_from_sockaddr(io_uring_recvmsg_name(out));
	event->segment_bytes = gro_size(out, &io->receive_template);
	if (event->segment_bytes == 0 || event->segment_bytes > event->length)
		event->segment_bytes = event->length;
	return true;
}

bool io_receive_ended(struct io *io)
{
	bool ended = io->udp_ended;

	io->udp_ended = false;
	return ended;
}

/* ---- sending --------------------------------------------------------------------------------- */

uint32_t io_send_slots_free(const struct io *io)
{
	return io->free_send_count;
}

bool io_send_blocked(const struct io *io)
{
	return io->send_blocked;
}

bool io_sending(const struct io *io)
{
	return io->unsent.head || io->sends_in_flight > 0;
}

struct send_slot *io_send_slot(struct io *io)
{
	struct send_slot *slot = io->free_sends;

	if (!slot)
		return NULL;
	io->free_sends = slot->next;
	io->free_send_count--;
	slot->length = slot->count = slot->segment_bytes = 0;
	slot->done = 0;
	slot->singles = !io->options.gso;
	return slot;
}

void udp_io_release(struct io *io, uint16_t buffer)
{
	if (io->udp_holds[buffer] > 0)
		io->udp_holds[buffer] |= HOLD_RELEASED; /* a send has still to leave from it */
	else
		buffers_release(&io->udp_buffers, buffer);
}

void io_send_borrow(struct io *io, struct send_slot *slot, uint16_t buffer, uint8_t *bytes)
{
	slot->bytes = bytes;
	slot->borrowed = true;
	slot->buffer = buffer;
	io->udp_holds[buffer]++;
}

static void give_back(struct io *io, struct send_slot *slot)
{
	uint8_t *holds = &io->udp_holds[slot->buffer];

	slot->bytes = io->send_memory + (size_t)slot->id * BUFFER_STRIDE;
	slot->borrowed = false;
	if (--*holds == HOLD_RELEASED) {
		*holds = 0;
		buffers_release(&io->udp_buffers, slot->buffer);
	}
}

static void slot_free(struct io *io, struct send_slot *slot)
{
	if (slot->borrowed)
		give_back(io, slot);
	slot->next = io->free_sends;
	io->free_sends = slot;
	io->free_send_count++;
}

void io_send_slot_back(struct io *io, struct send_slot *slot)
{
	slot_free(io, slot);
}

void io_send(struct io *io, struct send_slot *slot)
{
	count_stat(io->counters, STAT_UDP_SENDS, 1);
	count_stat(io->counters, STAT_UDP_SENT, slot->count);
	list_append(&io->unsent, slot);
}

/* Requests that slot still needs: one for a train, one per datagram left for singles. */
static uint32_t slot_requests(const struct send_slot *slot)
{
	return slot->singles ? slot->count - slot->done : 1;
}

static void prepare_request(struct io *io, struct send_slot *slot, uint32_t datagram)
{
	struct send_messages *m = &io->messages[slot->id];
	struct msghdr *message = &m->message[datagram];
	struct iovec *vector = &m->vector[datagram];
	bool train = !slot->singles && slot->count > 1;
	uint32_t offset = slot->singles ? datagram * slot->segment_bytes : 0;
	uint32_t left = slot->length - offset;

	vector->iov_base = slot->bytes + offset;
	vector->iov_len = slot->singles && left > slot->segment_bytes ? slot->segment_bytes : left;
	*message = (struct msghdr){
		.msg_name = &slot->to,
		.msg_namelen = slot->to_bytes,
		.msg_iov = vector,
		.msg_iovlen = 1,
	};
	if (train) {
		uint16_t size = (uint16_t)slot->segment_bytes;
		struct cmsghdr *c = &m->control.align;
		c->cmsg_level = IPPROTO_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(size));
		memcpy(CMSG_DATA(c), &size, sizeof(size));
		message->msg_control = m->control.bytes;
		message->msg_controllen = sizeof(m->control.bytes);
	}
	struct io_uring_sqe *sqe = uring_sqe(io);
	io_uring_prep_sendmsg(sqe, FILE_UDP, message, MSG_DONTWAIT | MSG_NOSIGNAL);
	sqe->flags |= IOSQE_FIXED_FILE | IOSQE_IO_LINK;
	sqe->user_data = TAG(OP_SEND, (uint32_t)slot->id << 8 | datagram);
	io->sends_in_flight++;
	io->inline_pending++;
}

void udp_io_prepare_sends(struct io *io)
{
	if (io->sends_in_flight > 0 || io->send_blocked || !io->unsent.head)
		return;
	if (io_uring_sq_space_left(&io->ring) <= GSO_SEGMENTS_MAX)
		(void)io_uring_submit(&io->ring); /* a chain must not be cut by a submission */
	while (io->unsent.head &&
	       slot_requests(io->unsent.head) < io_uring_sq_space_left(&io->ring)) {
		struct send_slot *slot = list_take(&io->unsent);
		if (!slot->singles)
			prepare_request(io, slot, 0);
		else
			for (uint32_t i = slot->done; i < slot->count; i++)
				prepare_request(io, slot, i);
		list_append(&io->in_flight, slot);
	}
	if (io->sends_in_flight == 0)
		return; /* the submission has made no room */
	struct io_uring_sqe *end = io_uring_get_sqe(&io->ring);
	io_uring_prep_nop(end);
	end->flags |= IOSQE_CQE_SKIP_SUCCESS;
	end->user_data = TAG(OP_NONE, 0);
}

static void wait_until_writable(struct io *io)
{
	struct io_uring_sqe *sqe = uring_sqe(io);

	io_uring_prep_poll_add(sqe, FILE_UDP, POLLOUT);
	sqe->flags |= IOSQE_FIXED_FILE;
	sqe->user_data = TAG(OP_WRITABLE, 0);
	io->send_blocked = true;
	count_stat(io->counters, STAT_SEND_BUSY, 1);
}

void udp_io_writable(struct io *io)
{
	io->send_blocked = false;
}

/*
 * The kernel refused a train that would pass as singles: so it goes, and the worker hears which
 * segments not to try again soon: with EIO none of any size. That is about the route to this remote
 * (IPsec; before 6.11 also a device that computes no checksums), others may go another way.
 */
static bool train_refused(struct io *io, struct send_slot *slot, int error)
{
	if (slot->singles || slot->count == 1)
		return false;
	if (error != -EIO && error != -EMSGSIZE && error != -EINVAL)
		return false;
	slot->singles = true;
	count_stat(io->counters, STAT_GSO_REFUSED, 1);
	uring_note(io, &(struct io_event){.type = IO_NOTE,
					  .note = error == -EIO ? NOTE_GSO_OFF : NOTE_GSO_REMOTE,
					  .error = -error,
					  .tunnel = slot->tunnel,
					  .bytes = error == -EIO ? 1 : slot->segment_bytes});
	return true;
}

/* These datagrams are lost: counted, and remembered with their address for who asks why. */
static __attribute__((noinline)) void send_refused(struct io *io, const struct send_slot *slot,
						   int error, uint32_t datagrams)
{
	struct refused_send refused = {
		.times = datagrams,
		.last_ns = uring_now_ns(),
		.to = endpoint_from_sockaddr(&slot->to),
		.error = (uint32_t)error,
	};

	PROBE(send_error, io->options.queue, error, datagrams);
	count_drop(io->counters, DROP_SEND_ERROR, datagrams);
	refusals_note(&io->refused, &refused, sizeof(refused));
}

uint32_t io_read_refused(struct io *io, struct refused_send out[REFUSALS_MAX])
{
	return refusals_read(&io->refused, out, sizeof(*out));
}

static void request_done(struct io *io, struct send_slot *slot, int result)
{
	if (result == -EAGAIN) {
		if (!io->send_blocked && !io->stopping)
			wait_until_writable(io);
		io->send_blocked = true;
		return;
	}
	if (result == -ECANCELED)
		return;
	if (result < 0 && train_refused(io, slot, result))
		return;
	uint32_t datagrams = slot->singles ? 1 : slot->count;
	if (result < 0)
		send_refused(io, slot, -result, datagrams);
	slot->done = (uint8_t)(slot->done + datagrams);
}

/* The chain is over: its slots are free, or first in the next one. */
static void chain_done(struct io *io)
{
	struct send_list again;

	list_init(&again);
	while (io->in_flight.head) {
		struct send_slot *slot = list_take(&io->in_flight);
		if (slot->done >= slot->count)
			slot_free(io, slot);
		else
			list_append(&again, slot);
	}
	while (io->unsent.head)
		list_append(&again, list_take(&io->unsent));
	while (again.head)
		list_append(&io->unsent, list_take(&again));
}

void udp_io_send_done(struct io *io, uint64_t value, int result)
{
	struct send_slot *slot = &io->send_slots[value >> 8];

	io->inline_pending--;
	io->sends_in_flight--;
	request_done(io, slot, result);
	if (io->sends_in_flight > 0)
		return;
	chain_done(io);
	if (io->stopping)
		udp_io_give_up(io);
}

void udp_io_give_up(struct io *io)
{
	if (!io->send_blocked || io->sends_in_flight > 0)
		return;
	while (io->unsent.head) {
		struct send_slot *slot = list_take(&io->unsent);
		count_drop(io->counters, DROP_SEND_ERROR, slot->count - slot->done);
		slot_free(io, slot);
	}
}
