/*
 * main.c - m57ctl: asks the running daemon over its unix socket, and prints the answer as a table
 * or as JSON. What can be asked and how, the daemon judges (control/admin_commands.c); "help" where
 * none runs is this program's copy of the table. An error is text on stderr for people; with -json
 * it is an object on stdout, too, so that whoever reads JSON there never finds nothing.
 *
 * Exit status:
 *	0  answered
 *	1  the daemon says no: it cannot be done, no such command, or not with these arguments
 *	2  wrong flags of m57ctl's own, no command, or one that cannot be sent
 *	3  no daemon answers
 */
#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "ctl/print.h"
#include "limits.h"
#include "standard_fds.h"

#define SOCKETS            "/run/m57/*.sock"
#define WAIT_S             15 /* for an answer */
#define INTERVAL_DEFAULT_S 1
#define INTERVAL_MAX_S     3600

enum status { STATUS_DONE, STATUS_REFUSED, STATUS_USAGE, STATUS_NO_DAEMON };

struct command_line {
	const char *socket;
	bool json, pretty, help;
	double interval_s; /* below 0: not given */
	const char *command;
	json_t *arguments;
	bool unsendable; /* no daemon would take it */
	char *error;     /* the last one that was said; NULL: none */
};

static void usage(FILE *out)
{
	fputs("Usage: m57ctl [-socket PATH] [-json [-pretty]] COMMAND [ARGUMENTS]\n"
	      "  m57ctl help lists the commands.\n"
	      "  -socket PATH      of the daemon; without it the one socket in /run/m57\n"
	      "  -json, -pretty    the answer as JSON, in one line or in many; for an error, "
	      "which\n"
	      "                    is on stderr as ever, {\"error\": TEXT, \"status\": EXIT "
	      "STATUS}\n"
	      "  -interval SECONDS drops, counters: rates over that time (drops: 1); 0: none\n"
	      "Exit status: 0 done, 1 refused by the daemon, 2 wrong usage, 3 no daemon answers.\n",
	      out);
}

/* For who has no daemon to ask. */
static void commands_print(FILE *out)
{
	fputs("Commands:\n", out);
#define COMMAND(name, arguments, description, ...)                                                 \
	fprintf(out, "  %-24s %-41s %s\n", name, arguments, description);
#include "admin_commands.def"
#undef COMMAND
}

/* --- errors ------------------------------------------------------------------------------------
 */

static void error_keep(struct command_line *line, const char *text)
{
	free(line->error);
	line->error = strdup(text);
}

/* Says it on stderr, and keeps it for error_print(). */
static void __attribute__((format(printf, 2, 3)))
error_say(struct command_line *line, const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	error_keep(line, text ? text : "no memory");
	fprintf(stderr, "m57ctl: %s\n", text ? text : "no memory");
	free(text);
}

static void json_print(const struct command_line *line, const json_t *value)
{
	json_dumpf(value, stdout,
		   JSON_ENCODE_ANY | JSON_REAL_PRECISION(12) |
			   (line->pretty ? JSON_INDENT(2) : JSON_COMPACT));
	putchar('\n');
}

/* What was said, as JSON. */
static void error_print(const struct command_line *line, enum status status)
{
	json_t *text = json_string(line->error), *error;

	if (!text) /* a path or a flag need not be UTF-8 */
		text = json_string("no text in UTF-8");
	error = json_pack("{s:o,s:i}", "error", text, "status", status);
	json_print(line, error);
	json_decref(error);
}

/* --- command line ------------------------------------------------------------------------------
 */

/* Is argv[*at] this flag? Its value is behind "=" or the next word. */
static bool value_flag(const char *name, int argc, char **argv, int *at, const char **value)
{
	const char *text = argv[*at] + (argv[*at][1] == '-' ? 2 : 1);
	size_t length = strlen(name);

	if (strncmp(text, name, length) != 0 || (text[length] != '\0' && text[length] != '='))
		return false;
	if (text[length] == '=')
		*value = text + length + 1;
	else
		*value = *at + 1 < argc ? argv[++*at] : NULL;
	return true;
}

