/* flags.h - command line flags the way Go's flag package reads them (PROTOCOL.md 3.8, 9.1). */
#ifndef M57_FLAGS_H
#define M57_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum flag_kind {
	FLAG_STRING,   /* const char * */
	FLAG_BOOL,     /* bool: -x, -x=true, -x=f, never "-x true" */
	FLAG_UINT,     /* uint64_t: decimal, 0x, 0o, 0b */
	FLAG_DURATION, /* int64_t in ns: 8760h, 1h30m, 1.5s */
};

struct flag {
	const char *name; /* without dash */
	enum flag_kind kind;
	void *value;               /* holds the default until the command line sets it */
	const char *usage;         /* NULL: accepted, not shown */
	const char *shown_default; /* for the usage text, or NULL */
};

enum flags_result { FLAGS_OK, FLAGS_HELP, FLAGS_ERROR };

/*
 * Parses argv[0..argc) up to the first argument that is no flag, or "--". A flag may have one dash
 * or two. FLAGS_HELP for -h and -help. On FLAGS_ERROR error has the text Go would print.
 */
enum flags_result flags_parse(const struct flag *flags, size_t count, int argc, char **argv,
			      char *error, size_t error_size);

/* Prints the flags as Go does: name, type, usage, default. */
void flags_print(const struct flag *flags, size_t count);

/* A Go duration in ns. Returns 0 or -EINVAL. */
int duration_parse(const char *text, int64_t *ns);

#endif
