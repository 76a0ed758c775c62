/* check_test.c - `m57 -test`: configuration and identity together, and the snapshot made of them.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sodium.h>

#include "addr_text.h"
#include "config/check.h"
#include "config/snapshot_build.h"
#include "identity/pem.h"
#include "unit/control/config_helpers.h"

#define NOW 1700000000
#define DAY 86400

static char folder[TEMP_PATH_MAX];
static uint8_t ca_key[CERT_CA_KEY_SIZE];
static struct cert *ca_cert;
static char *key_text; /* of the host, PEM */
static struct findings findings;
static struct config *config;
static struct pki pki;

static struct prefix prefix_of(const char *text)
{
	struct prefix prefix;

	cr_assert_eq(prefix_parse(text, &prefix), 0, "%s", text);
	return prefix;
}

static void write_text(const char *name, const char *text)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	out = fopen(path, "w");
	cr_assert_not_null(out);
	fputs(text, out);
	fclose(out);
}

static void write_pem(const char *name, const char *banner, const uint8_t *bytes, size_t len)
{
	size_t text_len;
	char *text = pem_encode(banner, bytes, len, &text_len);

	write_text(name, text);
	sodium_free(text);
}

static void write_cert(const char *name, const struct cert *cert)
{
	uint8_t *bytes;
	size_t len;

	cr_assert_eq(cert_encode(cert, &bytes, &len), 0);
	write_pem(name, PEM_CERTIFICATE, bytes, len);
	free(bytes);
}

/* A host certificate for key file `host.key`, valid from..to. */
static void sign_host(const char *name, const uint8_t public_key[32], int64_t from, int64_t to,
		      const char *unsafe)
{
	struct prefix network = prefix_of("10.42.0.1/16"), behind = {0};
	struct cert details = {
		.version = CERT_VERSION_1,
		.has_issuer = true,
		.name = "host",
		.networks = &network,
		.network_count = 1,
		.not_before = from,
		.not_after = to,
		.public_key_len = 32,
	};
	struct cert *cert;

	if (unsafe != NULL) {
		behind = prefix_of(unsafe);
		details.unsafe_networks = &behind;
		details.unsafe_network_count = 1;
	}
	memcpy(details.public_key, public_key, 32);
	memcpy(details.issuer, ca_cert->fingerprint, sizeof(details.issuer));
	cr_assert_eq(cert_sign(&details, ca_key, sizeof(ca_key), &cert), CERT_OK);
	write_cert(name, cert);
	cert_unref(cert);
}

