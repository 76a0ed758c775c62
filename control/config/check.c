/*
 * check.c - configuration and identity together; see check.h.
 */
#include "config/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sodium.h>

#include "addr_text.h"

/* --- identity --------------------------------------------------------------------------------- */

static void load_identity(const struct config *config, int64_t now, struct pki *pki,
			  struct findings *findings)
{
	char error[PKI_ERROR_MAX], quote[FINDING_QUOTE_MAX];
	bool cert = false, key = false;

	if (config->pki.ca.text != NULL && pki_load_ca(pki, config->pki.ca.text, now, error) != 0)
		finding_error(findings, config->pki.ca.where, "%s", error);
	if (config->pki.cert.text != NULL) {
		cert = pki_load_cert(pki, config->pki.cert.text, now, error) == 0;
		if (!cert)
			finding_error(findings, config->pki.cert.where, "%s", error);
	}
	if (config->pki.key.text != NULL) {
		key = pki_load_key(pki, config->pki.key.text, error) == 0;
		if (!key)
			finding_error(findings, config->pki.key.where, "%s", error);
	}
	if (cert && key && pki_check_match(pki, error) != 0)
		finding_error(findings, config->pki.key.where, "%s", error);
	for (uint32_t i = 0; i < config->pki.blocklist_count; i++) {
		const struct config_text *entry = &config->pki.blocklist[i];

		if (pki_block(pki, entry->text, error) != 0)
			finding_error(
				findings, entry->where,
				"pki.blocklist: \"%s\" is not a fingerprint; write the 64 hex "
				"digits that `m57-cert print` shows",
				finding_quote(entry->text, quote));
	}
}

/* What is worth a word though the node starts. */
static void review_identity(const struct config *config, int64_t now, const struct pki *pki,
			    struct findings *findings)
{
	const struct cert *own = pki_own_cert(pki);
	char detail[CA_POOL_DETAIL_MAX];
	enum cert_error reason;

	if (pki->skipped_ca_blocks > 0)
		finding_warning(findings, config->pki.ca.where,
				"pki.ca: %u CA certificates of a kind that is not supported yet "
				"are skipped; peers that only they vouch for are refused",
				pki->skipped_ca_blocks);
	if (pki->skipped_cert_blocks > 0)
		finding_warning(findings, config->pki.cert.where,
				"pki.cert: %u certificates of a kind that is not supported yet are "
				"skipped",
				pki->skipped_cert_blocks);
	if (pki->ca == NULL || own == NULL)
		return;
	if (ca_pool_valid_count(pki->ca, now) < ca_pool_count(pki->ca))
		finding_warning(findings, config->pki.ca.where,
				"pki.ca: %zu of %zu CA certificates are expired or not yet valid; "
				"remove them when no certificate of theirs is left",
				ca_pool_count(pki->ca) - ca_pool_valid_count(pki->ca, now),
				ca_pool_count(pki->ca));
	reason = ca_pool_verify(pki->ca, own, now, pki->blocklist, NULL, detail);
	if (reason != CERT_OK)
		finding_warning(findings, config->pki.cert.where,
				"pki.cert: peers with the same CAs would refuse this certificate: "
				"%s%s%s; sign it anew, or correct pki.ca",
				cert_error_text(reason), detail[0] != '\0' ? ": " : "", detail);
}

/* --- how it fits together --------------------------------------------------------------------- */

static bool in_own_networks(const struct cert *own, const struct addr *addr)
{
	for (uint32_t i = 0; i < own->network_count; i++)
		if (prefix_contains(&own->networks[i], addr))
			return true;
	return false;
}

static bool is_own_addr(const struct cert *own, const struct addr *addr)
{
	for (uint32_t i = 0; i < own->network_count; i++)
		if (addr_equal(&own->networks[i].addr, addr))
			return true;
	return false;
}

static bool covered_by_own_networks(const struct cert *own, const struct prefix *prefix)
{
	for (uint32_t i = 0; i < own->network_count; i++)
		if (prefix_covers(&own->networks[i], prefix))
			return true;
	return false;
}

