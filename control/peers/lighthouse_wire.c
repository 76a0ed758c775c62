/*
 * lighthouse_wire.c - see lighthouse_wire.h.
 *
 * Protobuf by hand: a lighthouse answers tens of thousands of these a second, and a decoder into a
 * fixed structure allocates nothing whatever the message says. The cursors are those of protobuf.h.
 * A message given twice is merged, packed numbers may come unpacked.
 */
#include "peers/lighthouse_wire.h"

#include <errno.h>

#include "peers/protobuf.h"

enum meta_field { META_TYPE = 1, META_DETAILS = 2 };

enum details_field {
	DETAILS_OLD_ADDR = 1,
	DETAILS_V4 = 2,
	DETAILS_COUNTER = 3,
	DETAILS_V6 = 4,
	DETAILS_OLD_RELAYS = 5,
	DETAILS_ADDR = 6,
	DETAILS_RELAYS = 7,
};

/* --- reading ----------------------------------------------------------------------------------
 */

static void add_endpoint(struct endpoint *list, uint32_t *count, struct addr addr, uint64_t port)
{
	if (addr_is_zero(&addr) || port == 0 || port > UINT16_MAX ||
	    *count == LIGHTHOUSE_ENTRIES_MAX)
		return;
	list[(*count)++] = (struct endpoint){addr, (uint16_t)port};
}

static void add_relay(struct lighthouse_message *message, struct addr addr)
{
	if (!addr_is_zero(&addr) && message->relay_count < LIGHTHOUSE_ENTRIES_MAX)
		message->relays[message->relay_count++] = addr;
}

static void read_old_relays(struct reader *r, const struct field *field,
			    struct lighthouse_message *message)
{
	struct reader packed;

	if (field->kind == KIND_VARINT) {
		add_relay(message, addr_from_v4((uint32_t)field->value));
		return;
	}
	packed = message_of(r, field);
	while (!packed.bad && packed.at < packed.end) {
		uint32_t v4 = (uint32_t)read_varint(&packed);
		if (!packed.bad)
			add_relay(message, addr_from_v4(v4));
	}
	r->bad |= packed.bad;
}

static void read_details(struct reader *r, struct lighthouse_message *message, uint32_t *old_addr)
{
	struct field field;
	uint64_t n[3];

	while (next_field(r, &field)) {
		switch (field.number) {
		case DETAILS_OLD_ADDR:
			*old_addr = (uint32_t)number_of(r, &field);
			break;
		case DETAILS_V4:
			read_numbers(r, &field, n);
			add_endpoint(message->v4, &message->v4_count, addr_from_v4((uint32_t)n[0]),
				     n[1]);
			break;
		case DETAILS_COUNTER:
			number_of(r, &field);
			break;
		case DETAILS_V6:
			read_numbers(r, &field, n);
			add_endpoint(message->v6, &message->v6_count, addr_of_halves(n[0], n[1]),
				     n[2]);
			break;
		case DETAILS_OLD_RELAYS:
			read_old_relays(r, &field, message);
			break;
		case DETAILS_ADDR:
			read_numbers(r, &field, n);
			message->addr = addr_of_halves(n[0], n[1]);
			break;
		case DETAILS_RELAYS:
			read_numbers(r, &field, n);
			add_relay(message, addr_of_halves(n[0], n[1]));
			break;
		}
	}
}

int lighthouse_decode(const uint8_t *bytes, size_t length, struct lighthouse_message *message)
{
	struct reader r = {bytes, bytes + length, false};
	bool has_details = false;
	uint32_t old_addr = 0;
	struct field field;

	memset(message, 0, sizeof(*message));
	while (next_field(&r, &field)) {
		if (field.number == META_TYPE) {
			message->type = (uint32_t)number_of(&r, &field);
		} else if (field.number == META_DETAILS) {
			struct reader details = message_of(&r, &field);

			read_details(&details, message, &old_addr);
			r.bad |= details.bad;
			has_details = true;
		}
	}
	if (r.bad || !has_details)
		return -EBADMSG;
	message->form = old_addr ? LIGHTHOUSE_V1 : LIGHTHOUSE_V2;
	if (old_addr)
		message->addr = addr_from_v4(old_addr);
	message->has_addr = !addr_is_zero(&message->addr);
	return 0;
}

/* --- writing ----------------------------------------------------------------------------------
 */

static void write_v4(struct writer *w, const struct endpoint *to)
{
	uint8_t bytes[16];
	struct writer inner = {bytes, bytes + sizeof(bytes), false};

	write_number(&inner, 1, addr_v4(&to->addr));
	write_number(&inner, 2, to->port);
	write_message(w, DETAILS_V4, bytes, (size_t)(inner.at - bytes));
}

static void write_old_relays(struct writer *w, const struct lighthouse_message *message)
{
	uint8_t bytes[5 * LIGHTHOUSE_ENTRIES_MAX];
	struct writer inner = {bytes, bytes + sizeof(bytes), false};

	if (message->relay_count == 0)
		return;
	for (uint32_t i = 0; i < message->relay_count; i++) {
		w->bad |= !addr_is_v4(&message->relays[i]);
		write_varint(&inner, addr_v4(&message->relays[i]));
	}
	write_message(w, DETAILS_OLD_RELAYS, bytes, (size_t)(inner.at - bytes));
}

static void write_details(struct writer *w, const struct lighthouse_message *message)
{
	bool old = message->form == LIGHTHOUSE_V1;

	if (message->has_addr && old) {
		w->bad |= !addr_is_v4(&message->addr);
		write_number(w, DETAILS_OLD_ADDR, addr_v4(&message->addr));
	}
	for (uint32_t i = 0; i < message->v4_count; i++)
		write_v4(w, &message->v4[i]);
	for (uint32_t i = 0; i < message->v6_count; i++)
		write_addr(w, DETAILS_V6, &message->v6[i].addr, message->v6[i].port);
	if (old)
		write_old_relays(w, message);
	if (message->has_addr && !old)
		write_addr(w, DETAILS_ADDR, &message->addr, 0);
	for (uint32_t i = 0; !old && i < message->relay_count; i++)
		write_addr(w, DETAILS_RELAYS, &message->relays[i], 0);
}

size_t lighthouse_encode(const struct lighthouse_message *message, uint8_t *bytes, size_t size)
{
	uint8_t inside[LIGHTHOUSE_BYTES_MAX];
	struct writer details = {inside, inside + sizeof(inside), false};
	struct writer w = {bytes, bytes + size, false};

	write_details(&details, message);
	write_number(&w, META_TYPE, message->type);
	write_message(&w, META_DETAILS, inside, (size_t)(details.at - inside));
	return w.bad || details.bad ? 0 : (size_t)(w.at - bytes);
}
