/*
 * main.c - Criterion's main, in a folder of its own that goes with it.
 *
 * A test that crashes, or whose program is killed, removes nothing itself. So another process waits
 * for the end of this one, however it ends, and removes the folder then, with the socket that
 * Criterion leaves behind. TMPDIR names the folder; temp_path.h makes paths in it.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/temp_path.h"

/* A test that outlives the program for a moment may still write while its folder is removed. */
#define REMOVE_TRIES 50
#define REMOVE_US    20000

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	remove(path);
	return 0;
}

/* Ends when alive, the reading end of a pipe, says that the program is gone. */
static void clean_up(pid_t program, const char *folder, int alive)
{
	char socket[64], byte;

	setsid(); /* what ends the program's group does not end this */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		close(fd);
	while (read(alive, &byte, 1) != 0)
		;
	for (int i = 0; i < REMOVE_TRIES && access(folder, F_OK) == 0; i++) {
		if (i > 0)
			usleep(REMOVE_US);
		nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	}
	snprintf(socket, sizeof(socket), "/tmp/criterion_%d.sock", (int)program);
	unlink(socket);
	_exit(0);
}

int main(int argc, char **argv)
{
	struct criterion_test_set *tests = criterion_initialize();
	char folder[TEMP_PATH_MAX];
	int alive[2], status = 0;
	pid_t cleaner, self = getpid();

	temp_path(folder, "m57-unit-XXXXXX");
	if (pipe2(alive, O_CLOEXEC) != 0 || mkdtemp(folder) == NULL || (cleaner = fork()) < 0) {
		perror(folder);
		return 1;
	}
	if (cleaner == 0) {
		close(alive[1]);
		clean_up(self, folder, alive[0]);
	}
	close(alive[0]);
	setenv("TMPDIR", folder, 1);
	if (criterion_handle_args(argc, argv, true))
		status = !criterion_run_all_tests(tests);
	criterion_finalize(tests);
	close(alive[1]);
	waitpid(cleaner, NULL, 0);
	return status;
}
