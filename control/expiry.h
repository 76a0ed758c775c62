/*
 * expiry.h - when to say that our own certificate ends: days before it does, while there is time to
 * renew it, and when it has. Pure; control.c asks, and writes the line.
 */
#ifndef M57_EXPIRY_H
#define M57_EXPIRY_H

#include <stdint.h>

#define EXPIRY_DAY_S  86400
#define EXPIRY_SOON_S (30ll * EXPIRY_DAY_S) /* before the end; of a short life the last tenth */
#define EXPIRY_LOOK_S 3600                  /* at least so often: clocks are set */

enum expiry { EXPIRY_NOTHING, EXPIRY_SOON, EXPIRY_ENDED };

struct expiry_watch {
	int64_t not_after; /* of the certificate that was told of */
	int64_t told_s;    /* when */
	enum expiry told;  /* EXPIRY_NOTHING: not yet */
};

/*
 * What is to be said at now_s (unix seconds, as all here) about a certificate of that life: each
 * word at once when it becomes true, then once a day. *next_s: when to ask again.
 */
static inline enum expiry expiry_look(struct expiry_watch *watch, int64_t not_before,
				      int64_t not_after, int64_t now_s, int64_t *next_s)
{
	int64_t life, soon = not_after;

	/* a life that does not fit is not a short one */
	if (__builtin_sub_overflow(not_after, not_before, &life) || life / 10 > EXPIRY_SOON_S)
		life = 10 * EXPIRY_SOON_S;
	if (now_s <= not_after) /* else it may be any number */
		soon -= life / 10;

	enum expiry word = now_s > not_after ? EXPIRY_ENDED
			   : now_s >= soon   ? EXPIRY_SOON
					     : EXPIRY_NOTHING;

	*next_s = now_s + EXPIRY_LOOK_S;
	if (now_s < soon && soon < *next_s)
		*next_s = soon;
	else if (now_s <= not_after && not_after < *next_s)
		*next_s = not_after + 1;
	if (word == watch->told && not_after == watch->not_after && now_s >= watch->told_s &&
	    now_s - watch->told_s < EXPIRY_DAY_S)
		return EXPIRY_NOTHING;
	*watch = (struct expiry_watch){not_after, now_s, word};
	return word;
}

#endif
