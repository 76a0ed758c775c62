/* main.c - m57-cert, a tool with the flags, files and exit codes of nebula-cert (PROTOCOL.md 3.8).
 */
#include <stdio.h>
#include <string.h>
#include <sodium.h>

#include "cert_tool/tool.h"
#include "standard_fds.h"

static const struct mode *const modes[] = {&mode_ca, &mode_keygen, &mode_sign, &mode_print,
					   &mode_verify};
#define MODE_COUNT (sizeof(modes) / sizeof(modes[0]))

static void help(void)
{
	fputs("Usage of " TOOL_NAME " <global flags> <mode>:\n"
	      "  Global flags:\n"
	      "    -version: Prints the version\n"
	      "    -h, -help: Prints this help message\n\n"
	      "  Modes:\n",
	      stderr);
	for (size_t i = 0; i < MODE_COUNT; i++)
		fprintf(stderr, "    %s <flags>: %s\n", modes[i]->name, modes[i]->summary);
}

int main(int argc, char **argv)
{
	standard_fds_open();

	bool version = false;
	const struct flag flags[] = {{.name = "version", .kind = FLAG_BOOL, .value = &version}};
	char error[TOOL_TEXT_MAX];
	int at = 1;

	if (sodium_init() < 0)
		return tool_error("libsodium does not start");
	while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0' &&
	       strcmp(argv[at], "--") != 0)
		at++; /* every global flag is a word of its own */
	switch (flags_parse(flags, 1, at - 1, argv + 1, error, sizeof(error))) {
	case FLAGS_OK:
		break;
	case FLAGS_HELP:
		help();
		return 0;
	case FLAGS_ERROR:
		fprintf(stderr, "%s\n", error);
		help();
		return 1;
	}
	if (version) {
		puts("Version: " M57_VERSION);
		return 0;
	}
	if (at >= argc) {
		tool_error("No mode was provided\n");
		help();
		return 1;
	}
	for (size_t i = 0; i < MODE_COUNT; i++)
		if (strcmp(argv[at], modes[i]->name) == 0)
			return modes[i]->run(argc - at - 1, argv + at + 1);
	return tool_error("unknown mode: %s", argv[at]);
}
