/*
 * main.c - m57's command line: Nebula's flags and exit codes (PROTOCOL.md 9.1).
 *
 *	0  a clean end, -help, -version, or -test without errors
 *	1  the configuration or the start failed
 *	2  wrong flags, or the tun, the socket or a worker's ring failed while running
 */
#include <linux/limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cert_tool/flags.h"
#include "config/check.h"
#include "daemon.h"
#include "dataplane.h"
#include "generation.h"
#include "log.h"
#include "standard_fds.h"
#include "system/signals.h"

struct command_line {
	const char *config;
	bool test, strict, version, help;
};

/* Keys live in this process: no core files, and no debugger of another user. */
static void dumps_forbid(void)
{
	const struct rlimit none = {0, 0};

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
}

static int version_print(void)
{
	static const char *const ciphers[AEAD_CIPHERS] = {
		[AEAD_AES256GCM] = "AES-256-GCM", [AEAD_CHACHA20POLY1305] = "ChaCha20-Poly1305"};
	char error[ERROR_LINE_MAX] = "";
	enum io_tier tier = dataplane_probe_tier(error);

	aead_select();
	printf("Version: %s\n", M57_VERSION);
	for (enum aead_cipher c = 0; c < AEAD_CIPHERS; c++) {
		const struct aead_backend *chosen = aead_chosen(c);
		bool code_path = chosen->architecture && chosen->architecture[0];

		printf("%s: %s%s%s, %u MB/s\n", ciphers[c], chosen->name, code_path ? " " : "",
		       code_path ? chosen->architecture : "", aead_chosen_speed(c));
	}
	printf("io_uring: %s%s%s\n", dataplane_tier_name(tier), error[0] ? ", " : "", error);
	return 0;
}

/* As Nebula since 1.11: config.yaml, then config.yml, next to the executable. */
static const char *config_beside_executable(char path[PATH_MAX])
{
	static const char *const names[] = {"config.yaml", "config.yml"};
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);

	if (length <= 0)
		return NULL;
	path[length] = '\0';

	char *name = strrchr(path, '/') + 1;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (snprintf(name, (size_t)(path + PATH_MAX - name), "%s", names[i]) <
			    path + PATH_MAX - name &&
		    access(path, R_OK) == 0)
			return path;
	}
	return NULL;
}

static int run(const struct command_line *line)
{
	struct generation *generation =
		generation_load(line->config, line->strict, time(NULL), NULL);

	if (!generation) {
		fprintf(stderr, "out of memory\n");
		return 1;
	}
	if (generation->config)
		log_setup(&generation->config->logging);
	findings_print(&generation->findings, stderr);
	if (generation->config)
		return daemon_run(generation, line->config, line->strict);
	generation_free(generation);
	return 1;
}

int main(int argc, char **argv)
{
	standard_fds_open();

	struct command_line line = {0};
	const struct flag flags[] = {
		{"config", FLAG_STRING, &line.config,
		 "Path to either a file or directory to load configuration from", NULL},
		{"help", FLAG_BOOL, &line.help, "Print command line usage", NULL},
		{"strict", FLAG_BOOL, &line.strict,
		 "Treat every warning about the config as an error", NULL},
		{"test", FLAG_BOOL, &line.test,
		 "Test the config without touching the network. Non zero exit indicates a faulty "
		 "config",
		 NULL},
		{"version", FLAG_BOOL, &line.version, "Print version", NULL},
	};
	const size_t count = sizeof(flags) / sizeof(flags[0]);
	char error[256], beside[PATH_MAX];
	enum flags_result result =
		flags_parse(flags, count, argc - 1, argv + 1, error, sizeof(error));

	if (result != FLAGS_OK || line.help) {
		if (result == FLAGS_ERROR)
			fprintf(stderr, "%s\n", error);
		fprintf(stderr, "Usage of %s:\n", argv[0]);
		flags_print(flags, count);
		return result == FLAGS_ERROR ? 2 : 0;
	}
	if (!line.test && !line.version)
		signals_hold();
	dumps_forbid();
	if (sodium_init() < 0) {
		fprintf(stderr, "libsodium cannot be initialised: no source of random numbers\n");
		return 1;
	}
	if (line.version)
		return version_print();
	if (!line.config)
		line.config = config_beside_executable(beside);
	if (!line.config) {
		fprintf(stderr, "-config flag must be set\nUsage of %s:\n", argv[0]);
		flags_print(flags, count);
		return 1;
	}
	if (line.test)
		return check_all(line.config, line.strict, time(NULL), stderr);
	return run(&line);
}
