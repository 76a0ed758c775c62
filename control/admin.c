/*
 * admin.c - see admin.h.
 *
 * A client is in one of two states. READING: it has until deadline_ns to complete a line; only
 * EPOLLIN is watched. WRITING: an answer is on its way, it has until deadline_ns to take it; only
 * EPOLLOUT is watched, so whoever does not read is not heard either and cannot make us queue a
 * second answer. Deadlines are set when the state changes and not by progress: one byte a second
 * holds a place no longer than silence does.
 *
 * All places taken: the client whose state is oldest goes. So no number of idle connections locks
 * the operator out. Nor do those who ask without a pause: a turn that they use up ends behind the
 * client that had its last request, and the next turn begins there.
 */
#include "admin.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG          64
#define ACCEPT_TURN_MAX  64            /* connections accepted in one turn */
#define ACCEPT_PAUSE_NS  1000000000ull /* after accept() found no descriptor or memory */
#define READ_BYTES       ADMIN_REQUEST_MAX
#define CLIENT_NS        (ADMIN_CLIENT_MS * 1000000ull)
#define TEXT_TOO_LONG    "{\"ok\":false,\"error\":\"the answer is too long\"}"
#define TEXT_REQUEST_MAX "{\"ok\":false,\"error\":\"the request is too long\"}"

struct client {
	int fd; /* -1: free place */
	uint64_t deadline_ns;
	size_t used; /* of request */
	char *answer;
	size_t answer_bytes, sent; /* answer_bytes > 0: WRITING */
	bool last;                 /* the connection ends with this answer */
	bool ready;                /* in this turn */
	char request[READ_BYTES];
};

struct admin {
	int epoll_fd, listen_fd;
	bool paused; /* listen_fd is not watched until resume_ns */
	uint64_t resume_ns;
	admin_answer_fn *answer;
	void *context;
	struct stat file; /* of the socket we made */
	struct sockaddr_un address;
	size_t client_count;
	size_t first; /* place that the next turn begins with */
	uint64_t dropped;
	struct client *clients[ADMIN_CLIENTS_MAX]; /* made at the first connection of a place */
};

/* --- the socket --------------------------------------------------------------------------------
 */

