/*
 * io_send_test.c - sends on a real ring: order, whatever the kernel answers (engine.h).
 */
#include "unit/dataplane/engine.h"

TestSuite(io_send, .timeout = 60);

/* A train of count datagrams of bytes, numbered on from *number, to name. */
static struct send_slot *train_fill(struct engine *e, const struct sockaddr_in *to,
				    uint32_t *number, uint32_t count, uint32_t bytes)
{
	struct send_slot *slot = io_send_slot(e->io);

	cr_assert_not_null(slot);
	memcpy(&slot->to, to, sizeof(*to));
	slot->to_bytes = sizeof(*to);
	slot->segment_bytes = bytes;
	slot->count = count;
	slot->length = count * bytes;
	slot->tunnel = (struct tunnel_id){3, 4};
	for (uint32_t i = 0; i < count; i++, ++*number)
		memcpy(slot->bytes + (size_t)i * bytes, number, 4);
	return slot;
}

static void train(struct engine *e, const struct sockaddr_in *to, uint32_t *number, uint32_t count,
		  uint32_t bytes)
{
	io_send(e->io, train_fill(e, to, number, count, bytes));
}

/* Turns until all slots are back. */
static void flush(struct engine *e)
{
	struct io_event event;

	while (e->io->free_send_count < SEND_SLOTS) {
		io_turn(e->io, e->io->send_blocked);
		while (io_next(e->io, &event))
			if (event.type != IO_NOTE)
				io_release(e->io, &event);
	}
}

/* The next datagram at the peer's socket. */
static void expect_number(struct engine *e, uint32_t i, uint32_t bytes)
{
	static uint8_t datagram[65536];
	uint32_t number;

	ssize_t n = recv(e->peer, datagram, sizeof(datagram), MSG_DONTWAIT);
	memcpy(&number, datagram, 4);
	cr_assert_eq(n, (ssize_t)bytes, "datagram %u: %zd", i, n);
	cr_assert_eq(number, i, "%u in the place of %u", number, i);
}

/* What the peer's socket has: the numbers from..to-1 but not `missing`, in order. */
static void expect_numbers(struct engine *e, uint32_t from, uint32_t to, uint32_t missing,
			   uint32_t bytes)
{
	uint8_t more;

	for (uint32_t i = from; i < to; i++)
		if (i != missing)
			expect_number(e, i, bytes);
	cr_expect_lt(recv(e->peer, &more, sizeof(more), MSG_DONTWAIT), 0, "one too many");
}

Test(io_send, trains_arrive_in_order)
{
	struct engine e;
	uint32_t number = 0;

	begin(&e, IO_TIER_6_1);
	setsockopt(e.peer, SOL_SOCKET, SO_RCVBUFFORCE, &(int){8 << 20}, sizeof(int));
	train(&e, &e.peer_name, &number, 64, 1000);
	train(&e, &e.peer_name, &number, 1, 1000);
	flush(&e);
	expect_numbers(&e, 0, 65, UINT32_MAX, 1000);
	number = 0;
	train(&e, &e.peer_name, &number, 7, 9001);
	flush(&e);
	expect_numbers(&e, 0, 7, UINT32_MAX, 9001);
	cr_expect_eq(stat_of(&e, STAT_GSO_REFUSED), 0);
	end(&e);
}

Test(io_send, every_slot_in_one_chain)
{
	struct engine e;
	uint32_t number = 0;

	begin(&e, IO_TIER_6_1);
	setsockopt(e.peer, SOL_SOCKET, SO_RCVBUFFORCE, &(int){8 << 20}, sizeof(int));
	e.io->options.gso = false; /* singles: more requests than the submission queue holds */
	for (int i = 0; i < SEND_SLOTS; i++)
		train(&e, &e.peer_name, &number, 64, 100);
	flush(&e);
	expect_numbers(&e, 0, SEND_SLOTS * 64, UINT32_MAX, 100);
	end(&e);
}

