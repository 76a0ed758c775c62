/*
 * finding.h - what a check of the configuration found: errors and warnings, all of them, in order.
 *
 * A text says what is wrong AND what to do. It never holds a value that may be secret: callers
 * quote values by finding_quote(), which cuts and cleans them, and never those of pki.key.
 */
#ifndef M57_FINDING_H
#define M57_FINDING_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "limits.h"

enum severity { SEVERITY_WARNING, SEVERITY_ERROR };

/* Where a value stands. file is borrowed from the configuration; line 0: the file as a whole. */
struct where {
	const char *file;
	uint32_t line;
};

struct finding {
	enum severity severity;
	uint32_t line; /* 0: none */
	char *file;    /* "" when it belongs to no file */
	char *text;
};

/* Zero it before use; findings_free() afterwards. */
struct findings {
	uint32_t count;            /* of list, at most FINDINGS_MAX; errors displace warnings */
	uint32_t errors, warnings; /* all, those beyond FINDINGS_MAX too */
	struct finding *list;
};

/* Add one; where and the text are copied, control characters become "?". Without memory it is only
 * counted. */
void finding_error(struct findings *findings, struct where where, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void finding_warning(struct findings *findings, struct where where, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Takes back what was added since findings was `before`, a copy; not what was displaced. */
void findings_take_back(struct findings *findings, const struct findings *before);

/* Makes every warning an error (-strict). */
void findings_be_strict(struct findings *findings);

/* Prints each as "FILE:LINE: error: TEXT" or "FILE:LINE: warning: TEXT". */
void findings_print(const struct findings *findings, FILE *out);

/* What it holds, not the struct itself, which is empty afterwards. */
void findings_free(struct findings *findings);

#define FINDING_PLACE_MAX (4096 + 16) /* bytes: a path and a line */

/* "FILE:LINE", or "FILE" without a line, or "" without a file, in buf, returned. */
const char *where_text(struct where where, char buf[FINDING_PLACE_MAX]);
const char *finding_place(const struct finding *finding, char buf[FINDING_PLACE_MAX]);

#define FINDING_QUOTE_MAX 84 /* bytes: 80 of the value, "...", terminator */

/* text cut to 80 bytes, without control characters, in buf, returned. */
const char *finding_quote(const char *text, char buf[FINDING_QUOTE_MAX]);

#endif
