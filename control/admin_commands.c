/*
 * admin_commands.c - the table of commands, and from a request to the answer of its row; see
 * admin_commands.h. What the rows do: admin_status.c (the node), admin_hosts.c (hosts and tunnels),
 * admin_refused.c ("list-refused"), admin_why.c and admin_why_host.c ("why").
 */
#include "admin_commands.h"

#include <stdio.h>
#include <string.h>

#include "log.h"
#include "utf8.h"

#define ARGUMENTS_MAX  12  /* of one request; "why" with all its ports has 5 */
#define LOG_CHANGE_MAX 160 /* bytes of the arguments in the log */

static json_t *run_help(struct admin_world *world, const struct admin_arguments *arguments,
			char error[ERROR_LINE_MAX])
{
	json_t *list = json_array();

	for (size_t i = 0; i < admin_commands_count; i++) {
		const struct admin_command *command = &admin_commands[i];

		if (arguments->count == 0 || strcmp(arguments->positional[0], command->name) == 0)
			json_array_append_new(list,
					      json_pack("{s:s,s:s,s:s}", "name", command->name,
							"arguments", command->arguments,
							"description", command->description));
	}
	if (json_array_size(list) > 0)
		return list;
	json_decref(list);
	snprintf(error, ERROR_LINE_MAX, "did not understand: %.60s", arguments->positional[0]);
	return NULL;
}

/* --- the table ---------------------------------------------------------------------------------
 */

const struct admin_command admin_commands[] = {
#define COMMAND(name, arguments, description, flags, least, most, run)                             \
	{name, arguments, description, flags, least, most, run},
#include "admin_commands.def"
#undef COMMAND
};
const size_t admin_commands_count = sizeof(admin_commands) / sizeof(admin_commands[0]);
/* --- requests ----------------------------------------------------------------------------------
 */

static const struct admin_command *command_find(const char *name)
{
	for (size_t i = 0; i < admin_commands_count; i++)
		if (strcmp(admin_commands[i].name, name) == 0)
			return &admin_commands[i];
	return NULL;
}

/* "-name" or "--name"; what follows a '=' in *value. */
static bool flag_is(const char *argument, const char *name, const char **value)
{
	size_t length = strlen(name);

	argument += argument[1] == '-' ? 2 : 1;
	if (strncmp(argument, name, length) != 0 ||
	    (argument[length] != '\0' && argument[length] != '='))
		return false;
	*value = argument[length] == '=' ? argument + length + 1 : NULL;
	return true;
}

/* Takes one flag of command; *at moves on to its value, if that is a word of its own. */
static bool flag_take(const struct admin_command *command, int argc, char **argv, int *at,
		      struct admin_arguments *out)
{
	const struct {
		enum admin_flag takes;
		const char *name;
		const char **text;
		bool *truth;
	} flags[] = {
		{ADMIN_ADDRESS, "address", &out->address, NULL},
		{ADMIN_AFTER, "after", &out->after, NULL},
		{ADMIN_LOCAL_ONLY, "local-only", NULL, &out->local_only},
		{ADMIN_RAW, "raw", NULL, &out->raw},
	};
	const char *value;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!(command->flags & flags[i].takes) ||
		    !flag_is(argv[*at], flags[i].name, &value))
			continue;
		if (flags[i].truth) {
			*flags[i].truth = true;
			return !value;
		}
		if (!value && *at + 1 < argc)
			value = argv[++*at];
		*flags[i].text = value;
		return value != NULL;
	}
	return false;
}

/* Flags may stand anywhere. False with one line in error. */
static bool arguments_read(const struct admin_command *command, int argc, char **argv,
			   struct admin_arguments *out, char error[ERROR_LINE_MAX])
{
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < argc; i++) {
		if (argv[i][0] == '-' && argv[i][1]) {
			if (!flag_take(command, argc, argv, &i, out))
				goto usage;
		} else {
			if (out->count == command->most)
				goto usage;
			out->positional[out->count++] = argv[i];
		}
	}
	if (out->count >= command->least)
		return true;
usage:
	snprintf(error, ERROR_LINE_MAX, "usage: %s %s", command->name, command->arguments);
	return false;
}

/* Pointers into arguments. -1: not a list of at most ARGUMENTS_MAX texts. */
static int arguments_list(json_t *arguments, char *argv[ARGUMENTS_MAX])
{
	size_t count = json_array_size(arguments);

	if (arguments && !json_is_array(arguments))
		return -1;
	if (count > ARGUMENTS_MAX)
		return -1;
	for (size_t i = 0; i < count; i++) {
		json_t *text = json_array_get(arguments, i);

		if (!json_is_string(text))
			return -1;
		argv[i] = (char *)json_string_value(text);
	}
	return (int)count;
}

/* Tunnels do not come and go without a trace of who wanted it. */
static void log_change(const char *name, int argc, char *const argv[])
{
	char text[LOG_CHANGE_MAX] = "";
	size_t used = 0;

	for (int i = 0; i < argc && used < sizeof(text); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i > 0 ? " " : "",
					 argv[i]);
	log_info("Told by m57ctl", LOG_STR("command", name), LOG_STR("arguments", text));
}

static json_t *result_of(struct admin_world *world, json_t *request, char error[ERROR_LINE_MAX])
{
	const char *name = json_string_value(json_object_get(request, "command"));
	const struct admin_command *command;
	struct admin_arguments arguments;
	char *argv[ARGUMENTS_MAX];
	int argc = arguments_list(json_object_get(request, "arguments"), argv);

	if (!name || argc < 0) {
		snprintf(error, ERROR_LINE_MAX,
			 "a request is {\"command\": NAME, \"arguments\": [TEXT...]}");
		return NULL;
	}
	command = command_find(name);
	if (!command) {
		snprintf(error, ERROR_LINE_MAX, "did not understand: %.60s", name);
		return NULL;
	}
	if (!arguments_read(command, argc, argv, &arguments, error))
		return NULL;
	json_t *result = command->run(world, &arguments, error);

	if (result && (command->flags & ADMIN_CHANGES))
		log_change(name, argc, argv);
	/* cppcheck-suppress returnDanglingLifetime */
	return result;
}

json_t *admin_answer(void *context, const char *line, size_t length)
{
	json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
	char error[ERROR_LINE_MAX] = "";
	json_t *result = NULL, *answer;

	if (!json_is_object(request))
		snprintf(error, sizeof(error), "not a JSON object");
	else
		result = result_of(context, request, error);
	utf8_mend(error);
	if (result)
		answer = json_pack("{s:b,s:o}", "ok", 1, "result", result);
	else
		answer = json_pack("{s:b,s:s}", "ok", 0, "error",
				   error[0] ? error : "out of memory");
	if (!answer) /* a text that was cut inside a character */
		answer = json_pack("{s:b,s:s}", "ok", 0, "error", "the request was not understood");
	json_decref(request);
	return answer;
}