Test(io_send, a_chain_leaves_within_its_turn)
{
	struct engine e;
	uint32_t number = 0;

	begin(&e, IO_TIER_6_1);
	for (int i = 0; i < 8; i++)
		train(&e, &e.peer_name, &number, 2, 100);
	io_turn(e.io, false);
	cr_expect_eq(io_uring_cq_ready(&e.io->ring), 8, "the chain's end does not show");
	expect_numbers(&e, 0, 16, UINT32_MAX, 100);
	flush(&e);
	cr_expect_not(io_sending(e.io));
	cr_expect_eq(stat_of(&e, STAT_UDP_SENDS), 8);
	cr_expect_eq(stat_of(&e, STAT_UDP_SENT), 16);
	train(&e, &e.peer_name, &number, 1, 100);
	io_turn(e.io, false);
	cr_expect(io_sending(e.io), "nobody has looked");
	flush(&e);
	end(&e);
}

Test(io_send, a_send_that_must_wait_ends_the_sleep, .timeout = 10)
{
	struct engine e;
	uint32_t number = 0;

	begin(&e, IO_TIER_6_1);
	for (int at = 0; at < 3; at++) {
		number = 0;
		fault(&e, OP_SEND, at, 1, -EAGAIN);
		for (int i = 0; i < 3; i++)
			train(&e, &e.peer_name, &number, 1, 100);
		io_turn(e.io, true); /* nothing else will come */
		flush(&e);
		cr_expect_eq(e.hits, 1);
		expect_numbers(&e, 0, 3, UINT32_MAX, 100);
	}
	end(&e);
}

Test(io_send, a_send_that_fails_does_not_take_the_others_along)
{
	static const int errors[] = {-EPERM,        -ENETUNREACH, -ENOBUFS, -ENOMEM, -EINTR,
				     -ECONNREFUSED, -EMSGSIZE,    -EINVAL,  -EIO};
	struct engine e;

	begin(&e, IO_TIER_6_1);
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		for (int at = 0; at < 5; at++) {
			uint32_t number = 0;
			uint64_t before = drops(&e, DROP_SEND_ERROR);

			fault(&e, OP_SEND, at, 1, errors[i]);
			for (int k = 0; k < 5; k++)
				train(&e, &e.peer_name, &number, 1, 100);
			flush(&e);
			cr_expect_eq(e.hits, 1);
			cr_expect_eq(drops(&e, DROP_SEND_ERROR) - before, 1);
			expect_numbers(&e, 0, 5, (uint32_t)at, 100);
		}
	}
	end(&e);
}

/* Every datagram that was given up, and nothing else, with the address in the one form. */
Test(io_send, what_the_kernel_refuses_is_remembered)
{
	struct refused_send list[REFUSALS_MAX];
	struct sockaddr_in other;
	struct engine e;
	uint32_t number = 0;

	begin(&e, IO_TIER_6_1);
	other = e.peer_name;
	other.sin_port = htons(9);
	cr_expect_eq(io_read_refused(e.io, list), 0);
	fault(&e, OP_SEND, 0, 1, -EPERM);
	train(&e, &e.peer_name, &number, 14, 100);
	train(&e, &other, &number, 1, 100);
	flush(&e);
	fault(&e, OP_SEND, 1, 1, -EAGAIN);
	train(&e, &e.peer_name, &number, 1, 100);
	train(&e, &other, &number, 1, 100);
	flush(&e);
	fault(&e, OP_SEND, 0, 1, -EINVAL);
	train(&e, &e.peer_name, &number, 2, 100); /* goes as singles */
	flush(&e);
	cr_assert_eq(io_read_refused(e.io, list), 1);
	cr_expect_eq(list[0].times, 14);
	cr_expect_eq(list[0].error, EPERM);
	cr_expect_leq(list[0].last_ns, uring_now_ns());
	cr_expect(list[0].last_ns > 0 && uring_now_ns() - list[0].last_ns < 60000000000u);
	struct endpoint peer = endpoint_from_sockaddr(&e.peer_name);
	cr_expect(endpoint_equal(&list[0].to, &peer) && addr_is_v4(&peer.addr));

	/* on a dual-stack socket the same address is the same */
	struct send_slot *slot = io_send_slot(e.io);
	slot->to_bytes = endpoint_to_sockaddr(&peer, true, &slot->to);
	slot->count = 1;
	slot->length = slot->segment_bytes = 100;
	fault(&e, OP_SEND, 0, 1, -EPERM);
	io_send(e.io, slot);
	flush(&e);
	cr_assert_eq(io_read_refused(e.io, list), 1);
	cr_expect_eq(list[0].times, 15);
	end(&e);
}