static void check_own_size(const struct config *config, const struct cert *own,
			   struct findings *findings)
{
	if (own->network_count > PEER_ADDRS_MAX)
		finding_error(findings, config->pki.cert.where,
			      "pki.cert: %u networks, more than %d; sign a certificate with fewer",
			      own->network_count, PEER_ADDRS_MAX);
	if (own->unsafe_network_count > PEER_PREFIXES_MAX)
		finding_error(findings, config->pki.cert.where,
			      "pki.cert: %u unsafe networks, more than %d; join adjoining ones",
			      own->unsafe_network_count, PEER_PREFIXES_MAX);
}

static void check_static_hosts(const struct config *config, const struct cert *own,
			       struct findings *findings)
{
	char text[ADDR_TEXT_MAX];

	for (uint32_t i = 0; i < config->static_host_count; i++) {
		const struct static_host *host = &config->static_hosts[i];

		addr_format(&host->overlay, text);
		if (!in_own_networks(own, &host->overlay))
			finding_warning(findings, host->where,
					"static_host_map: %s is not in the networks of this host's "
					"certificate, so it can be a lighthouse or a relay, but no "
					"traffic reaches it; write the overlay address of the host",
					text);
		else if (host->remote_count == 0 && host->name_count == 0 && findings->errors == 0)
			finding_warning(findings, host->where,
					"static_host_map: %s has no usable address; add "
					"ADDRESS:PORT or remove the entry",
					text);
	}
}

static int by_overlay(const void *a, const void *b)
{
	const struct static_host *x = *(const struct static_host *const *)a;
	const struct static_host *y = *(const struct static_host *const *)b;
	int order = memcmp(&x->overlay, &y->overlay, sizeof(x->overlay));

	return order ? order : (x > y) - (x < y);
}

/* One address may be spelled in several ways, which YAML takes for several keys. */
static void check_static_twice(const struct config *config, struct findings *findings)
{
	uint32_t count = config->static_host_count;
	const struct static_host **sorted = calloc(count + 1, sizeof(*sorted));
	char text[ADDR_TEXT_MAX];

	for (uint32_t i = 0; sorted && i < count; i++)
		sorted[i] = &config->static_hosts[i];
	if (sorted)
		qsort(sorted, count, sizeof(*sorted), by_overlay);
	for (uint32_t i = 1; sorted && i < count; i++)
		if (addr_equal(&sorted[i - 1]->overlay, &sorted[i]->overlay))
			finding_warning(findings, sorted[i]->where,
					"static_host_map: %s is given at line %u already; "
					"join both lists",
					addr_format(&sorted[i]->overlay, text),
					sorted[i - 1]->where.line);
	free(sorted);
}

/* A datagram to such an address would go through the tunnel that it is to make. */
static void check_underlay(const struct config *config, const struct cert *own,
			   struct findings *findings)
{
	const struct lighthouse_options *lighthouse = &config->lighthouse;
	char text[ENDPOINT_TEXT_MAX];

	for (uint32_t i = 0; i < config->static_host_count; i++) {
		const struct static_host *host = &config->static_hosts[i];

		for (uint32_t j = 0; j < host->remote_count; j++)
			if (in_own_networks(own, &host->remotes[j].addr))
				finding_warning(findings, host->where,
						"static_host_map: %s is inside the networks of "
						"this host's certificate and is not used; give "
						"the address outside of the overlay",
						endpoint_format(&host->remotes[j], text));
	}
	for (uint32_t i = 0; i < lighthouse->advertise_count; i++)
		if (in_own_networks(own, &lighthouse->advertise[i].addr))
			finding_warning(findings, config->advertise_where,
					"lighthouse.advertise_addrs: %s is inside the networks of "
					"this host's certificate and is not told; give an address "
					"outside of the overlay",
					endpoint_format(&lighthouse->advertise[i], text));
}

static void check_lighthouses(const struct config *config, const struct cert *own,
			      struct findings *findings)
{
	const struct lighthouse_options *lighthouse = &config->lighthouse;
	char text[ADDR_TEXT_MAX];

