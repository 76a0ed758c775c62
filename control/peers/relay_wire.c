/* relay_wire.c - see relay_wire.h. */
#include "peers/relay_wire.h"

#include <errno.h>

#include "peers/protobuf.h"

enum control_field {
	CONTROL_TYPE = 1,
	CONTROL_INITIATOR_INDEX = 2,
	CONTROL_RESPONDER_INDEX = 3,
	CONTROL_OLD_TO = 4,
	CONTROL_OLD_FROM = 5,
	CONTROL_TO = 6,
	CONTROL_FROM = 7,
};

static void read_addr(struct reader *r, const struct field *field, struct addr *addr)
{
	uint64_t halves[3];

	read_numbers(r, field, halves);
	*addr = addr_of_halves(halves[0], halves[1]);
}

int relay_decode(const uint8_t *bytes, size_t length, struct relay_message *message)
{
	struct reader r = {bytes, bytes + length, false};
	uint32_t old_to = 0, old_from = 0, type = 0;
	struct field field;

	memset(message, 0, sizeof(*message));
	while (next_field(&r, &field)) {
		switch (field.number) {
		case CONTROL_TYPE:
			type = (uint32_t)number_of(&r, &field);
			break;
		case CONTROL_INITIATOR_INDEX:
			message->initiator_index = (uint32_t)number_of(&r, &field);
			break;
		case CONTROL_RESPONDER_INDEX:
			message->responder_index = (uint32_t)number_of(&r, &field);
			break;
		case CONTROL_OLD_TO:
			old_to = (uint32_t)number_of(&r, &field);
			break;
		case CONTROL_OLD_FROM:
			old_from = (uint32_t)number_of(&r, &field);
			break;
		case CONTROL_TO:
			read_addr(&r, &field, &message->to);
			break;
		case CONTROL_FROM:
			read_addr(&r, &field, &message->from);
			break;
		}
	}
	message->type = (enum relay_message_type)type;
	message->form = old_to || old_from ? RELAY_V1 : RELAY_V2;
	if (message->form == RELAY_V1) {
		message->to = addr_from_v4(old_to);
		message->from = addr_from_v4(old_from);
	}
	if (r.bad || (type != RELAY_REQUEST && type != RELAY_RESPONSE) ||
	    addr_is_zero(&message->to) || addr_is_zero(&message->from))
		return -EBADMSG;
	return 0;
}

size_t relay_encode(const struct relay_message *message, uint8_t *bytes, size_t size)
{
	struct writer w = {bytes, bytes + size, false};

	write_number(&w, CONTROL_TYPE, message->type);
	write_number(&w, CONTROL_INITIATOR_INDEX, message->initiator_index);
	write_number(&w, CONTROL_RESPONDER_INDEX, message->responder_index);
	if (message->form == RELAY_V1) {
		w.bad |= !addr_is_v4(&message->to) || !addr_is_v4(&message->from);
		write_number(&w, CONTROL_OLD_TO, addr_v4(&message->to));
		write_number(&w, CONTROL_OLD_FROM, addr_v4(&message->from));
	} else {
		write_addr(&w, CONTROL_TO, &message->to, 0);
		write_addr(&w, CONTROL_FROM, &message->from, 0);
	}
	return w.bad ? 0 : (size_t)(w.at - bytes);
}
