/* answer_road_test.c - a lighthouse's worker answers questions from cards. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "crypto/seal.h"
#include "lookup/query.h"
#include "sockaddr.h"
#include "unit/roads/rig.h"

TestSuite(answer_road, .timeout = 60);

static const struct addr asker = {{[10] = 0xff, 0xff, 10, 0, 0, 1}};
static const struct addr target = {{[10] = 0xff, 0xff, 10, 0, 0, 9}};

/* A card whose messages are "<mark>r1", "<mark>r2", "<mark>p1", "<mark>p2" and a filling. */
static void hang_card(struct rig *rig, const struct addr *host, char mark, uint16_t bytes)
{
	struct host_card *card = calloc(1, sizeof(*card) + 4u * bytes);

	for (int i = 0; i < 2; i++)
		card->reply_bytes[i] = card->punch_bytes[i] = bytes;
	for (int i = 0; i < 4; i++)
		memcpy(card->bytes + i * bytes, (char[]){mark, "rrpp"[i], "1212"[i]}, 3);
	hostmap_card_publish(rig->map, host, card);
}

/* A lighthouse with the asker at the rig's tunnel, and the target at another, both with cards. */
static struct rig *lighthouse(struct tunnel **other)
{
	struct rig *rig = rig_create(true);
	struct endpoint at = {addr_from_v4(0xc0000209), 4242};

	rig->snapshot.am_lighthouse = true;
	*other = rig_tunnel(rig, 1, &target);
	(*other)->remote->to = at;
	(*other)->remote->sockaddr_bytes =
		endpoint_to_sockaddr(&at, false, &(*other)->remote->sockaddr);
	hang_card(rig, &asker, 'a', 40);
	hang_card(rig, &target, 't', 40);
	return rig;
}

static void add(struct rig *rig, const uint8_t *bytes, uint32_t length)
{
	uint8_t datagram[256];

	rig->as_peer.remote_index = RIG_INDEX;
	seal_packet(&rig->as_peer, WIRE_LIGHTHOUSE, WIRE_LABEL_NONE, rig->counter++, bytes, length,
		    datagram);
	rig_add_raw(rig, datagram, length + WIRE_OVERHEAD);
}

/* About 10.0.0.<last>, in the v1 form. */
static void ask(struct rig *rig, uint8_t last)
{
	add(rig, (uint8_t[]){8, 1, 0x12, 5, 8, (uint8_t)(last | 0x80), 0x80, 0x80, 0x50}, 9);
}

static void work(struct rig *rig)
{
	answers_work(&rig->w);
	train_close(&rig->w);
}

Test(answer_road, a_question_is_answered_and_its_target_told)
{
	struct tunnel *other;
	struct rig *rig = lighthouse(&other);

	ask(rig, 9);
	rig_receive(rig);
	work(rig);
	cr_assert_eq(rig->io.punt_count, 0);
	cr_assert_eq(rig->io.sent_count, 2);
	cr_assert_eq(rig_open(rig, 0, 0), 40);
	cr_assert_eq(memcmp(rig->opened, "tr1", 3), 0, "the target's card, to the asker");
	cr_assert_eq(memcmp(&rig->io.sent[0].to, &rig->tunnel->remote->sockaddr, 8), 0);
	cr_assert_eq(rig_open(rig, 1, 0), 40);
	cr_assert_eq(memcmp(rig->opened, "ap1", 3), 0, "the asker's card, to the target");
	cr_assert_eq(memcmp(&rig->io.sent[1].to, &other->remote->sockaddr, 8), 0);
	cr_expect_eq(rig->tunnel->last_out_ns, rig->w.now_ns, "traffic, as any");
	cr_assert_eq(rig_stat(rig, STAT_LIGHTHOUSE_QUERIES), 1);
	cr_assert_eq(rig_stat(rig, STAT_LIGHTHOUSE_REPLIES), 1);
	cr_assert_eq(rig_stat(rig, STAT_LIGHTHOUSE_PUNCHES), 1);
	cr_assert_eq(rig_all_drops(rig), 0);
	rig_destroy(rig);
}