	for (uint32_t i = 0; !lighthouse->am_lighthouse && i < lighthouse->host_count; i++)
		if (is_own_addr(own, &lighthouse->hosts[i]))
			finding_warning(
				findings, config->lighthouses_where,
				"lighthouse.hosts: %s is this host, which is no lighthouse; "
				"remove it, or set lighthouse.am_lighthouse",
				addr_format(&lighthouse->hosts[i], text));
}

static void check_gateways(const struct config_unsafe_route *route, const struct cert *own,
			   struct findings *findings)
{
	char to[PREFIX_TEXT_MAX], via[ADDR_TEXT_MAX];

	prefix_format(&route->to, to);
	for (uint32_t i = 0; i < route->gateway_count; i++) {
		const struct addr *addr = &route->gateways[i].addr;

		addr_format(addr, via);
		if (!in_own_networks(own, addr))
			finding_warning(findings, route->where,
					"tun.unsafe_routes: via %s is not in the networks of this "
					"host's certificate, so %s cannot be reached; correct via",
					via, to);
		else if (is_own_addr(own, addr))
			finding_warning(findings, route->where,
					"tun.unsafe_routes: via %s is this host, where what is for "
					"%s would come back; remove it here",
					via, to);
	}
}

static void check_routes(const struct config *config, const struct cert *own,
			 struct findings *findings)
{
	char text[PREFIX_TEXT_MAX];

	for (uint32_t i = 0; i < config->tun.route_count; i++) {
		const struct config_route *route = &config->tun.routes[i];

		if (!covered_by_own_networks(own, &route->to))
			finding_error(findings, route->where,
				      "tun.routes: %s is not inside the networks of this host's "
				      "certificate; use tun.unsafe_routes for networks outside",
				      prefix_format(&route->to, text));
	}
	for (uint32_t i = 0; i < config->tun.unsafe_route_count; i++) {
		const struct config_unsafe_route *route = &config->tun.unsafe_routes[i];

		prefix_format(&route->to, text);
		if (in_own_networks(own, &route->to.addr))
			finding_error(findings, route->where,
				      "tun.unsafe_routes: %s begins inside the networks of this "
				      "host's certificate, which are reached without a route; "
				      "remove it",
				      text);
		check_gateways(route, own, findings);
	}
}

static int by_destination(const void *a, const void *b)
{
	const struct config_unsafe_route *x = *(const struct config_unsafe_route *const *)a;
	const struct config_unsafe_route *y = *(const struct config_unsafe_route *const *)b;
	struct prefix to_x = prefix_masked(x->to), to_y = prefix_masked(y->to);
	int order = memcmp(&to_x.addr, &to_y.addr, sizeof(to_x.addr));

	if (order == 0)
		order = (to_x.bits > to_y.bits) - (to_x.bits < to_y.bits);
	return order ? order : (x > y) - (x < y);
}

/* A table of routes has one place for each destination. */
static void check_routes_twice(const struct config *config, struct findings *findings)
{
	uint32_t count = config->tun.unsafe_route_count;
	const struct config_unsafe_route **sorted = calloc(count + 1, sizeof(*sorted));
	char text[PREFIX_TEXT_MAX];

	for (uint32_t i = 0; sorted && i < count; i++)
		sorted[i] = &config->tun.unsafe_routes[i];
	if (sorted)
		qsort(sorted, count, sizeof(*sorted), by_destination);
	for (uint32_t i = 1; sorted && i < count; i++) {
		struct prefix before = prefix_masked(sorted[i - 1]->to),
			      to = prefix_masked(sorted[i]->to);

		if (before.bits == to.bits && addr_equal(&before.addr, &to.addr))
			finding_warning(findings, sorted[i]->where,
					"tun.unsafe_routes: %s is given at line %u already, and "
					"the last entry counts; for several gateways write a list "
					"into via",
					prefix_format(&to, text), sorted[i - 1]->where.line);
	}
	free(sorted);
}

static void check_relays(const struct config *config, const struct cert *own,
			 struct findings *findings)
{
	const struct relay_options *relay = &config->relay;
	char text[ADDR_TEXT_MAX];

