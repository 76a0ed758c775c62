/*
 * log.h - the log: levels, one line per event, key=value fields; text or JSON as Nebula up to 1.10
 * writes them (PROTOCOL.md 10.3). Control thread only; workers never log.
 *
 *	log_info("Handshake message sent", LOG_ENDPOINT("udpAddr", &remote), LOG_STAGE(1),
 *		 LOG_U64("initiatorIndex", index));
 *
 * Values may hold any bytes, a peer's certificate name for example: a line stays one line and
 * cannot be forged. Never pass key material.
 */
#ifndef M57_LOG_H
#define M57_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "addr.h"

enum log_level {
	LOG_LEVEL_TRACE,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_ERROR
};
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_options {
	enum log_level level; /* lines below it are not written */
	enum log_format format;
	bool disable_timestamp;
};

enum log_field_kind {
	LOG_FIELD_END, /* zero: ends the list that log_write() takes */
	LOG_FIELD_TEXT,
	LOG_FIELD_UNSIGNED,
	LOG_FIELD_ENDPOINT,
	LOG_FIELD_STAGE,
};

struct log_field {
	enum log_field_kind kind;
	const char *key;
	union {
		const char *text;
		uint64_t number;
		const struct endpoint *endpoint;
	};
};

/* Pointers need to live only for the call. LOG_STR takes NULL as "". */
#define LOG_STR(k, v) ((struct log_field){.kind = LOG_FIELD_TEXT, .key = (k), .text = (v)})
#define LOG_U64(k, v) ((struct log_field){.kind = LOG_FIELD_UNSIGNED, .key = (k), .number = (v)})
#define LOG_ENDPOINT(k, v)                                                                         \
	((struct log_field){.kind = LOG_FIELD_ENDPOINT, .key = (k), .endpoint = (v)})
/* Nebula's "handshake" field: {stage: n, style: ix_psk0}. */
#define LOG_STAGE(n)                                                                               \
	((struct log_field){.kind = LOG_FIELD_STAGE, .key = "handshake", .number = (n)})

#define LOG_AT(level, message, ...)                                                                \
	log_write(level, message,                                                                  \
		  (const struct log_field[]){__VA_ARGS__ __VA_OPT__(, ){.kind = LOG_FIELD_END}})
#define log_trace(message, ...)   LOG_AT(LOG_LEVEL_TRACE, message __VA_OPT__(, ) __VA_ARGS__)
#define log_debug(message, ...)   LOG_AT(LOG_LEVEL_DEBUG, message __VA_OPT__(, ) __VA_ARGS__)
#define log_info(message, ...)    LOG_AT(LOG_LEVEL_INFO, message __VA_OPT__(, ) __VA_ARGS__)
#define log_warning(message, ...) LOG_AT(LOG_LEVEL_WARNING, message __VA_OPT__(, ) __VA_ARGS__)
#define log_error(message, ...)   LOG_AT(LOG_LEVEL_ERROR, message __VA_OPT__(, ) __VA_ARGS__)

/* Before it is called: level info, text, timestamps, standard output. */
void log_setup(const struct log_options *options);

/* For tests and the simulator: another stream (borrowed; NULL: standard output), another clock
 * (NULL: wall). */
void log_redirect(FILE *out, struct timespec (*clock)(void));

bool log_enabled(enum log_level level);

/* The level from now on; a reload of the configuration sets it anew. */
void log_level_set(enum log_level level);
enum log_level log_level_now(void);
const char *log_level_name(enum log_level level); /* "info" */

/*
 * Writes one line; fields end with LOG_FIELD_END, at most LOG_FIELDS_MAX count. Use the macros. A
 * pipe or socket that nobody reads holds the node up once, for LOG_STALL_MS; then lines are lost
 * until it takes some again, and a warning says how many. So are those that a full disk refuses.
 */
void log_write(enum log_level level, const char *message, const struct log_field *fields);

/*
 * Formats the line (newline included) that log_write() would write at time `when` into buf.
 * Returns its length, less than size; too long a line is cut. Pure.
 */
size_t log_line(const struct log_options *options, enum log_level level, struct timespec when,
		const char *message, const struct log_field *fields, char *buf, size_t size);

/* "trace", "debug", "info", "warn", "warning", "error", "fatal", "panic" (the last two are error),
 * any case. Returns 0 or -EINVAL. */
int log_level_parse(const char *text, enum log_level *level);

#endif
