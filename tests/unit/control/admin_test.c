/* admin_test.c - the control socket: requests, bounds, clients that never read, write or leave. */
#include "admin.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit/temp_path.h"

TestSuite(admin);

#define MS 1000000ull

struct bench {
	char folder[TEMP_PATH_MAX], path[TEMP_PATH_MAX + 16];
	struct admin *admin;
	uint64_t now_ns;
	unsigned requests;
	size_t answer_bytes; /* of the text in each answer; 0: the request's length */
};

static json_t *answer(void *context, const char *line, size_t length)
{
	struct bench *bench = context;
	json_t *result;
	char *text;

	bench->requests++;
	if (bench->answer_bytes == 0)
		return json_pack("{s:I}", "length", (json_int_t)length);
	text = malloc(bench->answer_bytes + 1);
	memset(text, 'x', bench->answer_bytes);
	text[bench->answer_bytes] = '\0';
	result = json_pack("{s:s}", "text", text);
	free(text);
	return result;
}

static void bench_open(struct bench *bench)
{
	char error[ERROR_LINE_MAX] = "";

	*bench = (struct bench){.now_ns = 1000 * MS};
	temp_path(bench->folder, "admin-XXXXXX");
	cr_assert(mkdtemp(bench->folder));
	/* The folder of the socket is made too. */
	snprintf(bench->path, sizeof(bench->path), "%s/run/a.sock", bench->folder);
	bench->admin = admin_open(bench->path, answer, bench, error);
	cr_assert(bench->admin, "%s", error);
}

static void bench_close(struct bench *bench)
{
	char folder[TEMP_PATH_MAX + 16];

	admin_close(bench->admin);
	unlink(bench->path);
	snprintf(folder, sizeof(folder), "%s/run", bench->folder);
	rmdir(folder);
	rmdir(bench->folder);
}

static int call(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, path);
	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0, "%s",
		     strerror(errno));
	return fd;
}

/* Turns until nothing is ready, as control's loop does. */
static void turns(struct bench *bench)
{
	struct pollfd ready = {.fd = admin_fd(bench->admin), .events = POLLIN};

	for (int i = 0; i < 10000 && poll(&ready, 1, 0) == 1; i++)
		admin_turn(bench->admin, bench->now_ns);
	cr_assert_eq(poll(&ready, 1, 0), 0, "it would spin");
}

