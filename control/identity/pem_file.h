/* pem_file.h - reading and making the small files that hold certificates and keys. */
#ifndef M57_PEM_FILE_H
#define M57_PEM_FILE_H

#include <stddef.h>

/*
 * Reads a whole file of at most PEM_FILE_MAX bytes into *text, terminated, in sodium_malloc memory
 * since it may be a key; the caller sodium_free()s it. Returns 0, -E2BIG, or what open or read
 * said.
 */
int pem_file_read(const char *path, char **text, size_t *len);

/*
 * Makes a file of mode 0600 that must not exist yet (-EEXIST). On failure nothing is left behind.
 * Returns 0 or -errno.
 */
int pem_file_create(const char *path, const char *text, size_t len);

#endif
