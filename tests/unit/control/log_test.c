/* log_test.c - log lines as Nebula's, and lines that cannot be forged. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "addr_text.h"
#include "limits.h"
#include "log.h"

TestSuite(log);

static char buf[LOG_LINE_MAX];

static const char *text_of(const char *message, const struct log_field *fields)
{
	struct log_options options = {.disable_timestamp = true};

	log_line(&options, LOG_LEVEL_INFO, (struct timespec){0}, message, fields, buf, sizeof(buf));
	return buf;
}

static const char *json_of(const char *message, const struct log_field *fields)
{
	struct log_options options = {.format = LOG_FORMAT_JSON, .disable_timestamp = true};

	log_line(&options, LOG_LEVEL_WARNING, (struct timespec){0}, message, fields, buf,
		 sizeof(buf));
	return buf;
}

#define FIELDS(...) ((const struct log_field[]){__VA_ARGS__, {.kind = LOG_FIELD_END}})

Test(log, text_line)
{
	struct endpoint endpoint;

	cr_assert_eq(endpoint_parse("192.0.2.1:4242", &endpoint), 0);
	cr_assert_str_eq(text_of("Handshake message sent",
				 FIELDS(LOG_STR("vpnIp", "10.1.0.2"), LOG_STAGE(1),
					LOG_ENDPOINT("udpAddr", &endpoint), LOG_U64("b", 7))),
			 "level=info msg=\"Handshake message sent\" b=7 "
			 "handshake=\"map[stage:1 style:ix_psk0]\" udpAddr=\"192.0.2.1:4242\" "
			 "vpnIp=10.1.0.2\n");
}

Test(log, json_line)
{
	cr_assert_str_eq(json_of("a \"b\"", FIELDS(LOG_STR("zone", "x\ny"), LOG_U64("count", 3),
						   LOG_STAGE(2))),
			 "{\"count\":3,\"handshake\":{\"stage\":2,\"style\":\"ix_psk0\"},"
			 "\"level\":\"warning\",\"msg\":\"a \\\"b\\\"\",\"zone\":\"x\\ny\"}\n");
}

Test(log, quoting)
{
	static const struct {
		const char *value, *text, *json;
	} cases[] = {
		{"plain-1.2_3/@^+", "plain-1.2_3/@^+", "\"plain-1.2_3/@^+\""},
		{"", "", "\"\""},
		{"two words", "\"two words\"", "\"two words\""},
		{"x\" level=error msg=\"forged", "\"x\\\" level=error msg=\\\"forged\"",
		 "\"x\\\" level=error msg=\\\"forged\""},
		{"a\nb\tc\\", "\"a\\nb\\tc\\\\\"", "\"a\\nb\\tc\\\\\""},
		{"\x1b[31m", "\"\\x1b[31m\"", "\"\\u001b[31m\""},
		{"\xff", "\"\\xff\"", "\"\\ufffd\""},
		{"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"", "\"gr\xc3\xbc\xc3\x9f\""},
		{"\xe2\x80\xae", "\"\\u202e\"", "\"\\u202e\""},
		{"\xc0\x80", "\"\\xc0\\x80\"", "\"\\ufffd\\ufffd\""},
		{"\xe2\x80", "\"\\xe2\\x80\"", "\"\\ufffd\\ufffd\""},
		{NULL, "", "\"\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char expect[256];

		snprintf(expect, sizeof(expect), "level=info msg=m v=%s\n", cases[i].text);
		cr_assert_str_eq(text_of("m", FIELDS(LOG_STR("v", cases[i].value))), expect);
		snprintf(expect, sizeof(expect), "{\"level\":\"warning\",\"msg\":\"m\",\"v\":%s}\n",
			 cases[i].json);
		cr_assert_str_eq(json_of("m", FIELDS(LOG_STR("v", cases[i].value))), expect);
	}
}

Test(log, time_stamp)
{
	struct log_options options = {0};

	setenv("TZ", "UTC", 1);
	tzset();
	log_line(&options, LOG_LEVEL_ERROR, (struct timespec){.tv_sec = 1700000000}, "m",
		 FIELDS(LOG_U64("k", 1)), buf, sizeof(buf));
	cr_assert_str_eq(buf, "time=\"2023-11-14T22:13:20Z\" level=error msg=m k=1\n");
	setenv("TZ", "IST-5:30", 1);
	tzset();
	options.format = LOG_FORMAT_JSON;
	log_line(&options, LOG_LEVEL_ERROR, (struct timespec){.tv_sec = 1700000000}, "m",
		 FIELDS(LOG_U64("a", 1)), buf, sizeof(buf));
	cr_assert_str_eq(buf, "{\"a\":1,\"level\":\"error\",\"msg\":\"m\",\"time\":\"2023-11-15T03:"
			      "43:20+05:30\"}\n");
}

Test(log, long_lines_are_cut_and_whole)
{
	char *large = malloc(3 * LOG_LINE_MAX + 1);
	const char *line;

	for (size_t length = LOG_LINE_MAX - 120; length < LOG_LINE_MAX + 20; length++) {
		memset(large, '"', length / 2);
		large[length / 2] = '\0';
		line = text_of("m", FIELDS(LOG_STR("k", large), LOG_STR("l", "tail")));
		cr_assert_leq(strlen(line), LOG_LINE_MAX - 1);
		cr_assert_eq(strchr(line, '\n'), line + strlen(line) - 1);

		memset(large, 'x', length);
		large[length] = '\0';
		line = json_of("m", FIELDS(LOG_STR("k", large), LOG_STR("l", "tail")));
		cr_assert_leq(strlen(line), LOG_LINE_MAX - 1);
		cr_assert_str_eq(line + strlen(line) - 2, "}\n");
		/* an even number of quotes: no field is cut within its text */
		size_t quotes = 0;
		for (const char *c = line; *c != '\0'; c++)
			quotes += *c == '"';
		cr_assert_eq(quotes % 2, 0, "length %zu: %s", length, line + strlen(line) - 40);
	}
	free(large);
}