static void init(void)
{
	struct cert details = {
		.version = CERT_VERSION_1,
		.is_ca = true,
		.name = "ca",
		.not_before = NOW - 10 * DAY,
		.not_after = NOW + 100 * DAY,
		.public_key_len = 32,
	};
	uint8_t secret[32], public_key[32];
	size_t len;

	cr_assert_geq(sodium_init(), 0);
	temp_path(folder, "check-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	crypto_sign_keypair(details.public_key, ca_key);
	cr_assert_eq(cert_sign(&details, ca_key, sizeof(ca_key), &ca_cert), CERT_OK);
	write_cert("ca.crt", ca_cert);
	randombytes_buf(secret, sizeof(secret));
	crypto_scalarmult_base(public_key, secret);
	write_pem("host.key", PEM_X25519_PRIVATE_KEY, secret, 32);
	key_text = pem_encode(PEM_X25519_PRIVATE_KEY, secret, 32, &len);
	sign_host("host.crt", public_key, NOW - DAY, NOW + DAY, NULL);
	sign_host("router.crt", public_key, NOW - DAY, NOW + DAY, "172.16.5.9/16");
	sign_host("expired.crt", public_key, NOW - 2 * DAY, NOW - DAY, NULL);
	sign_host("outlives.crt", public_key, NOW - DAY, NOW + 200 * DAY, NULL);
	randombytes_buf(secret, sizeof(secret));
	write_pem("other.key", PEM_X25519_PRIVATE_KEY, secret, 32);
	write_text("cut.crt", "-----BEGIN NEBULA CERTIFICATE-----\nCmkKCG\n");
}

static void forget(void)
{
	config_free(config);
	config = NULL;
	pki_free(&pki);
	findings_free(&findings);
}

static void fini(void)
{
	char command[128];

	forget();
	cert_unref(ca_cert);
	sodium_free(key_text);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	cr_assert_eq(system(command), 0);
}

TestSuite(check, .init = init, .fini = fini);

#define RULES "firewall: {outbound: [{port: any, proto: any, host: any}]}\n"

/* %s in text stands for the folder; at most four of them. Returns check_load's result. */
static int check(const char *text, bool strict, int64_t now)
{
	char whole[4096], path[128];

	forget();
	snprintf(path, sizeof(path), "%s/config.yml", folder);
	snprintf(whole, sizeof(whole), text, folder, folder, folder, folder);
	write_text("config.yml", whole);
	return check_load(path, strict, now, &config, &pki, &findings);
}

#define PKI "pki:\n  ca: %s/ca.crt\n  cert: %s/host.crt\n  key: %s/host.key\n"

static bool found(enum severity severity, uint32_t line, const char *says)
{
	return is_found(&findings, severity, line, says);
}

static const char *first(void)
{
	return first_finding(&findings);
}

Test(check, good)
{
	cr_assert_eq(check(PKI RULES, true, NOW), 0, "%s", first());
	cr_assert_eq(findings.count, 0, "%s", first());
	cr_assert_str_eq(pki_own_cert(&pki)->name, "host");
}

/* One finding each. */
Test(check, findings)
{
	static const struct {
		const char *text;
		int64_t now;
		enum severity severity;
		uint32_t line;
		const char *says;
	} cases[] = {
		{"pki:\n  ca: %s/none.crt\n  cert: %s/host.crt\n  key: %s/host.key\n" RULES, NOW,
		 SEVERITY_ERROR, 2, "No such file"},
		{"pki:\n  ca: %s/host.crt\n  cert: %s/host.crt\n  key: %s/host.key\n" RULES, NOW,
		 SEVERITY_ERROR, 2, "not a CA"},
		{"pki:\n  ca: %s/ca.crt\n  cert: %s/ca.crt\n  key: %s/host.key\n" RULES, NOW,
		 SEVERITY_ERROR, 3, "is a CA certificate"},
		{"pki:\n  ca: %s/ca.crt\n  cert: %s/cut.crt\n  key: %s/host.key\n" RULES, NOW,
		 SEVERITY_ERROR, 3, "unfinished"},
		{"pki:\n  ca: %s/ca.crt\n  cert: %s/expired.crt\n  key: %s/host.key\n" RULES, NOW,
		 SEVERITY_ERROR, 3, "expired"},
		{"pki:\n  ca: %s/ca.crt\n  cert: %s/host.crt\n  key: %s/other.key\n" RULES, NOW,
		 SEVERITY_ERROR, 4, "pki.key"},
		{"pki:\n  ca: %s/ca.crt\n  cert: %s/host.crt\n  key: %s/host.crt\n" RULES, NOW,
		 SEVERITY_ERROR, 4, "pki.key"},
		{"pki:\n  ca: %s/ca.crt\n  cert: %s/outlives.crt\n  key: %s/host.key\n" RULES, NOW,
		 SEVERITY_WARNING, 3, "peers with the same CAs would refuse"},
		{PKI "  blocklist:\n  - abc\n" RULES, NOW, SEVERITY_ERROR, 6, "pki.blocklist"},
		{PKI, NOW, SEVERITY_WARNING, 2, "no packet passes"},
		{PKI RULES "static_host_map:\n  10.43.0.9: [192.0.2.1:4242]\n", NOW,
		 SEVERITY_WARNING, 7, "10.43.0.9 is not in the networks"},
		{PKI RULES "static_host_map:\n  10.42.0.9: []\n", NOW, SEVERITY_WARNING, 7,
		 "no usable address"},
		{PKI RULES "static_host_map:\n  10.42.0.9: ['10.42.0.9:4242']\n", NOW,
		 SEVERITY_WARNING, 7, "10.42.0.9:4242 is inside the networks"},
		{PKI RULES "lighthouse:\n  advertise_addrs: ['192.0.2.1:0', '10.42.0.1:4242']\n",
		 NOW, SEVERITY_WARNING, 7, "10.42.0.1:4242 is inside the networks"},
		{PKI RULES "static_host_map: {10.42.0.1: ['192.0.2.1:4242']}\n"
			   "lighthouse:\n  hosts: [10.42.0.1]\n",
		 NOW, SEVERITY_WARNING, 8, "10.42.0.1 is this host"},
		{PKI RULES "tun:\n  routes:\n  - {route: 10.0.0.0/8, mtu: 1300}\n", NOW,
		 SEVERITY_ERROR, 8, "not inside the networks"},
		{PKI RULES "tun:\n  unsafe_routes:\n  - {route: 10.42.5.0/24, via: 10.42.0.2}\n",
		 NOW, SEVERITY_ERROR, 8, "begins inside the networks"},
		{PKI RULES "tun:\n  unsafe_routes:\n  - {route: 1.0.0.0/8, via: 10.42.0.1}\n", NOW,
		 SEVERITY_WARNING, 8, "via 10.42.0.1 is this host"},
		{PKI RULES "static_host_map:\n  10.42.0.9: ['192.0.2.1:1']\n"
			   "  10.42.0.8: ['192.0.2.1:2']\n"
			   "  '::ffff:10.42.0.9': ['192.0.2.1:3']\n",
		 NOW, SEVERITY_WARNING, 9, "10.42.0.9 is given at line 7 already"},
		{PKI RULES "relay: {relays: [10.42.0.1]}\n", NOW, SEVERITY_WARNING, 6,
		 "relay.relays: 10.42.0.1 is this host"},
		{PKI RULES "tun:\n  unsafe_routes:\n  - {route: 1.2.3.4/8, via: 10.42.0.2}\n"
			   "  - {route: 1.0.0.0/9, via: 10.42.0.2}\n"
			   "  - {route: 1.0.0.0/8, via: 10.42.0.3}\n",
		 NOW, SEVERITY_WARNING, 10, "1.0.0.0/8 is given at line 8 already"},
		{PKI RULES "tun:\n  unsafe_routes:\n  - {route: 1.0.0.0/8, via: 10.43.0.2}\n", NOW,
		 SEVERITY_WARNING, 8, "cannot be reached"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int err = check(cases[i].text, false, cases[i].now);

		cr_assert_eq(err != 0, cases[i].severity == SEVERITY_ERROR, "%s", cases[i].text);
		cr_assert_eq(findings.count, 1, "%s: %u: %s", cases[i].text, findings.count,
			     first());
		cr_assert(found(cases[i].severity, cases[i].line, cases[i].says), "%s: line %u: %s",
			  cases[i].text, findings.list[0].line, first());
		cr_assert_eq(config == NULL, err != 0);
		if (err == 0)
			cr_assert_neq(check(cases[i].text, true, cases[i].now), 0, "strict");
	}
}

Test(check, all_errors_at_once)
{
	cr_assert_neq(check("pki:\n  ca: %s/none.crt\n  cert: %s/expired.crt\n  key: %s/no.key\n"
			    "cipher: x\ntun: {mtu: 9000}\nlighthouse: {hosts: [10.42.0.1]}\n",
			    false, NOW),
		      0);
	cr_assert_eq(findings.errors, 6, "%u", findings.errors);
}

Test(check, all_cas_expired)
{
	cr_assert_neq(check(PKI RULES, false, NOW + 1000 * DAY), 0);
	cr_assert(found(SEVERITY_ERROR, 2, "no valid CA certificate"));
	cr_assert(found(SEVERITY_ERROR, 3, "expired"));
}

/* A key in the configuration itself is read, and not printed whatever is wrong with it. */
Test(check, inline_key)
{
	static const struct {
		const char *format;
		bool ok;
	} cases[] = {
		{"  key: |\n    %s\n", true},
		{"  key: %s\n", false},
		{"  kee: |\n    %s\n", false},
		{"  blocklist: [\"%s\"]\n", false},
		{"  cert: |\n    %s\n", false},
		{"  ca: |\n    %s\n", false},
		{"tun: {dev: \"%s\"}\n", false},
		{"cipher: \"%s\"\n", false},
		{"tun: {mtu: \"%s\"}\n", false},
		{"logging: {level: \"%s\"}\n", false},
		{"listen: {host: \"%s\"}\n", false},
		{"static_host_map: {\"%s\": [x]}\n", false},
		{"\"%s\": 1\n", false},
		{"firewall: {inbound: [{port: \"%s\", proto: tcp, host: any}]}\n", false},
	};
	char base64[64] = "";

	/* the second line of the PEM text is the key */
	strncat(base64, strchr(key_text, '\n') + 1, 12);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[4096], value[512] = "", *printed = NULL;
		bool block = strchr(cases[i].format, '|') != NULL;
		size_t size;
		FILE *out;

		for (const char *c = key_text; *c != '\0'; c++) {
			size_t at = strlen(value);

			if (*c == '\n' && c[1] != '\0')
				strcpy(value + at, block ? "\n    " : "\\n");
			else if (*c != '\n')
				value[at] = *c;
		}
		snprintf(text, sizeof(text), "%s",
			 i == 0 || strstr(cases[i].format, "key")
				 ? "pki:\n  ca: %s/ca.crt\n  cert: %s/host.crt\n"
				 : "pki:\n  zz: %s\n");
		snprintf(text + strlen(text), sizeof(text) - strlen(text), cases[i].format, value);
		check(text, false, NOW);
		if (cases[i].ok) { /* and kept nowhere but in pki */
			cr_assert_eq(findings.errors, 0, "%s", first());
			cr_assert_null(config->pki.key.text);
			cr_assert_str_empty(yaml_find(config->tree, "pki.key")->text);
			cr_assert_eq(pki.private_key_len, 32);
		}
		out = open_memstream(&printed, &size);
		findings_print(&findings, out);
		fclose(out);
		cr_assert_null(strstr(printed, base64), "%s: %s", cases[i].format, printed);
		free(printed);
	}
}

/* Only the base64 of a key, where something else belongs. */
Test(check, stray_key)
{
	static const char *const formats[] = {
		"cipher: %s\n",     "tun: {mtu: %s}\n", "listen: {host: %s}\n",
		"pki: {key: %s}\n", "%s: 1\n",
	};
	char base64[64] = "";

	strncat(base64, strchr(key_text, '\n') + 1, 44);
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		char text[256], *printed = NULL;
		size_t size;
		FILE *out = open_memstream(&printed, &size);

		snprintf(text, sizeof(text), formats[i], base64);
		check(text, false, NOW);
		findings_print(&findings, out);
		fclose(out);
		cr_assert_null(strstr(printed, base64), "%s: %s", formats[i], printed);
		base64[12] = '\0';
		cr_assert_null(strstr(printed, base64), "%s: %s", formats[i], printed);
		base64[12] = *(strchr(key_text, '\n') + 13);
		free(printed);
	}
}

