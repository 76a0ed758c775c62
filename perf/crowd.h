/*
 * crowd.h - hosts that exist only as a key and a certificate, made in process by a CA whose key is
 * at hand: what perf/crowd.c and perf/flood.c have in common.
 */
#ifndef M57_CROWD_H
#define M57_CROWD_H

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "identity/pki.h"

#define CROWD_MAX 60000 /* hosts of one crowd: 10.42.0.0/16 without 10.42.0.x */

struct authority {
	struct cert *cert;
	uint8_t key[CERT_CA_KEY_SIZE];
	struct ca_pool *pool;
	struct blocklist *blocklist;
};

/* Reads ca.crt and ca.key, unencrypted, in directory; ends the program when it cannot. */
void authority_load(struct authority *authority, const char *directory);

/* The certificate in a file; ends the program when there is none. */
struct cert *certificate_load(const char *path);

/* The overlay address of host number n, counted from 0: 10.42.1.1, .. 10.42.1.250, 10.42.2.1, .. */
uint32_t crowd_address(unsigned n);

/* Makes host number n: pki is complete, and shares pool and blocklist with the authority. */
void host_make(struct pki *pki, const struct authority *authority, unsigned n);

/* Options: pairs of a name and a number. Ends the program at an unknown one. */
struct crowd_option {
	const char *name;
	unsigned long *value;
	const char **text; /* instead of value */
};
void options_parse(int argc, char **argv, int from, const struct crowd_option *table, size_t count);

_Noreturn void fail(const char *what, const char *which);

/* A UDP socket, IPv4, connected to address and port; from: its own address, or NULL. */
int socket_to(const char *address, unsigned port, const char *from);

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