	for (uint32_t i = 0; i < relay->relay_count; i++)
		if (is_own_addr(own, &relay->relays[i]))
			finding_warning(findings, config->relays_where,
					"relay.relays: %s is this host; remove it here, or set "
					"relay.am_relay if others are to be reached through it",
					addr_format(&relay->relays[i], text));
}

static void check_fit(const struct config *config, const struct cert *own,
		      struct findings *findings)
{
	check_own_size(config, own, findings);
	check_static_hosts(config, own, findings);
	check_static_twice(config, findings);
	check_underlay(config, own, findings);
	check_lighthouses(config, own, findings);
	check_routes(config, own, findings);
	check_routes_twice(config, findings);
	check_relays(config, own, findings);
	/* with errors it may be they that left nothing */
	if (findings->errors == 0 &&
	    config->firewall.rules[INBOUND].count + config->firewall.rules[OUTBOUND].count == 0)
		finding_warning(findings, config->pki.ca.where,
				"no firewall rule, so no packet passes; add rules to "
				"firewall.outbound and firewall.inbound");
}

/* --- all -------------------------------------------------------------------------------------- */

/* Networks and curve of the certificate stay (PROTOCOL.md 3.7). */
static bool may_follow(const struct config *config, const struct pki *running,
		       const struct pki *next, struct findings *findings)
{
	char error[PKI_ERROR_MAX];

	if (running == NULL || pki_check_reload(running, next, error) == 0)
		return true;
	finding_error(findings, config->pki.cert.where, "%s", error);
	return false;
}

/* Opening a pipe waits for whoever writes to it, and who runs must not. An error if it is one. */
static bool refuse_pipe(const char *path, struct where where, struct findings *findings)
{
	struct stat status;

	if (stat(path, &status) != 0 || !S_ISFIFO(status.st_mode))
		return false;
	finding_error(findings, where, "%s: a pipe is read once, at the start; give a file", path);
	return true;
}

/* Of the identity; its values may be texts too, which are no path of anything. */
static bool refuse_pipes(const struct config *config, struct findings *findings)
{
	const struct config_text *texts[] = {&config->pki.ca, &config->pki.cert, &config->pki.key};
	bool refused = false;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i]->text != NULL)
			refused |= refuse_pipe(texts[i]->text, texts[i]->where, findings);
	return refused;
}

int check_load(const char *path, bool strict, int64_t now, struct config **config, struct pki *pki,
	       struct findings *findings)
{
	return check_reload(path, strict, now, NULL, config, pki, findings);
}

int check_reload(const char *path, bool strict, int64_t now, const struct pki *running,
		 struct config **config, struct pki *pki, struct findings *findings)
{
	memset(pki, 0, sizeof(*pki));
	*config = NULL;
	if (running != NULL && refuse_pipe(path, (struct where){path, 0}, findings))
		return -EINVAL;
	*config = config_load(path, findings);
	if (*config == NULL)
		return -EINVAL;
	if (running != NULL && refuse_pipes(*config, findings))
		goto err_config;
	if (pki_init(pki) != 0) {
		finding_error(findings, (struct where){path, 0}, "out of memory");
		goto err_config;
	}
	load_identity(*config, now, pki, findings);
	config_forget_key(*config); /* pki has its own, in secure memory */
	review_identity(*config, now, pki, findings);
	/* what does not fit to other networks is no news */
	if (pki_own_cert(pki) != NULL && may_follow(*config, running, pki, findings))
		check_fit(*config, pki_own_cert(pki), findings);
	if (strict)
		findings_be_strict(findings);
	if (findings->errors == 0)
		return 0;

	pki_free(pki);
err_config:
	config_forget_key(*config); /* again, if it was not too early before */
	config_free(*config);
	*config = NULL;
	return -EINVAL;
}

int check_all(const char *path, bool strict, int64_t now, FILE *out)
{
	struct findings findings = {0};
	struct config *config;
	struct pki pki;
	int err = check_load(path, strict, now, &config, &pki, &findings);

	findings_print(&findings, out);
	if (err == 0) {
		pki_free(&pki);
		config_free(config);
	}
	findings_free(&findings);
	return err == 0 ? 0 : 1;
}