/* A reload: what no running node can take is said at the certificate, and not what follows of it.
 */
Test(check, what_may_follow_a_running_identity)
{
	struct findings now_findings = {0};
	struct config *now_config;
	struct pki running;
	char path[128];

	cr_assert_eq(check(PKI RULES, false, NOW), 0, "%s", first());
	snprintf(path, sizeof(path), "%s/config.yml", folder);
	cr_assert_eq(check_reload(path, false, NOW, NULL, &now_config, &running, &now_findings), 0);
	findings_free(&now_findings);

	/* the same, and one with unsafe networks */
	forget();
	cr_assert_eq(check_reload(path, false, NOW, &running, &config, &pki, &findings), 0, "%s",
		     first());
	cr_assert_eq(
		check("pki:\n  ca: %s/ca.crt\n  cert: %s/router.crt\n  key: %s/host.key\n" RULES,
		      false, NOW),
		0);
	forget();
	cr_assert_eq(check_reload(path, false, NOW, &running, &config, &pki, &findings), 0, "%s",
		     first());

	/* another address */
	struct cert *cert = running.v1.cert;
	const struct prefix *kept = cert->networks;
	struct prefix moved = prefix_of("10.42.0.7/16");

	cert->networks = &moved;
	forget();
	cr_assert_eq(check_reload(path, false, NOW, &running, &config, &pki, &findings), -EINVAL);
	cr_assert(found(SEVERITY_ERROR, 3, "networks of this node's certificate changed"), "%s",
		  first());
	cr_assert_eq(findings.errors, 1);
	cr_assert_null(config);
	cert->networks = kept;
	pki_free(&running);
	config_free(now_config);
}

