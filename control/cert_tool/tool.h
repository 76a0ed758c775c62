/*
 * tool.h - what the modes of m57-cert share. A mode returns the exit status of the program; errors
 * go to stderr as "Error: ...", in the words of nebula-cert where it has some (PROTOCOL.md 3.8).
 */
#ifndef M57_TOOL_H
#define M57_TOOL_H

#include <stdbool.h>
#include <stdint.h>

#include "cert_tool/flags.h"
#include "identity/cert.h"
#include "identity/pem.h"

#define TOOL_NAME     "m57-cert"
#define TOOL_TEXT_MAX 512 /* bytes of an error text built before it is printed */

/* A mode of the program: "m57-cert NAME flags". */
struct mode {
	const char *name;
	const char *summary;
	int (*run)(int argc, char **argv); /* the arguments after NAME */
};

extern const struct mode mode_ca, mode_keygen, mode_sign, mode_print, mode_verify;

/* Prints "Error: ..." and returns 1. */
int tool_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Parses a mode's arguments. Returns true to go on; else *status is what to return. */
bool tool_flags(const struct mode *mode, const struct flag *flags, size_t count, int argc,
		char **argv, int *status);

/* Prints "Error: ..." and the mode's flags; returns 1. */
int tool_usage_error(const struct mode *mode, const struct flag *flags, size_t count,
		     const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * The choices of later releases that this one does not have. -version 1, -curve 25519 and -encrypt
 * off pass; others print a clear error and return 1.
 */
struct tool_choices {
	uint64_t version;
	const char *curve;
	bool encrypt;
	const char *pkcs11;
	const char *out_qr;
};
int tool_check_choices(const struct tool_choices *choices);

/* --- files ----------------------------------------------------------------------------------- */

/*
 * Reads the first PEM block of a file. wanted is its banner, described as "Ed25519 private key" in
 * errors; flag is "ca-key". Returns 0, or 1 after an error line. pem_block_free() it.
 */
int tool_read_block(const char *flag, const char *path, const char *wanted, const char *described,
		    struct pem_block *block);

/*
 * The certificate of a block, a reference of the caller's; doing is "parsing crt", for the error
 * line. Returns 0, or 1 after that line.
 */
int tool_cert_decode(const struct pem_block *block, const char *doing, struct cert **cert);

/* Two new files, or none: the first is removed again when the second fails. */
struct new_file {
	const char *path;
	const char *what; /* "CA key", for "refusing to overwrite existing CA key: PATH" */
	const char *flag; /* "out-key", for "error while writing out-key: ..." */
	const char *banner;
	const uint8_t *bytes;
	size_t len;
};

/* Returns 0, or 1 after an error line. */
int tool_check_absent(const char *path, const char *what);
int tool_write_files(const struct new_file *files, size_t count);

/* Writes cert as PEM by way of tool_write_files(), after key (may be NULL). */
int tool_write_cert(const struct cert *cert, struct new_file *cert_file,
		    const struct new_file *key);

#endif
