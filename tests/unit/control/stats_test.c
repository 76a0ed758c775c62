/* stats_test.c - which rows are said, under which names, in how many lines. */
#include "stats.h"

#include <criterion/criterion.h>
#include <string.h>

struct heard {
	size_t lines, fields;
	uint64_t replay, tun_reads;
	bool too_long;
};

static void hear(void *context, enum outside_level level, const char *message,
		 const struct outside_field *fields, size_t count)
{
	struct heard *heard = context;

	cr_assert_eq(level, OUTSIDE_INFO);
	heard->lines++;
	heard->fields += count;
	heard->too_long |= count > LOG_FIELDS_MAX || count == 0;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(fields[i].key, "replay") == 0 && strcmp(message, "Drops") == 0)
			heard->replay = fields[i].number;
		if (strcmp(fields[i].key, "tun_reads") == 0 && strcmp(message, "Counters") == 0)
			heard->tun_reads = fields[i].number;
	}
}

Test(stats, rows)
{
	struct heard heard = {0};
	struct outside outside = {.context = &heard, .log = hear};
	struct stats stats = {0};

	stats_log(&stats, &outside, false);
	cr_assert_eq(heard.lines, 0, "nothing has happened: nothing is said");

	stats.drops[DROP_REPLAY] = 7;
	stats.stats[STAT_TUN_READS] = 1ull << 40;
	stats_log(&stats, &outside, false);
	cr_assert_eq(heard.lines, 2);
	cr_assert_eq(heard.fields, 2);
	cr_assert_eq(heard.replay, 7);
	cr_assert_eq(heard.tun_reads, 1ull << 40);

	heard = (struct heard){0};
	stats_log(&stats, &outside, true);
	cr_assert_eq(heard.fields, DROPS - 1 + STATS, "every row, and DROP_NONE is no row");
	cr_assert_not(heard.too_long);
	cr_assert_eq(heard.replay, 7);
}
