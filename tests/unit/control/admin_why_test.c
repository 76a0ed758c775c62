/* admin_why_test.c - the page of "why" where it takes a clock. All else: netns/why.bats. */
#include "peers/node_state.h"
#include "reload_world.h"

TestSuite(admin_why);

static uint64_t (*real_now_ns)(void *context);
static uint64_t later_by_ns;

static uint64_t later_now_ns(void *context)
{
	return real_now_ns(context) + later_by_ns;
}

/* Has the answer to "why 10.42.0.9" this text? */
static void why_says(const char *wanted)
{
	const char *line = "{\"command\":\"why\",\"arguments\":[\"10.42.0.9\"]}";
	json_t *answer = admin_answer(&world.admin, line, strlen(line));
	char *text = json_dumps(answer, JSON_COMPACT);

	cr_expect(strstr(text, wanted), "%s, not %s", text, wanted);
	free(text);
	json_decref(answer);
}

Test(admin_why, a_failure_of_long_ago_is_not_the_answer)
{
	struct addr addr = addr_from_v4(0x0a2a0009);

	world_make();
	real_now_ns = world.control.outside.now_ns;
	world.control.outside.now_ns = later_now_ns;
	reload_with("static_host_map: {10.42.0.9: ['192.0.2.9:4242']}\n");
	node_note_failure(NODE, &addr, NULL, "no answer from any known address", "");
	later_by_ns = 50 * 1000000000ull;
	why_says("{\"verdict\":\"no\",\"check\":\"last failure\"");
	why_says("\"reachable\":\"no\"");
	later_by_ns = 70 * 1000000000ull;
	why_says("{\"verdict\":\"?\",\"check\":\"last failure\"");
	why_says("\"reachable\":\"unknown\"");
	world_end();
}
