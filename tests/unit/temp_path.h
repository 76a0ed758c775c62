/* temp_path.h - where tests write: the folder that main.c makes, and removes whatever happens. */
#ifndef M57_TEMP_PATH_H
#define M57_TEMP_PATH_H

#include <stdio.h>
#include <stdlib.h>

#define TEMP_PATH_MAX 96 /* a socket's may have 107 characters */

/* The path of name in TMPDIR; for mkstemp() and mkdtemp() name ends in XXXXXX. */
static inline void temp_path(char path[TEMP_PATH_MAX], const char *name)
{
	const char *folder = getenv("TMPDIR");

	if (snprintf(path, TEMP_PATH_MAX, "%s/%s", folder ? folder : "/tmp", name) >= TEMP_PATH_MAX)
		abort(); /* TMPDIR is too long */
}

#endif