/* A train of them: one train back. The replay window holds for them as for all. */
Test(answer_road, trains)
{
	struct tunnel *other;
	struct rig *rig = lighthouse(&other);

	for (int i = 0; i < 64; i++)
		ask(rig, 9);
	rig->counter -= 64;
	rig_receive(rig);
	work(rig);
	cr_assert_eq(rig->io.sent_count, 2);
	cr_assert_eq(rig->io.sent[0].count, 64);
	cr_assert_eq(rig->io.sent[1].count, 64);
	rig_forget(rig);
	for (int i = 0; i < 64; i++)
		ask(rig, 9);
	rig_receive(rig);
	work(rig);
	cr_assert_eq(rig->io.sent_count, 0);
	cr_assert_eq(rig_drops(rig, DROP_REPLAY), 64);
	rig_destroy(rig);
}

/* Nobody known, nobody to tell, a card that cannot be said in that form, itself. */
Test(answer_road, what_has_no_answer)
{
	struct host_card *mute = calloc(1, sizeof(*mute));
	struct tunnel *other;
	struct rig *rig = lighthouse(&other);

	ask(rig, 77);
	rig_receive(rig);
	work(rig);
	cr_assert_eq(rig->io.sent_count, 0);
	ask(rig, 1);
	rig_receive(rig);
	work(rig);
	cr_assert_eq(rig->io.sent_count, 1, "itself: answered, nobody punches");
	cr_assert_eq(rig_stat(rig, STAT_LIGHTHOUSE_PUNCHES), 0);
	rig_forget(rig);
	hostmap_card_publish(rig->map, &asker, NULL);
	ask(rig, 9);
	rig_receive(rig);
	work(rig);
	cr_assert_eq(rig->io.sent_count, 1, "an asker that has said nothing: no order");
	rig_forget(rig);
	hostmap_card_publish(rig->map, &target, mute);
	ask(rig, 9);
	rig_receive(rig);
	work(rig);
	cr_assert_eq(rig->io.sent_count, 0);
	cr_assert_eq(rig->io.punt_count, 0);
	cr_assert_eq(rig_stat(rig, STAT_LIGHTHOUSE_QUERIES), 4);
	rig_destroy(rig);
}

/* Said otherwise, not a question, too long; an asker of several addresses; no lighthouse at all. */
Test(answer_road, what_control_gets)
{
	static const uint8_t odd[] = {0x12, 5, 8, 0x89, 0x80, 0x80, 0x50, 8, 1};
	uint8_t longer[100] = {8, 1, 0x12, 96, 8, 0x89, 0x80, 0x80, 0x50};
	struct tunnel *other;
	struct rig *rig = lighthouse(&other);

	add(rig, odd, sizeof(odd));
	rig_receive(rig);
	cr_assert_eq(rig->io.punt_count, 1);
	cr_assert_eq(rig->io.punts[0]->type, PUNT_OPENED);
	cr_assert_eq(rig->io.punts[0]->wire, WIRE_LIGHTHOUSE);
	cr_assert_eq(rig->io.punts[0]->length, sizeof(odd));
	cr_assert_eq(memcmp(rig->io.punts[0]->bytes, odd, sizeof(odd)), 0);
	add(rig, longer, sizeof(longer));
	rig_receive(rig);
	cr_assert_eq(rig->io.punt_count, 2);
	rig->tunnel->addr_count = 2;
	ask(rig, 9);
	rig_receive(rig);
	cr_assert_eq(rig->io.punt_count, 3);
	rig->tunnel->addr_count = 1;
	/* one who is asked for, or who asks, through a relay */
	struct remote *remote = other->remote;
	other->remote = NULL;
	ask(rig, 9);
	rig_receive(rig);
	cr_assert_eq(rig->io.punt_count, 4);
	other->remote = remote;
	remote = rig->tunnel->remote;
	rig->tunnel->remote = NULL;
	ask(rig, 9);
	rig_receive(rig);
	cr_assert_eq(rig->io.punt_count, 5);
	rig->tunnel->remote = remote;
	rig->snapshot.am_lighthouse = false;
	ask(rig, 9);
	rig_receive(rig);
	cr_assert_eq(rig->io.punt_count, 6);
	work(rig);
	cr_assert_eq(rig->io.sent_count, 0);
	rig_destroy(rig);
}