Test(check, printed_form)
{
	char path[128], expect[256], *printed = NULL;
	size_t size;
	FILE *out = open_memstream(&printed, &size);

	check(PKI RULES "cipher: x\nzzz: 1\n", false, NOW);
	snprintf(path, sizeof(path), "%s/config.yml", folder);
	cr_assert_eq(check_all(path, false, NOW, out), 1);
	fclose(out);
	snprintf(expect, sizeof(expect), "%s:7: warning: unknown key \"zzz\"", path);
	cr_assert(strstr(printed, expect), "%s", printed);
	snprintf(expect, sizeof(expect), "%s:6: error: unknown cipher \"x\"; write aes", path);
	cr_assert(strstr(printed, expect), "%s", printed);
	free(printed);
	out = open_memstream(&printed, &size);
	cr_assert_eq(check_all("/nonexistent", false, NOW, out), 1);
	fclose(out);
	cr_assert(strstr(printed, "/nonexistent: error: cannot read"), "%s", printed);
	free(printed);
}

/* --- the snapshot ------------------------------------------------------------------------------
 */

Test(check, snapshot)
{
	struct snapshot *snapshot;
	char text[PREFIX_TEXT_MAX];

	cr_assert_eq(check("pki:\n  ca: %s/ca.crt\n  cert: %s/router.crt\n  key: %s/host.key\n"
			   "firewall: {outbound: [{port: any, proto: any, host: any}],\n"
			   "  inbound: [{port: 1, proto: tcp, host: any}, {port: 2, proto: udp, "
			   "cidr: 1.0.0.0/8, local_cidr: any}],\n"
			   "  conntrack: {udp_timeout: 7s}, inbound_action: reject}\n"
			   "listen: {send_recv_error: never}\n"
			   "tun:\n  drop_multicast: true\n  unsafe_routes:\n"
			   "  - {route: 8.0.0.0/8, via: 10.42.0.2}\n"
			   "  - {route: 0.0.0.0/0, via: 10.42.0.3}\n"
			   "  - {route: 7.0.0.0/8, via: 10.42.0.4}\n"
			   "  - {route: 8.8.0.0/16, via: 10.42.0.5}\n"
			   "  - {route: 8.0.0.9/8, via: 10.42.0.6}\n",
			   false, NOW),
		     0, "%s", first());
	snapshot = snapshot_build(config, pki_own_cert(&pki), 9);
	cr_assert_not_null(snapshot);
	cr_assert_eq(snapshot->rules_version, 9);
	cr_assert_eq(snapshot->network_count, 1);
	cr_assert_str_eq(prefix_format(&snapshot->networks[0], text), "10.42.0.1/16");
	cr_assert_eq(snapshot->unsafe_count, 1);
	cr_assert_str_eq(prefix_format(&snapshot->unsafe_networks[0], text), "172.16.0.0/16");
	cr_assert(snapshot->drop_multicast && !snapshot->drop_local_broadcast);
	cr_assert_eq(snapshot->udp_timeout_s, 7);
	cr_assert(snapshot->reject[INBOUND] && !snapshot->reject[OUTBOUND]);
	cr_assert_eq(snapshot->send_recv_error, RECV_ERROR_NEVER);
	cr_assert_eq(snapshot->rules[OUTBOUND].count, 1);
	cr_assert_eq(snapshot->rules[INBOUND].count, 2);
	cr_assert_eq(snapshot->rules[INBOUND].rules[0].local_kind, RULE_LOCAL_OWN_NETWORKS);
	cr_assert_eq(snapshot->rules[INBOUND].rules[1].local_kind, RULE_LOCAL_ANY);
	cr_assert_eq(snapshot->rules[INBOUND].rules[0].line, 6);

	static const struct {
		const char *to;
		uint8_t gateway;
	} routes[] = {{"0.0.0.0/0", 3}, {"7.0.0.0/8", 4}, {"8.0.0.0/8", 6}, {"8.8.0.0/16", 5}};
	const struct route_table *table = snapshot->routes;

	cr_assert_eq(table->entry_count, 4, "the last of equal routes counts");
	for (uint32_t i = 0; i < 4; i++) {
		const struct route_entry *entry = &table->entries[i];

		cr_assert_str_eq(prefix_format(&entry->to, text), routes[i].to);
		cr_assert_eq(entry->gateway_count, 1);
		cr_assert_eq(table->gateways[entry->gateway_first].to.addr.bytes[15],
			     routes[i].gateway);
	}
	snapshot_free(snapshot);
	snapshot_free(NULL);
}
