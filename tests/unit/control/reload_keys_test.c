/*
 * reload_keys_test.c - every key of keys.def that works is changed by a real reload: one marked YES
 * must reach the part that goes by it, one marked NO must be named, alone, and change nothing. A
 * key without a row here fails. What the kernel is told of routes, MTU and addresses:
 * routes_test.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "config/keys.h"
#include "reload_keys.h"

TestSuite(reload_keys);

/* --- the tests ---------------------------------------------------------------------------------
 */

static uint64_t at(const struct row *row)
{
	return row->probe ? row->probe() : 0;
}

static void change(const struct row *row, const struct key *key)
{
	const char *said = world.reload.last.text;
	char expected[200] = "";
	uint64_t was, is;

	reload_with(row->before);
	cr_expect_str_empty(said, "%s before: %s", row->path, said);
	was = at(row);
	reload_with(row->after);
	is = at(row);
	if (key->reload == KEY_RELOAD_NO) {
		snprintf(expected, sizeof(expected), "only at the next start: %s", row->path);
		cr_expect_str_eq(said, expected, "%s: %s", row->path, said);
		cr_expect_eq(was, is, "%s has an effect", row->path);
		reload_with(row->after);
		cr_expect_str_eq(said, expected, "it still waits: %s", said);
		return;
	}
	cr_expect_str_empty(said, "%s: %s", row->path, said);
	cr_expect(row->probe && was != is, "%s has no effect", row->path);
	reload_with(row->before);
	cr_expect(row->probe == look_rules || row->probe == look_write_buffer || at(row) == was,
		  "%s does not go back", row->path);
}

Test(reload_keys, each_key_reloads_or_is_named)
{
	world_make();
	for (size_t i = 0; i < ROWS; i++) {
		const struct key *key = keys_find(rows[i].path);

		cr_assert(key && key->effect == KEY_WORKS, "%s", rows[i].path);
		if (rows[i].probe == look_mark && geteuid() != 0)
			continue; /* the kernel lets only root mark packets */
		change(&rows[i], key);
	}
	world_end();
}

/* What this host is stays until the next start, and so does what only a lighthouse does. */
Test(reload_keys, dns_goes_on_while_am_lighthouse_waits)
{
	const char *said = world.reload.last.text;

	world_make();
	reload_with(DNS(""));
	cr_assert_eq(dns_places(), 1);
	reload_with("lighthouse: {am_lighthouse: false, serve_dns: true, "
		    "dns: {host: 127.0.0.1, port: #}}\n");
	cr_expect_str_eq(said, "only at the next start: lighthouse.am_lighthouse");
	cr_expect_eq(dns_places(), 1, "it still answers");
	reload_with("lighthouse: {am_lighthouse: false, serve_dns: true, "
		    "dns: {host: 127.0.0.2, port: #}}\n");
	cr_expect_eq(dns_places(), 2, "and moves");
	reload_with("lighthouse: {am_lighthouse: false, dns: {host: 127.0.0.2, port: #}}\n");
	cr_expect_eq(dns_places(), 0, "and ends when it is told so");
	world_end();
}

/* A client is to become a lighthouse, with its list of others gone: it has none until the start. */
Test(reload_keys, a_client_without_lighthouses_is_told)
{
	const char *said = world.reload.last.text;

	world_make_with("lighthouse: {hosts: [10.42.0.9]}\n"
			"static_host_map: {10.42.0.9: ['192.0.2.9:1']}\n");
	reload_with(LH(""));
	cr_expect_str_eq(said, "only at the next start: lighthouse.am_lighthouse; until then "
			       "lighthouse.hosts is empty for a host that is no lighthouse");
	reload_with("lighthouse: {am_lighthouse: true, hosts: [10.42.0.9]}\n"
		    "static_host_map: {10.42.0.9: ['192.0.2.9:1']}\n");
	cr_expect_str_eq(said, "only at the next start: lighthouse.am_lighthouse");
	world_end();
}

/* The configuration in force has the mark of the sockets, so the next reload sees a difference. */
Test(reload_keys, a_mark_that_was_refused_is_set_by_the_next_reload)
{
	static const char marked[] = LISTEN(", so_mark: 7");
	int udp;

	if (geteuid() != 0)
		cr_skip("needs root");
	world_make();
	udp = dup(world.udp.fds[0]);
	cr_assert_eq(dup2(open("/dev/null", O_RDONLY), world.udp.fds[0]), world.udp.fds[0]);
	reload_with(marked); /* no socket takes it */
	cr_expect(strstr(world.reload.last.text, "cannot set listen.so_mark 7"), "%s",
		  world.reload.last.text);
	cr_expect_eq(CONFIG->listen.so_mark, 0);
	cr_assert_eq(dup2(udp, world.udp.fds[0]), world.udp.fds[0]);
	reload_with(marked);
	cr_expect_str_empty(world.reload.last.text);
	cr_expect_eq(look_mark(), 7);
	cr_expect_eq(CONFIG->listen.so_mark, 7);
	world_end();
}

Test(reload_keys, every_key_that_works_has_a_row)
{
	for (size_t i = 0; i < keys_count; i++) {
		size_t row = 0;

		while (row < ROWS && strcmp(rows[row].path, keys[i].path) != 0)
			row++;
		cr_expect(keys[i].effect != KEY_WORKS || row < ROWS, "%s", keys[i].path);
	}
}

static unsigned open_files(void)
{
	DIR *list = opendir("/proc/self/fd");
	unsigned count = 0;

	while (readdir(list))
		count++;
	closedir(list);
	return count;
}

Test(reload_keys, refused_reloads_leave_nothing_open)
{
	static const char *const refused[] = {
		"pki: {ca: @/none, cert: @/host.crt, key: @/host.key}\n",
		"pki: {ca: @/ca.crt, cert: @/other.crt, key: @/host.key}\n",
		"pki: {ca: @/ca.crt, cert: @, key: @/host.key}\n",
		"cipher: [aes\n",
		"cipher: rot13\n",
		"firewall: {inbound: [{port: 99999, proto: tcp, host: any}]}\n",
	};
	struct log_options nothing = {.level = LOG_LEVEL_ERROR + 1};
	unsigned before;

	world_make();
	log_setup(&nothing);
	before = open_files();
	for (unsigned i = 0; i < 10 * sizeof(refused) / sizeof(refused[0]); i++) {
		config_write(refused[i % (sizeof(refused) / sizeof(refused[0]))]);
		cr_expect_eq(reload_run(&world.reload), -EINVAL);
		cr_expect_eq(open_files(), before, "%s", world.reload.last.text);
	}
	cr_expect_eq(SNAPSHOT->rules_version, RULES_VERSION_FIRST);
	world_end();
}