/* As long as a question may be, and one byte longer: each is taken once, as it came. */
Test(answer_road, messages_as_long_as_a_question_gets)
{
	uint8_t bytes[QUERY_BYTES_MAX + 1];
	struct tunnel *other;
	struct rig *rig = lighthouse(&other);

	memset(bytes, 0x5a, sizeof(bytes));
	for (uint32_t k = 0; k < 3; k++) {
		add(rig, bytes, QUERY_BYTES_MAX - 1 + k);
		rig_receive(rig);
		cr_assert_eq(rig->io.punt_count, k + 1);
		cr_expect_eq(rig->io.punts[k]->length, QUERY_BYTES_MAX - 1 + k);
		cr_expect_arr_eq(rig->io.punts[k]->bytes, bytes, QUERY_BYTES_MAX - 1 + k);
	}
	rig_destroy(rig);
}

/* Orders to one host are limited by time; answers are not. */
Test(answer_road, orders_are_limited)
{
	struct tunnel *other;
	struct rig *rig = lighthouse(&other);

	for (int i = 0; i < PUNCH_ORDERS_BURST + 100; i++) {
		ask(rig, 9);
		rig_receive(rig);
		work(rig);
		rig_forget(rig);
	}
	cr_assert_eq(rig_drops(rig, DROP_PUNCH_LIMITED), 100);
	cr_assert_eq(rig_stat(rig, STAT_LIGHTHOUSE_PUNCHES), PUNCH_ORDERS_BURST);
	cr_assert_eq(rig_stat(rig, STAT_LIGHTHOUSE_REPLIES), PUNCH_ORDERS_BURST + 100);
	rig->w.now_ns += 1000000000;
	for (int i = 0; i < PUNCH_ORDERS_PER_SECOND + 10; i++) {
		ask(rig, 9);
		rig_receive(rig);
		work(rig);
		rig_forget(rig);
	}
	cr_assert_eq(rig_drops(rig, DROP_PUNCH_LIMITED), 110);
	rig_destroy(rig);
}

/* Without free slots they wait, in order; a full ring is counted; what has gone is forgotten. */
Test(answer_road, no_room_to_send)
{
	struct tunnel *other;
	struct rig *rig = lighthouse(&other);
	uint32_t slots = rig->io.free_send_count;

	rig->io.free_send_count = SEND_SLOTS / 4;
	for (int i = 0; i < ANSWERS_MAX + 5; i++) {
		ask(rig, 9);
		rig_receive(rig);
	}
	work(rig);
	cr_assert_eq(rig->io.sent_count, 0);
	cr_assert_eq(rig_drops(rig, DROP_LIGHTHOUSE_BUSY), 5);
	rig->io.free_send_count = slots;
	for (int i = 0; i < 200; i++)
		work(rig);
	cr_assert_eq(rig_stat(rig, STAT_LIGHTHOUSE_REPLIES), ANSWERS_MAX);
	rig_forget(rig);

	rig->io.free_send_count = 0;
	ask(rig, 9);
	rig_receive(rig);
	hostmap_card_publish(rig->map, &target, NULL);
	rig->io.free_send_count = slots;
	work(rig);
	cr_assert_eq(rig->io.sent_count, 0);
	cr_assert(rig_slots_are_back(rig));
	rig_destroy(rig);
}

/* Answers to one asker that make no train: slots are left to the traffic, and no answer is lost. */
Test(answer_road, answers_of_many_sizes)
{
	const uint32_t rounds = 32; /* each makes a train */
	struct tunnel *other;
	struct rig *rig = lighthouse(&other);

	hang_card(rig, &asker, 'a', 50);
	rig->io.keep_sends = true;
	for (uint32_t i = 0; i < rounds; i++) {
		ask(rig, 9);
		ask(rig, 1);
		rig_receive(rig);
	}
	work(rig);
	cr_expect_eq(rig->io.free_send_count, SEND_SLOTS / 4);
	for (uint32_t turn = 0; turn < 3; turn++) {
		rig->io.free_send_count = SEND_SLOTS;
		work(rig);
	}
	cr_expect_eq(rig_all_drops(rig), 0);
	cr_expect_eq(rig_stat(rig, STAT_LIGHTHOUSE_REPLIES), 2 * rounds);
	cr_expect_eq(rig_stat(rig, STAT_LIGHTHOUSE_PUNCHES), rounds);
	rig_destroy(rig);
}