/* Nobody listens there any more. Something else than a socket is never touched. */
static int stale_remove(const struct sockaddr_un *address)
{
	struct stat file;
	int fd, result;

	if (lstat(address->sun_path, &file) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(file.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	result = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : -errno;
	close(fd);
	if (result == -ENOENT)
		return 0;
	if (result != -ECONNREFUSED)
		return -EADDRINUSE; /* somebody listens, with a full queue perhaps */
	return unlink(address->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

static void folder_make(const char *path)
{
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return;
	*slash = '\0';
	(void)mkdir(folder, 0755); /* what is wrong with it bind() will say */
}

/* fchmod() before bind(): the file is never there with another mode. */
static int listen_open(struct admin *admin)
{
	int result, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (fchmod(fd, 0600) != 0 ||
	    bind(fd, (struct sockaddr *)&admin->address, sizeof(admin->address)) != 0 ||
	    lstat(admin->address.sun_path, &admin->file) != 0 || listen(fd, BACKLOG) != 0) {
		result = -errno;
		close(fd);
		return result;
	}
	return fd;
}

static int watch(const struct admin *admin, int operation, int fd, uint32_t events, void *who)
{
	struct epoll_event event = {.events = events, .data.ptr = who};

	return epoll_ctl(admin->epoll_fd, operation, fd, &event);
}

struct admin *admin_open(const char *path, admin_answer_fn *answer, void *context,
			 char error[ERROR_LINE_MAX])
{
	struct admin *admin = calloc(1, sizeof(*admin));
	int result;

	if (!admin) {
		snprintf(error, ERROR_LINE_MAX, "no memory for the control socket");
		return NULL;
	}
	admin->answer = answer;
	admin->context = context;
	admin->address.sun_family = AF_UNIX;
	result = -ENAMETOOLONG;
	if (strlen(path) >= sizeof(admin->address.sun_path))
		goto err_admin;
	strcpy(admin->address.sun_path, path);
	folder_make(path);
	result = stale_remove(&admin->address);
	if (result)
		goto err_admin;
	result = admin->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (result < 0) {
		result = -errno;
		goto err_admin;
	}
	result = admin->listen_fd = listen_open(admin);
	if (result < 0)
		goto err_epoll;
	if (watch(admin, EPOLL_CTL_ADD, admin->listen_fd, EPOLLIN, NULL) == 0)
		return admin;
	result = -errno;
	close(admin->listen_fd);
	unlink(path);
err_epoll:
	close(admin->epoll_fd);
err_admin:
	snprintf(error, ERROR_LINE_MAX, "cannot make the control socket %.200s: %s%s", path,
		 strerror(-result),
		 result == -EADDRINUSE ? "; another m57 listens there: give each its own m57.ctl"
		 : result == -EEXIST   ? " and is no socket; remove it or set m57.ctl"
				       : "; set m57.ctl to a path that can be made, or to false");
	free(admin);
	return NULL;
}

/* --- clients -----------------------------------------------------------------------------------
 */

static void client_drop(struct admin *admin, struct client *client)
{
	if (client->fd < 0)
		return;
	close(client->fd); /* and out of the epoll set */
	client->fd = -1;
	free(client->answer);
	client->answer = NULL;
	admin->client_count--;
}

static void client_read_next(struct admin *admin, struct client *client, uint64_t now_ns)
{
	free(client->answer);
	client->answer = NULL;
	client->answer_bytes = client->sent = 0;
	client->deadline_ns = now_ns + CLIENT_NS;
	if (watch(admin, EPOLL_CTL_MOD, client->fd, EPOLLIN, client) != 0)
		client_drop(admin, client);
}

/* A free place, or that of the client whose state is oldest. NULL: no memory. */
static struct client *place_find(struct admin *admin)
{
	struct client *oldest = NULL;

	for (size_t i = 0; i < ADMIN_CLIENTS_MAX; i++) {
		struct client *client = admin->clients[i];

		if (!client) {
			client = admin->clients[i] = calloc(1, sizeof(*client));
			if (client)
				client->fd = -1;
			return client;
		}
		if (client->fd < 0)
			return client;
		if (!oldest || client->deadline_ns < oldest->deadline_ns)
			oldest = client;
	}
	admin->dropped++;
	client_drop(admin, oldest);
	return oldest;
}

static void clients_accept(struct admin *admin, uint64_t now_ns)
{
	for (int i = 0; i < ACCEPT_TURN_MAX; i++) {
		int fd = accept4(admin->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct client *client;

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0) {
			if (errno == EAGAIN)
				return;
			/* No descriptor is free: to be called at once again would be a busy loop.
			 */
			admin->paused = true;
			admin->resume_ns = now_ns + ACCEPT_PAUSE_NS;
			watch(admin, EPOLL_CTL_DEL, admin->listen_fd, 0, NULL);
			return;
		}
		client = place_find(admin);
		if (!client || watch(admin, EPOLL_CTL_ADD, fd, EPOLLIN, client) != 0) {
			close(fd);
			continue;
		}
		client->fd = fd;
		client->used = client->answer_bytes = client->sent = 0;
		client->last = false;
		client->deadline_ns = now_ns + CLIENT_NS;
		admin->client_count++;
	}
}

static void client_write(struct admin *admin, struct client *client, uint64_t now_ns)
{
	while (client->sent < client->answer_bytes) {
		ssize_t sent = send(client->fd, client->answer + client->sent,
				    client->answer_bytes - client->sent, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			if (watch(admin, EPOLL_CTL_MOD, client->fd, EPOLLOUT, client) != 0)
				client_drop(admin, client);
			return;
		}
		if (sent <= 0) {
			client_drop(admin, client);
			return;
		}
		client->sent += (size_t)sent;
	}
	if (client->last)
		client_drop(admin, client);
	else
		client_read_next(admin, client, now_ns);
}

/* Takes over text, which is malloc'ed; NULL: no memory. A newline takes the terminator's place. */
static void client_answer(struct admin *admin, struct client *client, char *text, uint64_t now_ns)
{
	if (!text) {
		client_drop(admin, client);
		return;
	}
	client->answer = text;
	client->answer_bytes = strlen(text);
	client->answer[client->answer_bytes++] = '\n';
	client->sent = 0;
	client->deadline_ns = now_ns + CLIENT_NS;
	client_write(admin, client, now_ns);
}

static void request_answer(struct admin *admin, struct client *client, size_t length,
			   uint64_t now_ns)
{
	json_t *answer = admin->answer(admin->context, client->request, length);
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

	json_decref(answer);
	/* What came behind the line is the next request. */
	client->used -= length + 1;
	memmove(client->request, client->request + length + 1, client->used);
	if (text && strlen(text) >= ADMIN_ANSWER_MAX) {
		free(text);
		text = strdup(TEXT_TOO_LONG);
	}
	client_answer(admin, client, text, now_ns);
}

/* True: a request was answered, and there may be more at once. */
static bool client_read(struct admin *admin, struct client *client, uint64_t now_ns)
{
	char *end = memchr(client->request, '\n', client->used);

	if (!end) {
		ssize_t got = recv(client->fd, client->request + client->used,
				   sizeof(client->request) - client->used, 0);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		if (got <= 0) {
			client_drop(admin, client);
			return false;
		}
		client->used += (size_t)got;
		end = memchr(client->request, '\n', client->used);
	}
	if (end) {
		request_answer(admin, client, (size_t)(end - client->request), now_ns);
		return true;
	}
	if (client->used == sizeof(client->request)) {
		client->last = true;
		admin->dropped++;
		client_answer(admin, client, strdup(TEXT_REQUEST_MAX), now_ns);
	}
	return false;
}

static bool writing(const struct client *client)
{
	return client->answer_bytes > 0;
}

static void client_turn(struct admin *admin, struct client *client, uint64_t now_ns, int *left)
{
	if (client->fd < 0)
		return; /* its place was given away in this turn */
	if (writing(client))
		client_write(admin, client, now_ns);
	while (client->fd >= 0 && !writing(client) && *left > 0) {
		if (!client_read(admin, client, now_ns))
			break;
		(*left)--;
	}
	/* Lines that have been read already: a socket that can be written to calls again at once.
	 */
	if (client->fd >= 0 && !writing(client) && memchr(client->request, '\n', client->used))
		watch(admin, EPOLL_CTL_MOD, client->fd, EPOLLIN | EPOLLOUT, client);
}

/* Those that are ready, in the order of their places from first on, until the turn is used up. */
static void clients_turn(struct admin *admin, uint64_t now_ns)
{
	size_t first = admin->first;
	int left = ADMIN_TURN_MAX;

	for (size_t i = 0; i < ADMIN_CLIENTS_MAX; i++) {
		size_t place = (first + i) % ADMIN_CLIENTS_MAX;
		struct client *client = admin->clients[place];

		if (!client || !client->ready)
			continue;
		client->ready = false;
		if (left == 0)
			continue; /* it is ready in the next turn, too */
		client_turn(admin, client, now_ns, &left);
		if (left == 0)
			admin->first = place + 1;
	}
}

void admin_turn(struct admin *admin, uint64_t now_ns)
{
	struct epoll_event events[ADMIN_CLIENTS_MAX + 1];
	int count = epoll_wait(admin->epoll_fd, events, ADMIN_CLIENTS_MAX + 1, 0);
	bool accept = false;

	for (int i = 0; i < count; i++) {
		if (events[i].data.ptr)
			((struct client *)events[i].data.ptr)->ready = true;
		else
			accept = true;
	}
	clients_turn(admin, now_ns);
	/* Last, so that no event above is for a place that has changed hands. */
	if (accept)
		clients_accept(admin, now_ns);
}

/* --- time --------------------------------------------------------------------------------------
 */

void admin_tick(struct admin *admin, uint64_t now_ns)
{
	if (admin->paused && now_ns >= admin->resume_ns &&
	    watch(admin, EPOLL_CTL_ADD, admin->listen_fd, EPOLLIN, NULL) == 0)
		admin->paused = false;
	for (size_t i = 0; admin->client_count > 0 && i < ADMIN_CLIENTS_MAX; i++) {
		struct client *client = admin->clients[i];

		if (!client || client->fd < 0 || client->deadline_ns > now_ns)
			continue;
		admin->dropped++;
		client_drop(admin, client);
	}
}

uint64_t admin_next_deadline(const struct admin *admin)
{
	uint64_t deadline = admin->paused ? admin->resume_ns : UINT64_MAX;

	for (size_t i = 0; admin->client_count > 0 && i < ADMIN_CLIENTS_MAX; i++) {
		const struct client *client = admin->clients[i];

		if (client && client->fd >= 0 && client->deadline_ns < deadline)
			deadline = client->deadline_ns;
	}
	return deadline;
}

int admin_fd(const struct admin *admin)
{
	return admin->epoll_fd;
}

uint64_t admin_dropped(const struct admin *admin)
{
	return admin->dropped;
}

size_t admin_client_count(const struct admin *admin)
{
	return admin->client_count;
}

void admin_close(struct admin *admin)
{
	struct stat now;

	if (!admin)
		return;
	for (size_t i = 0; i < ADMIN_CLIENTS_MAX; i++) {
		if (admin->clients[i])
			client_drop(admin, admin->clients[i]);
		free(admin->clients[i]);
	}
	if (lstat(admin->address.sun_path, &now) == 0 && now.st_ino == admin->file.st_ino &&
	    now.st_dev == admin->file.st_dev)
		unlink(admin->address.sun_path);
	close(admin->listen_fd);
	close(admin->epoll_fd);
	free(admin);
}