static bool bool_flag(const char *name, const char *argument)
{
	return strcmp(argument + (argument[1] == '-' ? 2 : 1), name) == 0;
}

static bool interval_read(const char *text, double *seconds)
{
	char *end;

	if (!text)
		return false;
	*seconds = strtod(text, &end);
	return end != text && *end == '\0' && *seconds >= 0 && *seconds <= INTERVAL_MAX_S;
}

/* One word, and the value behind it. False: it cannot be. */
static bool word_read(struct command_line *line, int argc, char **argv, int *at)
{
	const char *word = argv[*at], *value;
	bool flag = word[0] == '-' && word[1];

	if (flag && value_flag("socket", argc, argv, at, &line->socket))
		return line->socket && line->socket[0];
	if (flag && value_flag("interval", argc, argv, at, &value))
		return interval_read(value, &line->interval_s);
	if (flag && bool_flag("json", word))
		line->json = true;
	else if (flag && bool_flag("pretty", word))
		line->json = line->pretty = true;
	else if (flag && (bool_flag("help", word) || bool_flag("h", word)))
		line->help = true;
	else if (line->command)
		return json_array_append_new(line->arguments, json_string(word)) == 0;
	else if (flag)
		return false;
	else
		line->command = word;
	return true;
}

/* Commands whose answers are counts at a time, so that two of them give rates. */
static bool is_counting(const char *command)
{
	return strcmp(command, "drops") == 0 || strcmp(command, "counters") == 0;
}

/* Our flags may stand anywhere, -json behind a wrong one too; all else is the daemon's. */
static bool command_line_read(struct command_line *line, int argc, char **argv)
{
	const char *wrong = NULL;

	line->interval_s = -1;
	line->arguments = json_array();
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];

		if (!word_read(line, argc, argv, &i) && !wrong)
			wrong = word;
	}
	if (!wrong && line->command && line->interval_s >= 0 && !is_counting(line->command))
		wrong = "-interval";
	if (wrong)
		error_say(line, "wrong usage: %s", wrong);
	else if (!line->command && !line->help)
		error_say(line, "no command");
	return !wrong && (line->command || line->help);
}

/* --- the daemon --------------------------------------------------------------------------------
 */

static bool any_socket(void)
{
	glob_t found;
	bool any = glob(SOCKETS, 0, NULL, &found) == 0;

	if (any)
		globfree(&found);
	return any;
}

/* Their paths are a line each. */
static void sockets_say(struct command_line *line, const glob_t *found)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	for (size_t i = 0; out && i < found->gl_pathc; i++)
		fprintf(out, "\n  %s", found->gl_pathv[i]);
	if (out)
		fclose(out);
	error_say(line, "more than one socket; choose by -socket:%s", text ? text : "");
	free(text);
}

/* The one socket there is. The caller frees it; NULL with a line said. */
static char *socket_find(struct command_line *line)
{
	char *path = NULL;
	glob_t found;

	if (glob(SOCKETS, 0, NULL, &found) != 0) {
		error_say(line, "no socket in /run/m57: m57 does not run, may not be asked by this "
				"user, or has m57.ctl set (-socket PATH)");
		return NULL;
	}
	if (found.gl_pathc == 1)
		path = strdup(found.gl_pathv[0]);
	else
		sockets_say(line, &found);
	globfree(&found);
	return path;
}

static int fail(struct command_line *line, const char *what)
{
	error_say(line, "%s: %s", line->socket, what);
	return -1;
}

