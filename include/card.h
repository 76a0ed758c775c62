/*
 * card.h - what a lighthouse says about one host, encoded and ready to be sealed (PROTOCOL.md 6.4).
 *
 * Control makes it from the host's own words (control/peers/lighthouse_server.c), hangs it on the
 * host's entry of the hostmap, and replaces it as a whole when the words change; workers answer
 * HostQuery from it. It lives no longer than the host has a tunnel that carries traffic.
 */
#ifndef M57_CARD_H
#define M57_CARD_H

#include <stdint.h>

/* The two forms of a lighthouse message (PROTOCOL.md 6.1). */
enum card_form { CARD_V1, CARD_V2, CARD_FORMS };

struct host_card {
	/* of the messages in bytes, one after the other; 0: cannot be said in that form */
	uint16_t reply_bytes[CARD_FORMS]; /* HostQueryReply: here is the host */
	uint16_t punch_bytes[CARD_FORMS]; /* HostPunchNotification: the host looks for you */
	uint8_t punch_form;               /* in which the host itself reads orders */
	uint8_t bytes[];
};

/* The reply in form, card->reply_bytes[form] long; as long as card lives. */
static inline const uint8_t *card_reply(const struct host_card *card, enum card_form form)
{
	return card->bytes + (form == CARD_V2 ? card->reply_bytes[CARD_V1] : 0);
}

/* The order to punch in form, card->punch_bytes[form] long. */
static inline const uint8_t *card_punch(const struct host_card *card, enum card_form form)
{
	return card->bytes + card->reply_bytes[CARD_V1] + card->reply_bytes[CARD_V2] +
	       (form == CARD_V2 ? card->punch_bytes[CARD_V1] : 0);
}

#endif
