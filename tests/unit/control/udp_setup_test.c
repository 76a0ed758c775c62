/* udp_setup_test.c - the sockets of all queues share one port that no other program can have. */
#include "system/udp_setup.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "addr_text.h"
#include "sockaddr.h"
#include "wire.h"

static uint16_t port_of(int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
						   : ((struct sockaddr_in *)&address)->sin_port);
}

Test(udp_setup, all_queues_share_the_chosen_port)
{
	struct udp_options options = {.host = "127.0.0.1", .queues = 4, .offloads = true};
	struct udp_sockets sockets, second;
	char error[ERROR_LINE_MAX], text[ENDPOINT_TEXT_MAX];

	cr_assert_eq(udp_open(&sockets, &options, error), 0, "%s", error);
	cr_assert_neq(sockets.bound.port, 0);
	for (uint32_t i = 0; i < 4; i++)
		cr_assert_eq(port_of(sockets.fds[i]), sockets.bound.port);
	endpoint_format(&sockets.bound, text);
	cr_assert_eq(strncmp(text, "127.0.0.1:", 10), 0, "%s", text);

	/* A second node, with one queue and with several: refused with one clear line. */
	options.port = sockets.bound.port;
	for (options.queues = 1; options.queues < 3; options.queues++) {
		cr_assert_eq(udp_open(&second, &options, error), -EADDRINUSE);
		cr_assert(strstr(error, "listen.port") && strstr(error, "another process"), "%s",
			  error);
		cr_assert_null(strchr(error, '\n'));
		cr_assert_eq(second.queues, 0);
	}

	/* So is a stranger without SO_REUSEPORT. */
	int stranger = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(sockets.bound.port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	cr_assert_neq(bind(stranger, (struct sockaddr *)&address, sizeof(address)), 0);
	udp_close(&sockets);

	/* The port is free again; now the stranger, with SO_REUSEPORT, is first, and we are
	 * refused. */
	int on = 1;

	setsockopt(stranger, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	cr_assert_eq(bind(stranger, (struct sockaddr *)&address, sizeof(address)), 0);
	options.queues = 4;
	cr_assert_eq(udp_open(&sockets, &options, error), -EADDRINUSE);
	close(stranger);
}

Test(udp_setup, datagrams_are_spread_over_the_group)
{
	struct udp_options options = {.host = "127.0.0.1", .queues = 2};
	struct udp_sockets sockets;
	char error[ERROR_LINE_MAX], byte;
	unsigned got[2] = {0};

	cr_assert_eq(udp_open(&sockets, &options, error), 0, "%s", error);
	cr_assert_not(sockets.gso || sockets.gro);
	for (int i = 0; i < 64; i++) {
		struct sockaddr_in to = {.sin_family = AF_INET,
					 .sin_port = htons(sockets.bound.port),
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		int sender = socket(AF_INET, SOCK_DGRAM, 0);

		cr_assert_eq(sendto(sender, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
		close(sender);
	}
	for (int i = 0; i < 2; i++)
		while (recv(sockets.fds[i], &byte, 1, MSG_DONTWAIT) == 1)
			got[i]++;
	cr_assert_eq(got[0] + got[1], 64);
	cr_assert(got[0] && got[1], "the second socket is not in the group: %u %u", got[0], got[1]);
	udp_close(&sockets);
}

/* Sends from one port to the group and says which socket got it; -1: none or several. */
static int got_by(const struct udp_sockets *sockets, int sender, const uint8_t *bytes,
		  size_t length)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(sockets->bound.port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	uint8_t received[64];
	int by = -1;

	cr_assert_eq(sendto(sender, bytes, length, 0, (struct sockaddr *)&to, sizeof(to)), length);
	for (uint32_t i = 0; i < sockets->queues; i++)
		if (recv(sockets->fds[i], received, sizeof(received), MSG_DONTWAIT) ==
		    (ssize_t)length)
			by = by < 0 ? (int)i : -2;
	return by;
}

Test(udp_setup, one_peer_is_steered_by_index)
{
	struct udp_options options = {.host = "127.0.0.1", .queues = 5};
	struct udp_sockets sockets;
	char error[ERROR_LINE_MAX];
	uint8_t packet[32] = {0};
	int sender = socket(AF_INET, SOCK_DGRAM, 0), hashed;

	cr_assert_eq(udp_open(&sockets, &options, error), 0, "%s", error);
	if (sockets.steer_error)
		cr_skip("no classic BPF on reuseport groups here");
	for (uint32_t index = 1; index < 4000000000u; index += 99999989u) {
		wire_write(packet, WIRE_MESSAGE, index, 3);
		cr_assert_eq(got_by(&sockets, sender, packet, 32), (int)(index % 5), "%u", index);
		wire_write(packet, WIRE_TEST_REPLY, index, 3);
		cr_assert_eq(got_by(&sockets, sender, packet, 32), (int)(index % 5), "%u", index);
	}
	/* Handshakes and what has no header go where the hash says: one place, whatever the index.
	 */
	hashed = got_by(&sockets, sender, packet, 15);
	cr_assert_geq(hashed, 0);
	for (uint32_t index = 0; index < 5; index++) {
		wire_write(packet, WIRE_HANDSHAKE, index, 2);
		cr_assert_eq(got_by(&sockets, sender, packet, 32), hashed);
	}
	close(sender);
	udp_close(&sockets);
}

Test(udp_setup, flows_of_one_tunnel_are_steered_by_label)
{
	struct udp_options options = {.host = "127.0.0.1", .queues = 3, .spread = true};
	struct udp_sockets sockets;
	char error[ERROR_LINE_MAX];
	uint8_t packet[32] = {0};
	int sender = socket(AF_INET, SOCK_DGRAM, 0);

	cr_assert_eq(udp_open(&sockets, &options, error), 0, "%s", error);
	if (sockets.steer_error)
		cr_skip("no classic BPF on reuseport groups here");
	cr_expect_eq(sockets.steering, STEER_LABEL);
	/* the sum wraps in 32 bits, as label_owner() does */
	for (uint32_t index = 0xfffffff0u; index != 0x10; index++) {
		uint16_t label = (uint16_t)(1 + index * 7 % FLOW_LABELS_MAX);
		uint32_t owner = (index + label) % 3;

		wire_write_labelled(packet, WIRE_MESSAGE, label, index, 3);
		cr_assert_eq(got_by(&sockets, sender, packet, 32), (int)owner, "%u", index);
		wire_write(packet, WIRE_MESSAGE, index, 3);
		cr_assert_eq(got_by(&sockets, sender, packet, 32), (int)(index % 3), "%u", index);
	}
	/* and back again, while they are in use */
	cr_assert_eq(steer_by(STEER_INDEX, sockets.fds[0], 3, false), 0);
	wire_write_labelled(packet, WIRE_MESSAGE, 1, 9, 3);
	cr_expect_eq(got_by(&sockets, sender, packet, 32), 0);
	close(sender);
	udp_close(&sockets);
}

static int ttl_of(int fd)
{
	int ttl = 0;
	socklen_t length = sizeof(ttl);

	cr_assert_eq(getsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, &length), 0);
	return ttl;
}

Test(udp_setup, sparse_flows_have_the_last_socket_to_themselves)
{
	struct udp_options options = {.host = "127.0.0.1", .queues = 2, .sparse = true};
	struct udp_sockets sockets;
	char error[ERROR_LINE_MAX];
	uint8_t packet[32] = {0};
	int sender = socket(AF_INET, SOCK_DGRAM, 0);

	cr_assert_eq(udp_open(&sockets, &options, error), 0, "%s", error);
	cr_assert_eq(sockets.steer_error, 0);
	cr_assert(sockets.sparse);
	cr_assert_eq(sockets.queues, 2);
	for (uint32_t index = 1; index < 40; index++) {
		wire_write_labelled(packet, WIRE_MESSAGE, WIRE_LABEL_SPARSE, index, 3);
		cr_assert_eq(got_by(&sockets, sender, packet, 32), 1, "%u", index);
		wire_write_labelled(packet, WIRE_MESSAGE, (uint16_t)index, index, 3);
		cr_assert_eq(got_by(&sockets, sender, packet, 32), 0, "%u", index);
		/* from elsewhere each time, as the kernel's own choice goes by that */
		close(sender);
		sender = socket(AF_INET, SOCK_DGRAM, 0);
		wire_write(packet, WIRE_HANDSHAKE, index, 1);
		cr_assert_eq(got_by(&sockets, sender, packet, 32), 0, "%u", index);
		cr_assert_eq(got_by(&sockets, sender, packet, index % 16 + 1), 0, "junk");
	}
	cr_expect_eq(ttl_of(sockets.fds[1]), ttl_of(sockets.fds[0]) - 1,
		     "GRO joins them to no others");
	close(sender);
	udp_close(&sockets);
}

Test(udp_setup, dual_stack_takes_both_families)
{
	struct udp_options options = {.host = "::", .queues = 2};
	struct udp_sockets sockets;
	char error[ERROR_LINE_MAX], byte;
	struct endpoint to = {.addr = addr_from_v4(INADDR_LOOPBACK)};
	union sockaddr_ip address;

	if (udp_open(&sockets, &options, error) != 0)
		cr_skip("no IPv6 here");
	cr_assert(sockets.v6);
	to.port = sockets.bound.port;

	/* To itself over IPv4, by the mapped address. */
	socklen_t length = endpoint_to_sockaddr(&to, true, &address);

	cr_assert_eq(sendto(sockets.fds[0], "x", 1, 0, (struct sockaddr *)&address, length), 1);
	cr_assert_eq(recv(sockets.fds[0], &byte, 1, MSG_DONTWAIT) +
			     recv(sockets.fds[1], &byte, 1, MSG_DONTWAIT),
		     0, "exactly one of the two has it");
	udp_close(&sockets);
}

/* A minimal system has no /etc/hosts: there the name's own way is not tried. */
static const char *loopback_host(void)
{
	struct addrinfo *found;

	if (getaddrinfo("localhost", NULL, NULL, &found)) {
		return "127.0.0.1";
	}
	freeaddrinfo(found);
	return "localhost";
}

Test(udp_setup, buffers_are_read_back_and_errors_explain)
{
	struct udp_options options = {.host = loopback_host(),
				      .queues = 1,
				      .read_buffer = 300000,
				      .write_buffer = 400000};
	struct udp_sockets sockets;
	char error[ERROR_LINE_MAX];
	static const struct {
		const char *host, *says;
	} rows[] = {
		{"192.0.2.1", "no address of this host"},
		{"no-such-host.invalid", "listen.host"},
	};

	cr_assert_eq(udp_open(&sockets, &options, error), 0, "%s", error);
	if (geteuid() == 0) {
		cr_assert_geq(sockets.read_buffer, 300000);
		cr_assert_geq(sockets.write_buffer, 400000);
	}
	udp_close(&sockets);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		options.host = rows[i].host;
		cr_assert_lt(udp_open(&sockets, &options, error), 0);
		cr_assert(strstr(error, rows[i].says), "%s", error);
	}
}

static int option_of(int fd, int option)
{
	int value = 0;
	socklen_t length = sizeof(value);

	cr_assert_eq(getsockopt(fd, SOL_SOCKET, option, &value, &length), 0);
	return value;
}

/* The kernel refuses it to the last socket, which is none. */
Test(udp_setup, a_mark_is_on_all_sockets_or_on_none)
{
	struct udp_options before = {.host = "127.0.0.1", .queues = 3, .mark = 7};
	struct udp_options after = before;
	struct udp_sockets sockets;
	char error[ERROR_LINE_MAX];
	int last;

	if (geteuid() != 0)
		cr_skip("needs root");
	cr_assert_eq(udp_open(&sockets, &before, error), 0, "%s", error);
	after.mark = 42;
	last = dup(sockets.fds[2]);
	cr_assert_eq(dup2(open("/dev/null", O_RDONLY), sockets.fds[2]), sockets.fds[2]);
	cr_assert_eq(udp_reconfigure(&sockets, &before, &after, error), -ENOTSOCK);
	cr_expect(strstr(error, "listen.so_mark 42"), "%s", error);
	cr_assert_eq(dup2(last, sockets.fds[2]), sockets.fds[2]);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(option_of(sockets.fds[i], SO_MARK), 7, "socket %d", i);
	cr_assert_eq(udp_reconfigure(&sockets, &before, &after, error), 0, "%s", error);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(option_of(sockets.fds[i], SO_MARK), 42, "socket %d", i);
	udp_close(&sockets);
}

/* A reload: every socket gets what differs, and nothing else is touched. */
Test(udp_setup, buffers_change_while_it_runs)
{
	struct udp_options before = {.host = "127.0.0.1", .queues = 2, .read_buffer = 100000};
	struct udp_options after = before;
	struct udp_sockets sockets;
	char error[ERROR_LINE_MAX];
	int write_buffer;

	cr_assert_eq(udp_open(&sockets, &before, error), 0, "%s", error);
	write_buffer = option_of(sockets.fds[1], SO_SNDBUF);
	if (geteuid() == 0)
		cr_expect_geq(write_buffer, (int)UDP_WRITE_BUFFER_DEFAULT);
	after.read_buffer = 50000;
	cr_assert_eq(udp_reconfigure(&sockets, &before, &after, error), 0, "%s", error);
	for (int i = 0; i < 2; i++) {
		cr_expect_eq(option_of(sockets.fds[i], SO_RCVBUF), 100000);
		cr_expect_eq(option_of(sockets.fds[i], SO_SNDBUF), write_buffer);
	}
	cr_expect_eq(sockets.read_buffer, 100000);
	if (geteuid() == 0) {
		before = after;
		after.mark = 42;
		cr_assert_eq(udp_reconfigure(&sockets, &before, &after, error), 0, "%s", error);
		cr_expect_eq(option_of(sockets.fds[1], SO_MARK), 42);
		cr_assert_eq(udp_reconfigure(&sockets, &after, &before, error), 0, "%s", error);
		cr_expect_eq(option_of(sockets.fds[1], SO_MARK), 0);
	}
	udp_close(&sockets);
}