static int daemon_connect(struct command_line *line)
{
	const char *path = line->socket;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval wait = {.tv_sec = WAIT_S};
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return fail(line, strerror(ENAMETOOLONG));
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(line, strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		fail(line, errno == ECONNREFUSED ? "nobody listens there: m57 has ended"
						 : strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

/* The daemon may hang up meanwhile, which is an answer too, and no reason to die by SIGPIPE. */
static bool line_send(int fd, char *text)
{
	size_t length = strlen(text), sent = 0;

	text[length++] = '\n'; /* in the place of the terminator */
	while (sent < length) {
		ssize_t step = send(fd, text + sent, length - sent, MSG_NOSIGNAL);

		if (step < 0 && errno == EINTR)
			continue;
		if (step <= 0)
			return false;
		sent += (size_t)step;
	}
	return true;
}

static json_t *answer_read(int fd)
{
	FILE *stream = fdopen(fd, "r");
	json_t *answer = NULL;
	json_error_t error;

	if (!stream) {
		close(fd);
		return NULL;
	}
	answer = json_loadf(stream, JSON_DISABLE_EOF_CHECK, &error);
	fclose(stream);
	return answer;
}

/* One request on a connection of its own. NULL with a line said. */
static json_t *ask(struct command_line *line, json_t *arguments)
{
	json_t *request = json_pack("{s:s,s:O}", "command", line->command, "arguments", arguments);
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	json_t *answer = NULL;
	int fd = -1;

	json_decref(request);
	line->unsendable = !text || strlen(text) >= ADMIN_REQUEST_MAX - 1;
	if (line->unsendable)
		fail(line, "the command is too long, or is no text in UTF-8");
	else
		fd = daemon_connect(line);
	if (fd >= 0 && line_send(fd, text))
		answer = answer_read(fd);
	else if (fd >= 0)
		close(fd);
	if (fd >= 0 && !answer)
		fail(line, "no answer");
	free(text);
	return answer;
}

/* --- commands of more than one request ---------------------------------------------------------
 */

/* Adds to rows of a list what is behind the last one, until all are there. NULL: they will not be.
 */
static json_t *rest_ask(struct command_line *line, json_t *result)
{
	json_t *rows = json_incref(json_object_get(result, "rows"));

	while (json_is_true(json_object_get(result, "more"))) {
		json_t *arguments = json_pack("[s,O]", "-after", json_object_get(result, "last"));
		json_t *answer = ask(line, arguments);
		json_t *next = json_incref(json_object_get(answer, "result"));

		json_decref(arguments);
		json_decref(answer);
		json_decref(result);
		result = next;
		if (json_array_extend(rows, json_object_get(result, "rows")) != 0) {
			json_decref(rows); /* half a list would pass for the whole */
			rows = NULL;
			break;
		}
	}
	json_decref(result);
	return rows;
}

static double interval_of(const struct command_line *line)
{
	if (line->interval_s >= 0)
		return line->interval_s;
	return strcmp(line->command, "drops") == 0 ? INTERVAL_DEFAULT_S : 0;
}

/* Rows of counters, with rates between two answers when there is an interval. */
static json_t *rates_ask(struct command_line *line, json_t *before)
{
	double seconds = interval_of(line);
	struct timespec pause = {.tv_sec = (time_t)seconds};
	json_t *answer, *after, *rows, *row;
	size_t i;

	if (seconds == 0) {
		rows = json_incref(json_object_get(before, "rows"));
		json_decref(before);
		return rows;
	}
	pause.tv_nsec = (long)((seconds - (double)pause.tv_sec) * 1e9);
	while (nanosleep(&pause, &pause) != 0 && errno == EINTR)
		;
	answer = ask(line, line->arguments);
	after = json_object_get(answer, "result");
	rows = json_incref(json_object_get(after, "rows"));
	seconds = (double)(json_integer_value(json_object_get(after, "atNs")) -
			   json_integer_value(json_object_get(before, "atNs"))) /
		  1e9;
	json_array_foreach(rows, i, row)
	{
		const json_t *old = json_array_get(json_object_get(before, "rows"), i);
		double more = (double)(json_integer_value(json_object_get(row, "count")) -
				       json_integer_value(json_object_get(old, "count")));

		json_object_set_new(row, "perSecond", json_real(seconds > 0 ? more / seconds : 0));
	}
	json_decref(answer);
	json_decref(before);
	return rows;
}

/* --- print -------------------------------------------------------------------------------------
 */

/* Text leaves out counters that never moved, and has the description last. */
static json_t *counters_shorten(const json_t *rows)
{
	json_t *shown = json_array(), *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		json_t *help = json_incref(json_object_get(row, "help"));

		json_object_del(row, "help");
		json_object_set_new(row, "help", help);
		if (json_integer_value(json_object_get(row, "count")) != 0)
			json_array_append(shown, row);
	}
	return shown;
}

/* What a table has no room for; print-tunnel and -json have it. */
static void hosts_shorten(json_t *rows)
{
	static const char *const left_out[] = {"remoteAddrs",       "handshake",
					       "sentSecondsAgo",    "messageCounter",
					       "currentRelaysToMe", "currentRelaysThroughMe"};
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const json_t *via = json_array_get(json_object_get(row, "currentRelaysToMe"), 0);

		if (json_is_string(via))
			json_object_set_new(row, "currentRemote",
					    json_sprintf("relay %s", json_string_value(via)));
		for (size_t j = 0; j < sizeof(left_out) / sizeof(left_out[0]); j++)
			json_object_del(row, left_out[j]);
	}
}

/* As Nebula's console: "ADDR: {...}". */
static void addrmap_print(const json_t *rows)
{
	const json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		printf("%s: ", json_string_value(json_object_get(row, "vpnAddr")));
		json_dumpf(json_object_get(row, "addrMap"), stdout, JSON_COMPACT);
		putchar('\n');
	}
}