Test(io_send, a_send_that_must_wait_or_is_cancelled_keeps_its_place)
{
	static const int errors[] = {-EAGAIN, -ECANCELED};
	struct engine e;

	begin(&e, IO_TIER_6_1);
	for (size_t i = 0; i < 2; i++) {
		for (int at = 0; at < 6; at++) {
			uint32_t number = 0;

			fault(&e, OP_SEND, at, 1, errors[i]);
			train(&e, &e.peer_name, &number, 4, 100);
			train(&e, &e.peer_name, &number, 4, 200);
			e.io->unsent.head->next->singles = true;
			train(&e, &e.peer_name, &number, 1, 100);
			io_turn(e.io, false);
			train(&e, &e.peer_name, &number, 1, 100); /* queued meanwhile */
			flush(&e);
			cr_expect_eq(e.hits, 1);
			for (uint32_t k = 0; k < 10; k++) {
				uint32_t got[50];
				cr_assert_gt(recv(e.peer, got, sizeof(got), MSG_DONTWAIT), 0);
				cr_assert_eq(got[0], k, "error %zu at %d", i, at);
			}
			cr_expect_lt(recv(e.peer, &number, 4, MSG_DONTWAIT), 0);
		}
	}
	cr_expect_eq(drops(&e, DROP_SEND_ERROR), 0);
	cr_expect_eq(stat_of(&e, STAT_SEND_BUSY), 6);
	end(&e);
}

Test(io_send, a_train_that_is_refused_goes_as_singles)
{
	static const struct {
		int error;
		enum note note;
		uint32_t bytes;
	} rows[] = {
		{-EIO, NOTE_GSO_OFF, 1},
		{-EMSGSIZE, NOTE_GSO_REMOTE, 500},
		{-EINVAL, NOTE_GSO_REMOTE, 500},
	};
	struct engine e;

	begin(&e, IO_TIER_6_1);
	for (size_t i = 0; i < 3; i++) {
		uint32_t number = 0;
		struct io_event event;

		fault(&e, OP_SEND, 1, 1, rows[i].error);
		train(&e, &e.peer_name, &number, 1, 500);
		train(&e, &e.peer_name, &number, 10, 500);
		train(&e, &e.peer_name, &number, 10, 500);
		event = next(&e, IO_NOTE);
		cr_expect_eq(event.note, rows[i].note);
		cr_expect_eq(event.error, -rows[i].error);
		cr_expect_eq(event.bytes, rows[i].bytes);
		cr_expect_eq(event.tunnel.slot, 3);
		flush(&e);
		cr_expect_eq(stat_of(&e, STAT_GSO_REFUSED), i + 1);
		expect_numbers(&e, 0, 21, UINT32_MAX, 500);
	}
	/* the last of them may be shorter */
	uint32_t number = 0;
	fault(&e, OP_SEND, 0, 1, -EMSGSIZE);
	struct send_slot *slot = train_fill(&e, &e.peer_name, &number, 3, 500);
	slot->length -= 400;
	io_send(e.io, slot);
	flush(&e);
	expect_number(&e, 0, 500);
	expect_number(&e, 1, 500);
	expect_number(&e, 2, 100);
	/* other remotes may take them */
	slot = io_send_slot(e.io);
	cr_expect_not(slot->singles);
	cr_expect(slot->length == 0 && slot->count == 0, "emptied");
	io_send_slot_back(e.io, slot);
	cr_expect_eq(drops(&e, DROP_SEND_ERROR), 0);
	/* singles that are refused, too, are not tried for ever: three, two, the last */
	number = 0;
	fault(&e, OP_SEND, 0, 1 + 3 + 2 + 1, -EMSGSIZE);
	train(&e, &e.peer_name, &number, 3, 500);
	flush(&e);
	cr_expect_eq(e.hits, 1 + 3);
	cr_expect_eq(drops(&e, DROP_SEND_ERROR), 3);
	expect_numbers(&e, 3, 3, UINT32_MAX, 500);
	end(&e);
}