/* What does not fit is left out by whole keys; a text may be shorter. */
Test(log, no_key_is_cut)
{
	static const char *const known[] = {"aText", "first",        "level",
					    "msg",   "secondOfThem", "time"};
	struct log_options options = {.format = LOG_FORMAT_JSON};
	struct log_field fields[] = {LOG_STR("aText", "some words\nand more of them"),
				     LOG_U64("first", 12345),
				     LOG_STR("secondOfThem", "x y z"),
				     {.kind = LOG_FIELD_END}};

	for (size_t size = 64; size < 220; size++) {
		size_t length = log_line(&options, LOG_LEVEL_INFO, (struct timespec){0}, "message",
					 fields, buf, size);
		json_error_t error;
		json_t *line = json_loads(buf, 0, &error), *value;
		const char *key;

		cr_assert_lt(length, size);
		cr_assert_not_null(line, "%s: %s", buf, error.text);
		json_object_foreach(line, key, value)
		{
			size_t i = 0;

			while (i < sizeof(known) / sizeof(known[0]) && strcmp(known[i], key) != 0)
				i++;
			cr_assert_lt(i, sizeof(known) / sizeof(known[0]), "%s", buf);
		}
		cr_assert(size < 200 || json_object_size(line) == 6, "%s", buf);
		json_decref(line);
	}
}

static struct timespec zero_clock(void)
{
	return (struct timespec){0};
}

Test(log, levels)
{
	struct log_options options = {.level = LOG_LEVEL_WARNING, .disable_timestamp = true};
	char *out = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&out, &size);

	log_setup(&options);
	log_redirect(stream, zero_clock);
	log_info("not this");
	log_warning("this", LOG_U64("n", 1));
	log_error("and this");
	fclose(stream);
	cr_assert_str_eq(out, "level=warning msg=this n=1\nlevel=error msg=\"and this\"\n");
	log_redirect(NULL, NULL);
	free(out);
}

