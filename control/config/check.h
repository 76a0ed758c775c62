/*
 * check.h - everything that can be found wrong without touching the network: what `m57 -test`
 * prints and what a start refuses.
 */
#ifndef M57_CHECK_H
#define M57_CHECK_H

#include "config/config.h"
#include "identity/pki.h"

/*
 * Loads the configuration at path and the identity it names, and checks both and how they fit:
 * CA, certificate, key, static hosts and routes against our networks. now: unix seconds.
 *
 * On return findings holds all errors and warnings. Returns 0 when there is no error: *config and
 * *pki are complete and the caller's (config_free, pki_free). Otherwise -EINVAL, *config
 * is NULL and *pki is empty. The caller frees findings in both cases.
 */
int check_load(const char *path, bool strict, int64_t now, struct config **config, struct pki *pki,
	       struct findings *findings);

/* The same for a configuration that is to follow while the node runs with the identity running:
 * networks and curve of the certificate must stay. running may be NULL. */
int check_reload(const char *path, bool strict, int64_t now, const struct pki *running,
		 struct config **config, struct pki *pki, struct findings *findings);

/*
 * `m57 -test`: check_load, all findings printed to out as "FILE:LINE: error: what; what to do".
 * strict: warnings count as errors. Returns 0, or 1 when there are errors: the exit status.
 */
int check_all(const char *path, bool strict, int64_t now, FILE *out);

#endif
