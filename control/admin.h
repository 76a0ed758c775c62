/*
 * admin.h - the unix socket that m57ctl talks to.
 *
 * One request is a line of JSON, {"command": NAME, "arguments": [TEXT...]}; one answer is a line of
 * JSON, {"ok": true, "result": ...} or {"ok": false, "error": TEXT}. A connection takes one request
 * after the other. Who may open the socket (mode 0600) may do all of it.
 *
 * Nothing here waits: sockets are non-blocking behind one epoll descriptor that control's ring
 * polls. A client has ADMIN_CLIENT_MS to send a whole request, and as long to take the answer.
 */
#ifndef M57_ADMIN_H
#define M57_ADMIN_H

#include <jansson.h>
#include <stdint.h>

#include "limits.h"

struct admin;

/* Answers a request line (no newline). The caller frees it with json_decref(); NULL: no memory. */
typedef json_t *admin_answer_fn(void *context, const char *line, size_t length);

/*
 * Makes the socket at path, and its folder when that is the last thing missing. A socket that
 * nobody listens on any more is replaced. NULL with one line in error.
 */
struct admin *admin_open(const char *path, admin_answer_fn *answer, void *context,
			 char error[ERROR_LINE_MAX]);
/* Closes every connection and removes the socket's file, if it is still ours. NULL is allowed. */
void admin_close(struct admin *admin);

/* Readable when admin_turn() has something to do; to be polled anew after each turn. */
int admin_fd(const struct admin *admin);
/* Accepts, reads, answers, writes: at most ADMIN_TURN_MAX requests. */
void admin_turn(struct admin *admin, uint64_t now_ns);

/* Drops clients whose time is over. Cheap without any. */
void admin_tick(struct admin *admin, uint64_t now_ns);
/* Monotonic time of the next thing due; UINT64_MAX: nothing. */
uint64_t admin_next_deadline(const struct admin *admin);

/* Clients that were sent away: too slow, too many, or with a request too long. */
uint64_t admin_dropped(const struct admin *admin);

/* For tests: clients connected now. */
size_t admin_client_count(const struct admin *admin);

#endif