Test(log, level_names)
{
	static const struct {
		const char *text;
		int level;
	} cases[] = {{"trace", LOG_LEVEL_TRACE},
		     {"DEBUG", LOG_LEVEL_DEBUG},
		     {"info", LOG_LEVEL_INFO},
		     {"warn", LOG_LEVEL_WARNING},
		     {"warning", LOG_LEVEL_WARNING},
		     {"error", LOG_LEVEL_ERROR},
		     {"fatal", LOG_LEVEL_ERROR},
		     {"panic", LOG_LEVEL_ERROR},
		     {"loud", -1},
		     {"", -1}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum log_level level = LOG_LEVEL_INFO;
		int err = log_level_parse(cases[i].text, &level);

		cr_assert_eq(err == 0 ? (int)level : -1, cases[i].level, "%s", cases[i].text);
	}
}

/* Nobody reads: the node goes on, and says later what is missing. */
Test(log, a_pipe_that_nobody_reads_does_not_block, .timeout = 20)
{
	enum { LINES = 500 };
	int ends[2];
	char *text = NULL;
	size_t size = 0, written = 0, said = 0;

	cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
	cr_assert_geq(fcntl(ends[1], F_SETPIPE_SZ, 8192), 8192);
	FILE *out = fdopen(ends[1], "w"), *in = fdopen(ends[0], "r");
	log_redirect(out, NULL);
	for (int i = 0; i < LINES; i++)
		log_info("A line", LOG_U64("number", (uint64_t)i));
	cr_assert_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	for (char line[LOG_LINE_MAX]; fgets(line, sizeof(line), in);)
		written += strstr(line, "A line") != NULL;
	cr_assert(written > 0 && written < LINES, "%zu", written);
	clearerr(in);

	log_info("Somebody reads again");
	cr_assert_gt(getline(&text, &size, in), 0);
	char *lines = strstr(text, " lines=");
	cr_assert(strstr(text, "level=warning") && lines, "%s", text);
	cr_assert_eq(sscanf(lines, " lines=%zu", &said), 1);
	cr_assert_eq(written + said, LINES);
	cr_assert_gt(getline(&text, &size, in), 0);
	cr_assert(strstr(text, "Somebody reads again"), "%s", text);

	log_redirect(NULL, NULL);
	free(text);
	fclose(in);
	fclose(out);
}

/* A disk that is full takes half a line; once it has room, what is written begins a line of its
 * own. */
Test(log, a_full_disk_cuts_no_later_line)
{
	enum { LINES = 10, CUT = 200 };
	struct rlimit full, before;
	FILE *out = tmpfile();
	char *text = NULL;
	size_t size = 0;
	unsigned whole = 0, said = 0;

	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	full = (struct rlimit){CUT, before.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &full), 0);
	log_redirect(out, NULL);
	for (int i = 0; i < LINES; i++)
		log_info("A line", LOG_U64("number", (uint64_t)i));
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
	log_info("There is room");
	log_info("And again");
	log_redirect(NULL, NULL);

	rewind(out);
	while (getline(&text, &size, out) > 0 && strstr(text, "level=info msg=\"A line\" number="))
		whole++;
	cr_assert(whole > 0 && whole < LINES, "%u", whole);
	cr_assert_eq(ftell(out), CUT + 1, "%s", text); /* what was cut ends here */
	cr_assert_gt(getline(&text, &size, out), 0);
	cr_assert_eq(strncmp(text, "time=", 5), 0, "%s", text);
	cr_assert(strstr(text, "could not be written\" error=\"File too large\" lines="), "%s",
		  text);
	cr_assert_eq(sscanf(strstr(text, " lines="), " lines=%u", &said), 1);
	cr_assert_eq(whole + said, LINES);
	cr_assert_gt(getline(&text, &size, out), 0);
	cr_assert(strstr(text, "There is room"), "%s", text);
	cr_assert_gt(getline(&text, &size, out), 0);
	cr_assert(strstr(text, "And again"), "%s", text);
	free(text);
	fclose(out);
}
