/* expiry_test.c - when our own certificate's end is told. */
#include <criterion/criterion.h>

#include "expiry.h"

#define DAY EXPIRY_DAY_S

Test(expiry, each_word_at_once_and_then_daily)
{
	struct expiry_watch watch = {0};
	int64_t end = 365 * DAY, next;

	cr_expect_eq(expiry_look(&watch, 0, end, 100, &next), EXPIRY_NOTHING);
	cr_expect_eq(next, 100 + EXPIRY_LOOK_S);
	cr_expect_eq(expiry_look(&watch, 0, end, end - 30 * DAY - 7, &next), EXPIRY_NOTHING);
	cr_expect_eq(next, end - 30 * DAY);
	cr_expect_eq(expiry_look(&watch, 0, end, next, &next), EXPIRY_SOON);
	cr_expect_eq(expiry_look(&watch, 0, end, next, &next), EXPIRY_NOTHING, "an hour later");
	cr_expect_eq(expiry_look(&watch, 0, end, end - 29 * DAY, &next), EXPIRY_SOON, "a day");
	cr_expect_eq(expiry_look(&watch, 0, end, end - 10, &next), EXPIRY_SOON);
	cr_expect_eq(next, end + 1);
	cr_expect_eq(expiry_look(&watch, 0, end, end, &next), EXPIRY_NOTHING, "still good");
	cr_expect_eq(expiry_look(&watch, 0, end, end + 1, &next), EXPIRY_ENDED);
	cr_expect_eq(next, end + 1 + EXPIRY_LOOK_S);
	cr_expect_eq(expiry_look(&watch, 0, end, end + DAY, &next), EXPIRY_NOTHING);
	cr_expect_eq(expiry_look(&watch, 0, end, end + 1 + DAY, &next), EXPIRY_ENDED);
}

Test(expiry, short_lives_absurd_ones_renewal_and_clocks)
{
	struct expiry_watch watch = {0};
	int64_t next;

	/* a day: the last tenth */
	cr_expect_eq(expiry_look(&watch, 0, DAY, DAY / 2, &next), EXPIRY_NOTHING);
	cr_expect_eq(expiry_look(&watch, 0, DAY, DAY - DAY / 10, &next), EXPIRY_SOON);
	/* renewed, and near its end again */
	cr_expect_eq(expiry_look(&watch, 0, 3 * DAY, DAY, &next), EXPIRY_NOTHING);
	cr_expect_eq(expiry_look(&watch, 0, 3 * DAY, 3 * DAY - 10, &next), EXPIRY_SOON);
	/* another, told though the first was just told of */
	cr_expect_eq(expiry_look(&watch, 0, 3 * DAY + 60, 3 * DAY - 10, &next), EXPIRY_SOON);
	/* the clock goes back: told again rather than never */
	cr_expect_eq(expiry_look(&watch, 0, 3 * DAY + 60, 3 * DAY - 20, &next), EXPIRY_SOON);
	cr_expect_eq(expiry_look(&watch, INT64_MIN, INT64_MAX, 1, &next), EXPIRY_NOTHING);
	cr_expect_eq(next, 1 + EXPIRY_LOOK_S);
	cr_expect_eq(expiry_look(&watch, INT64_MAX - 1, INT64_MAX, INT64_MAX - 5000, &next),
		     EXPIRY_NOTHING);
}