static void print_result(const struct command_line *line, json_t *result)
{
	if (line->json) {
		json_print(line, result);
	} else if (is_counting(line->command)) {
		json_t *shown = counters_shorten(result);

		if (json_array_size(shown) == 0)
			puts("none");
		print_table(shown, stdout);
		json_decref(shown);
	} else if (strcmp(line->command, "why") == 0) {
		print_why(result, stdout);
	} else if (strcmp(line->command, "list-lighthouse-addrmap") == 0) {
		addrmap_print(result);
	} else if (json_is_array(result)) {
		if (strcmp(line->command, "list-hostmap") == 0)
			hosts_shorten(result);
		print_table(result, stdout);
	} else {
		print_value(result, stdout);
	}
}

static enum status run(struct command_line *line)
{
	json_t *answer = ask(line, line->arguments), *result;

	if (!answer)
		return line->unsendable ? STATUS_USAGE : STATUS_NO_DAEMON;
	if (!json_is_true(json_object_get(answer, "ok"))) {
		const char *error = json_string_value(json_object_get(answer, "error"));

		error = error ? error : "not understood";
		error_keep(line, error);
		print_lines(error, stderr);
		json_decref(answer);
		return STATUS_REFUSED;
	}
	result = json_incref(json_object_get(answer, "result"));
	json_decref(answer);
	if (json_object_get(result, "more"))
		result = rest_ask(line, result);
	else if (json_object_get(result, "atNs"))
		result = rates_ask(line, result);
	if (!result && !line->error)
		fail(line, "no answer");
	if (!result)
		return STATUS_NO_DAEMON;
	print_result(line, result);
	json_decref(result);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return STATUS_DONE;
	error_say(line, "the answer could not be written: %s", strerror(errno));
	return STATUS_REFUSED;
}

int main(int argc, char **argv)
{
	standard_fds_open();

	struct command_line line = {0};
	enum status status = STATUS_USAGE;
	char *found = NULL;

	if (!command_line_read(&line, argc, argv)) {
		usage(stderr);
		goto out;
	}
	if (line.help && !line.command) {
		usage(stdout);
		status = STATUS_DONE;
		goto out;
	}
	if (line.help) { /* -help of any command is "help COMMAND" */
		json_array_clear(line.arguments);
		json_array_append_new(line.arguments, json_string(line.command));
		line.command = "help";
	}
	if (!line.socket && strcmp(line.command, "help") == 0 && !any_socket()) {
		usage(stdout);
		commands_print(stdout);
		status = STATUS_DONE;
		goto out;
	}
	if (!line.socket)
		line.socket = found = socket_find(&line);
	status = line.socket ? run(&line) : STATUS_NO_DAEMON;
out:
	if (line.json && line.error)
		error_print(&line, status);
	free(line.error);
	free(found);
	json_decref(line.arguments);
	return (int)status;
}