/*
 * A really full socket: behind a tap whose neighbour does not answer ARP the datagrams wait and
 * keep the socket's buffer. When the neighbour is made known, they leave, the socket becomes
 * writable, and the tap shows what went over the wire.
 */
static void full_socket(int poll_error)
{
	enum { TRAINS = 12, EACH = 5 };
	struct engine e;
	uint32_t number = 0;
	uint8_t frame[2048];

	begin(&e, IO_TIER_6_1);
	int tap = device("tap0", IFF_TAP);
	link_up("tap0", 0x0a090701);
	fcntl(tap, F_SETFL, O_NONBLOCK);
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(7), .sin_addr.s_addr = htonl(0x0a090702)};
	int narrow = udp_socket(0x0a090701, &e.udp_name);
	setsockopt(narrow, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int));
	cr_assert_eq(dup2(narrow, e.udp), e.udp);
	io_uring_register_files_update(&e.io->ring, FILE_UDP, &narrow, 1);
	if (poll_error)
		fault(&e, OP_WRITABLE, 0, 1, poll_error);
	for (int i = 0; i < TRAINS; i++)
		train(&e, &to, &number, i % 3 == 0 ? 1 : EACH, 400);
	struct io_event event;
	for (int i = 0; i < 10; i++) {
		io_turn(e.io, false);
		while (io_next(e.io, &event))
			if (event.type != IO_NOTE)
				io_release(e.io, &event);
	}
	cr_expect(io_send_blocked(e.io));
	cr_expect_lt(e.io->free_send_count, SEND_SLOTS);

	struct arpreq known = {.arp_flags = ATF_COM | ATF_PERM};
	memcpy(&known.arp_pa, &to, sizeof(to));
	known.arp_ha.sa_family = ARPHRD_ETHER;
	memset(known.arp_ha.sa_data, 2, 6);
	snprintf(known.arp_dev, sizeof(known.arp_dev), "tap0");
	cr_assert_eq(ioctl(narrow, SIOCSARP, &known), 0);
	flush(&e);
	cr_expect_gt(stat_of(&e, STAT_SEND_BUSY), 0);
	uint32_t expected = 0;
	ssize_t n;
	while ((n = read(tap, frame, sizeof(frame))) > 0) {
		uint32_t got;
		if (frame[12] != 8 || frame[13] != 0 || frame[14 + 9] != IPPROTO_UDP)
			continue;
		memcpy(&got, frame + 14 + 28, 4);
		cr_assert_eq(got, expected, "%u in the place of %u", got, expected);
		expected++;
	}
	cr_expect_eq(expected, number, "none lost, none twice");
	cr_expect_eq(drops(&e, DROP_SEND_ERROR), 0);
	end(&e);
}

Test(io_send, a_full_socket_keeps_order_and_loses_nothing)
{
	full_socket(0);
}

Test(io_send, a_failed_poll_of_a_full_socket)
{
	full_socket(-EIO);
}

/* Datagrams that come back when the end has begun are dropped, and none waits for a full socket. */
Test(io_send, the_end_gives_up_what_a_full_socket_has, .timeout = 10)
{
	struct engine e;
	uint32_t number = 0;

	begin(&e, IO_TIER_6_1);
	fault(&e, OP_SEND, 1, 1, -EAGAIN);
	for (uint32_t count = 2; count < 5; count++)
		train(&e, &e.peer_name, &number, count, 100);
	io_turn(e.io, false); /* what came of it has not been looked at */
	end(&e);
	cr_expect_eq(e.hits, 1);
	cr_expect_eq(drops(&e, DROP_SEND_ERROR), 3 + 4);
	expect_numbers(&e, 0, 2, UINT32_MAX, 100);
}