static void say(int fd, const char *text)
{
	cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static size_t hear(int fd, char *buf, size_t size)
{
	ssize_t got = recv(fd, buf, size - 1, 0);

	if (got < 0)
		got = 0;
	buf[got] = '\0';
	return (size_t)got;
}

static bool ended(int fd)
{
	char byte;
	ssize_t got = recv(fd, &byte, 1, 0);

	return got == 0 || (got < 0 && errno == ECONNRESET);
}

/* Sends requests until no more fits, and takes the answers. */
static void pipeline(int fd)
{
	static const char lines[] = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm\nn\no\np\n";
	char text[65536];

	while (send(fd, lines, sizeof(lines) - 1, MSG_NOSIGNAL) > 0)
		;
	while (hear(fd, text, sizeof(text)) > 0)
		;
}

/* Each of the two has had its place in the order for longer than the third. */
Test(admin, who_asks_without_a_pause_starves_nobody)
{
	struct bench bench;
	char text[256];
	int busy[2], fd;

	bench_open(&bench);
	busy[0] = call(bench.path);
	busy[1] = call(bench.path);
	turns(&bench);
	pipeline(busy[0]);
	pipeline(busy[1]);
	fd = call(bench.path);
	say(fd, "abc\n");
	for (int turn = 0; turn < 4; turn++) {
		admin_turn(bench.admin, bench.now_ns);
		pipeline(busy[0]);
		pipeline(busy[1]);
	}
	cr_expect_gt(hear(fd, text, sizeof(text)), 0);
	cr_expect_str_eq(text, "{\"length\":3}\n");
	close(busy[0]);
	close(busy[1]);
	close(fd);
	bench_close(&bench);
}

Test(admin, answers_line_after_line)
{
	struct bench bench;
	char text[256];
	int fd;

	bench_open(&bench);
	fd = call(bench.path);
	turns(&bench);
	say(fd, "abc");
	turns(&bench);
	cr_assert_eq(bench.requests, 0, "a line is not over before its end");
	say(fd, "de\n");
	turns(&bench);
	hear(fd, text, sizeof(text));
	cr_assert_str_eq(text, "{\"length\":5}\n");
	say(fd, "\nx\n");
	turns(&bench);
	hear(fd, text, sizeof(text));
	cr_assert_str_eq(text, "{\"length\":0}\n{\"length\":1}\n");
	close(fd);
	turns(&bench);
	cr_assert_eq(admin_client_count(bench.admin), 0);
	bench_close(&bench);
}

Test(admin, a_turn_is_bounded_and_leaves_nothing_behind)
{
	struct bench bench;
	char requests[401];
	int fd;

	bench_open(&bench);
	fd = call(bench.path);
	for (int i = 0; i < 200; i++)
		memcpy(requests + 2 * i, "r\n", 2);
	requests[400] = '\0';
	admin_turn(bench.admin, bench.now_ns);
	say(fd, requests);
	admin_turn(bench.admin, bench.now_ns);
	cr_assert_leq(bench.requests, ADMIN_TURN_MAX);
	/* Answers that nobody takes stop it; it goes on when they are taken. */
	for (int i = 0; i < 200 && bench.requests < 200; i++) {
		turns(&bench);
		hear(fd, requests, sizeof(requests));
	}
	cr_assert_eq(bench.requests, 200, "%u", bench.requests);
	close(fd);
	bench_close(&bench);
}

Test(admin, a_request_without_end_is_refused)
{
	struct bench bench;
	char line[ADMIN_REQUEST_MAX + 1], text[256];
	int fd;

	bench_open(&bench);
	fd = call(bench.path);
	memset(line, 'a', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	say(fd, line);
	turns(&bench);
	cr_assert_gt(hear(fd, text, sizeof(text)), 0);
	cr_assert(strstr(text, "too long"));
	cr_assert(ended(fd));
	cr_assert_eq(bench.requests, 0);
	close(fd);
	bench_close(&bench);
}

Test(admin, an_answer_beyond_the_bound_is_none)
{
	struct bench bench;
	char text[256];
	int fd;

	bench_open(&bench);
	bench.answer_bytes = ADMIN_ANSWER_MAX;
	fd = call(bench.path);
	say(fd, "r\n");
	turns(&bench);
	cr_assert_gt(hear(fd, text, sizeof(text)), 0);
	cr_assert(strstr(text, "too long"));
	close(fd);
	bench_close(&bench);
}

Test(admin, who_never_reads_gets_one_answer_and_an_end)
{
	struct bench bench;
	int fd;

	bench_open(&bench);
	bench.answer_bytes = ADMIN_ANSWER_MAX / 2;
	fd = call(bench.path);
	say(fd, "r\nr\nr\n");
	turns(&bench);
	cr_assert_eq(bench.requests, 1, "no second answer while the first one waits");
	cr_assert_eq(admin_next_deadline(bench.admin), bench.now_ns + ADMIN_CLIENT_MS * MS);
	bench.now_ns += (ADMIN_CLIENT_MS - 1) * MS;
	admin_tick(bench.admin, bench.now_ns);
	cr_assert_eq(admin_client_count(bench.admin), 1);
	bench.now_ns += MS;
	admin_tick(bench.admin, bench.now_ns);
	cr_assert_eq(admin_client_count(bench.admin), 0);
	cr_assert_eq(admin_next_deadline(bench.admin), UINT64_MAX, "an idle socket wakes nobody");
	cr_assert_eq(admin_dropped(bench.admin), 1);
	close(fd);
	bench_close(&bench);
}

Test(admin, a_slow_reader_gets_all_of_it)
{
	struct bench bench;
	char buf[65536];
	size_t got, all = 0;
	int fd;

	bench_open(&bench);
	bench.answer_bytes = ADMIN_ANSWER_MAX / 2;
	fd = call(bench.path);
	say(fd, "r\n");
	turns(&bench);
	while ((got = hear(fd, buf, sizeof(buf))) > 0) {
		all += got;
		turns(&bench);
	}
	cr_assert_eq(all, bench.answer_bytes + strlen("{\"text\":\"\"}\n"));
	close(fd);
	bench_close(&bench);
}

Test(admin, who_never_writes_or_drips_is_dropped)
{
	struct bench bench;
	int silent, drip;

	bench_open(&bench);
	silent = call(bench.path);
	drip = call(bench.path);
	turns(&bench);
	for (int i = 0; i < 10; i++) {
		bench.now_ns += (ADMIN_CLIENT_MS / 10) * MS;
		if (i < 9)
			say(drip, "a");
		turns(&bench);
		admin_tick(bench.admin, bench.now_ns);
	}
	cr_assert_eq(admin_client_count(bench.admin), 0);
	cr_assert(ended(silent));
	cr_assert(ended(drip));
	close(silent);
	close(drip);
	bench_close(&bench);
}

Test(admin, no_number_of_idle_clients_locks_another_out)
{
	struct bench bench;
	int fds[3 * ADMIN_CLIENTS_MAX], last;
	char text[256];

	bench_open(&bench);
	for (int i = 0; i < 3 * ADMIN_CLIENTS_MAX; i++) {
		fds[i] = call(bench.path);
		bench.now_ns += MS;
		turns(&bench);
		cr_assert_leq(admin_client_count(bench.admin), ADMIN_CLIENTS_MAX);
	}
	last = call(bench.path);
	say(last, "r\n");
	turns(&bench);
	cr_assert_gt(hear(last, text, sizeof(text)), 0);
	cr_assert(ended(fds[0]));
	cr_assert_eq(admin_dropped(bench.admin), 2 * ADMIN_CLIENTS_MAX + 1);
	for (int i = 0; i < 3 * ADMIN_CLIENTS_MAX; i++)
		close(fds[i]);
	close(last);
	bench_close(&bench);
}

Test(admin, the_file_is_private_and_goes_with_us)
{
	struct bench bench;
	struct stat file;

	bench_open(&bench);
	cr_assert_eq(stat(bench.path, &file), 0);
	cr_assert_eq(file.st_mode & 07777, 0600, "%o", file.st_mode);
	admin_close(bench.admin);
	bench.admin = NULL;
	cr_assert_neq(stat(bench.path, &file), 0);
	bench_close(&bench);
}

Test(admin, a_stale_socket_is_replaced_and_nothing_else)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char error[ERROR_LINE_MAX];
	struct bench bench;
	struct stat file;
	int fd;

	bench_open(&bench);
	cr_assert_null(admin_open(bench.path, answer, &bench, error), "somebody listens there");
	cr_assert(strstr(error, "another m57"), "%s", error);
	admin_close(bench.admin);

	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	strcpy(address.sun_path, bench.path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	bench.admin = admin_open(bench.path, answer, &bench, error);
	cr_assert(bench.admin, "%s", error);

	/* Our file was replaced by somebody's: it is not ours to remove. */
	unlink(bench.path);
	fd = open(bench.path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	admin_close(bench.admin);
	cr_assert_eq(stat(bench.path, &file), 0);

	bench.admin = admin_open(bench.path, answer, &bench, error);
	cr_assert_null(bench.admin);
	cr_assert(strstr(error, "no socket"), "%s", error);
	cr_assert_eq(stat(bench.path, &file), 0, "a file that is no socket stays");
	bench_close(&bench);
}

Test(admin, a_path_that_cannot_be_is_one_line)
{
	char error[ERROR_LINE_MAX], longest[200];

	cr_assert_null(admin_open("/nonexistent/a/b.sock", answer, NULL, error));
	cr_assert(strstr(error, "m57.ctl"), "%s", error);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	cr_assert_null(admin_open(longest, answer, NULL, error));
	cr_assert(strstr(error, "too long"), "%s", error);
}
