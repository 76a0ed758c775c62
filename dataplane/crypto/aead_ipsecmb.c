/*
 * aead_ipsecmb.c - intel-ipsec-mb's direct AES-256-GCM and ChaCha20-Poly1305.
 *
 * Theory of operation. One manager per process serves only as a table of the functions that fit the
 * CPU; the direct functions keep no state in it, all of theirs lies in the caller's key and in a
 * context on the caller's stack, so threads share it freely. The multi-buffer job interface is not
 * used: GCM and ChaCha fill the CPU with one packet, and jobs would have to be queued.
 *
 * The context on the stack is not wiped. After a packet it holds the nonce, a keystream remainder
 * and the hash of that packet, from which the key does not follow; the plaintext itself stands in
 * buffers of the same process at that time.
 *
 * The library decides by CPUID alone. Whether the operating system saves the wide registers is
 * asked first (the compiler's runtime reads XCR0), and on a CPU without AES instructions nothing of
 * the library is called, not even its self test. M57_AEAD_IMB=avx512|avx2|avx|sse asks for one code
 * path (a name that cannot run here: the library does not serve), so that tests and measurements
 * reach those that this CPU would not take.
 */
#ifdef HAVE_IPSEC_MB

#include <errno.h>
#include <intel-ipsec-mb.h>
#include <pthread.h>
#include <stdlib.h>

#include "crypto/backends.h"

_Static_assert(sizeof(struct gcm_key_data) <= AEAD_STATE_BYTES, "fits aead_key.state");
_Static_assert(_Alignof(struct gcm_key_data) <= 64, "aligned as aead_key.state");

static IMB_MGR *manager; /* NULL: this CPU cannot; kept until the process ends */
static const char *manager_architecture = "";
static pthread_once_t manager_once = PTHREAD_ONCE_INIT;

/* A code path of the library, widest first, and whether CPU and system have what it needs. */
static bool has_avx512(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("bmi2");
}

static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
}

static bool has_avx(void)
{
	return __builtin_cpu_supports("avx");
}

static bool has_sse(void)
{
	return true; /* with AES and SSE 4.2, which manager_init() has looked for */
}

static const struct path {
	const char *name;
	bool (*usable)(void);
	void (*init)(IMB_MGR *mgr);
} paths[] = {
	{"avx512", has_avx512, init_mb_mgr_avx512},
	{"avx2", has_avx2, init_mb_mgr_avx2},
	{"avx", has_avx, init_mb_mgr_avx},
	{"sse", has_sse, init_mb_mgr_sse},
};

/* The widest path, or the one that M57_AEAD_IMB names, when it can run; else NULL. */
static const struct path *path_choose(void)
{
	const char *only = getenv("M57_AEAD_IMB");

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if ((!only || strcmp(only, paths[i].name) == 0) && paths[i].usable())
			return &paths[i];
	return NULL;
}

static void manager_init(void)
{
	const struct path *path;
	IMB_MGR *mgr;

	__builtin_cpu_init();
	if (!__builtin_cpu_supports("aes") || !__builtin_cpu_supports("pclmul") ||
	    !__builtin_cpu_supports("sse4.2"))
		return;
	path = path_choose();
	mgr = path ? alloc_mb_mgr(0) : NULL;
	if (!mgr)
		return;
	path->init(mgr);
	if (imb_get_errno(mgr) != 0) {
		free_mb_mgr(mgr);
		return;
	}
	manager_architecture = path->name;
	if (path->init == init_mb_mgr_avx512 && (mgr->features & IMB_FEATURE_VAES))
		manager_architecture = "avx512-vaes";
	manager = mgr;
}

static bool usable(struct aead_backend *self)
{
	pthread_once(&manager_once, manager_init);
	self->architecture = manager_architecture;
	return manager != NULL;
}

static int aes_key_init(struct aead_key *key, const uint8_t raw[AEAD_KEY_BYTES])
{
	IMB_AES256_GCM_PRE(manager, raw, (struct gcm_key_data *)key->state);
	return 0;
}

static void aes_seal(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
		     const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
		     uint8_t *out)
{
	struct gcm_context_data context;

	IMB_AES256_GCM_ENC(manager, (const struct gcm_key_data *)key->state, &context, out, in,
			   length, nonce, aad, aad_bytes, out + length, AEAD_TAG_BYTES);
}

/*
 * The library only computes the tag. Two words, no branch on their contents: constant time, and a
 * fraction of what a byte-wise comparison costs per packet.
 */
static int tag_check(const uint8_t computed[AEAD_TAG_BYTES], const uint8_t *received)
{
	uint64_t a[2], b[2];

	memcpy(a, computed, sizeof(a));
	memcpy(b, received, sizeof(b));
	return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0 ? 0 : -EBADMSG;
}

static int aes_open(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
		    const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
		    uint8_t *out)
{
	struct gcm_context_data context;
	uint8_t tag[AEAD_TAG_BYTES], received[AEAD_TAG_BYTES];

	memcpy(received, in + length, AEAD_TAG_BYTES);
	IMB_AES256_GCM_DEC(manager, (const struct gcm_key_data *)key->state, &context, out, in,
			   length, nonce, aad, aad_bytes, tag, AEAD_TAG_BYTES);
	return tag_check(tag, received);
}

static int chacha_key_init(struct aead_key *key, const uint8_t raw[AEAD_KEY_BYTES])
{
	memcpy(key->state, raw, AEAD_KEY_BYTES);
	return 0;
}

static void chacha_seal(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
			const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
			uint8_t *out)
{
	struct chacha20_poly1305_context_data context;

	IMB_CHACHA20_POLY1305_INIT(manager, key->state, &context, nonce, aad, aad_bytes);
	IMB_CHACHA20_POLY1305_ENC_UPDATE(manager, key->state, &context, out, in, length);
	IMB_CHACHA20_POLY1305_ENC_FINALIZE(manager, &context, out + length, AEAD_TAG_BYTES);
}

static int chacha_open(const struct aead_key *key, const uint8_t nonce[AEAD_NONCE_BYTES],
		       const uint8_t *aad, size_t aad_bytes, const uint8_t *in, size_t length,
		       uint8_t *out)
{
	struct chacha20_poly1305_context_data context;
	uint8_t tag[AEAD_TAG_BYTES], received[AEAD_TAG_BYTES];

	memcpy(received, in + length, AEAD_TAG_BYTES);
	IMB_CHACHA20_POLY1305_INIT(manager, key->state, &context, nonce, aad, aad_bytes);
	IMB_CHACHA20_POLY1305_DEC_UPDATE(manager, key->state, &context, out, in, length);
	IMB_CHACHA20_POLY1305_DEC_FINALIZE(manager, &context, tag, AEAD_TAG_BYTES);
	return tag_check(tag, received);
}

struct aead_backend aead_ipsecmb_aes256gcm = {
	.name = "ipsec-mb",
	.cipher = AEAD_AES256GCM,
	.architecture = "",
	.usable = usable,
	.key_init = aes_key_init,
	.seal = aes_seal,
	.open = aes_open,
};

struct aead_backend aead_ipsecmb_chacha20poly1305 = {
	.name = "ipsec-mb",
	.cipher = AEAD_CHACHA20POLY1305,
	.architecture = "",
	.usable = usable,
	.key_init = chacha_key_init,
	.seal = chacha_seal,
	.open = chacha_open,
};

#else
typedef int aead_ipsecmb_not_built; /* ISO C wants a declaration in every file */
#endif