/* As the last words to each peer, of more than one chain. */
Test(io_send, what_is_queued_leaves_before_the_end, .timeout = 10)
{
	struct engine e;
	uint32_t number = 0;

	begin(&e, IO_TIER_6_1);
	train(&e, &e.peer_name, &number, 3, 100);
	io_turn(e.io, false);
	train(&e, &e.peer_name, &number, 4, 100);
	end(&e);
	cr_expect_eq(drops(&e, DROP_SEND_ERROR), 0);
	expect_numbers(&e, 0, 7, UINT32_MAX, 100);
}

/* A send of count of the datagrams of 4 bytes that the event brought. */
static void borrow(struct engine *e, const struct io_event *event, uint32_t first, uint32_t count)
{
	struct send_slot *slot = io_send_slot(e->io);

	io_send_borrow(e->io, slot, event->buffer, event->packet + first * 4);
	memcpy(&slot->to, &e->peer_name, sizeof(e->peer_name));
	slot->to_bytes = sizeof(e->peer_name);
	slot->count = count;
	slot->segment_bytes = 4;
	slot->length = count * 4;
	io_send(e->io, slot);
}

/* The buffer that a send borrows from comes back when both are done with it: the kernel last. */
Test(io_send, from_a_receive_buffer)
{
	struct engine e;
	uint32_t number = 0;
	uint8_t numbers[40];

	begin(&e, IO_TIER_6_1);
	for (uint32_t i = 0; i < 10; i++)
		memcpy(numbers + i * 4, &i, 4);
	from_peer(&e, numbers, sizeof(numbers));
	struct io_event event = next(&e, IO_UDP_TRAIN);
	uint32_t out = e.io->udp_buffers.in_ring + e.io->udp_buffers.free_count;
	borrow(&e, &event, 0, 4);
	borrow(&e, &event, 4, 6);
	io_release(e.io, &event);
	cr_expect_eq(e.io->udp_buffers.in_ring + e.io->udp_buffers.free_count, out,
		     "the sends still need it");
	/* the second is refused at first, and goes as singles */
	fault(&e, OP_SEND, 1, 1, -EMSGSIZE);
	flush(&e);
	cr_expect_eq(e.io->udp_holds[event.buffer], 0);
	cr_expect_eq(e.io->udp_buffers.in_ring + e.io->udp_buffers.free_count, out + 1);
	expect_numbers(&e, 0, 10, UINT32_MAX, 4);
	cr_expect_eq(stat_of(&e, STAT_GSO_REFUSED), 1);
	/* one send of all, as a rule */
	from_peer(&e, numbers, sizeof(numbers));
	event = next(&e, IO_UDP_TRAIN);
	out = e.io->udp_buffers.in_ring + e.io->udp_buffers.free_count;
	borrow(&e, &event, 0, 10);
	io_release(e.io, &event);
	cr_expect_eq(e.io->udp_buffers.in_ring + e.io->udp_buffers.free_count, out);
	flush(&e);
	cr_expect_eq(e.io->udp_holds[event.buffer], 0);
	cr_expect_eq(e.io->udp_buffers.in_ring + e.io->udp_buffers.free_count, out + 1);
	expect_numbers(&e, 0, 10, UINT32_MAX, 4);
	/* a slot that is given back unsent does the same, in the other order; then it has its own
	 * memory again */
	from_peer(&e, numbers, sizeof(numbers));
	event = next(&e, IO_UDP_TRAIN);
	struct send_slot *slots[] = {io_send_slot(e.io), io_send_slot(e.io)};
	for (int i = 0; i < 2; i++) {
		uint8_t *own = slots[i]->bytes;
		io_send_borrow(e.io, slots[i], event.buffer, event.packet);
		io_send_slot_back(e.io, slots[i]);
		cr_expect_eq(slots[i]->bytes, own);
	}
	cr_expect_neq(slots[0]->bytes, slots[1]->bytes);
	io_release(e.io, &event);
	train(&e, &e.peer_name, &number, 3, 100);
	flush(&e);
	expect_numbers(&e, 0, 3, UINT32_MAX, 100);
	cr_expect_eq(e.io->udp_holds[event.buffer], 0, "it is a slot like others again");
	cr_expect_eq(e.io->udp_buffers.in_ring + e.io->udp_buffers.free_count, UDP_SLOTS);
	end(&e);
}
