/* A joined UDP packet (gso type 5) can be written to a tun without any TUN_F_USO flag: Linux 6.2.
 */
#include "kernel_test.h"

#define GSO_UDP_L4 5
#define SEGMENTS   10
#define PAYLOAD    100

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

int main(void)
{
	static uint8_t buffer[10 + 28 + SEGMENTS * PAYLOAD];
	struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					.gso_type = GSO_UDP_L4,
					.hdr_len = 28,
					.gso_size = PAYLOAD,
					.csum_start = 20,
					.csum_offset = 6};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(5000)};
	uint8_t *ip = buffer + 10, *udp = ip + 20;
	uint16_t word;
	uint32_t sum = 0;

	own_network();
	int tun = tun_make(), sink = socket(AF_INET, SOCK_DGRAM, 0);
	CHECK(bind(sink, (struct sockaddr *)&at, sizeof(at)) == 0, "bind");

	memcpy(buffer, &header, 10);
	memcpy(ip,
	       (uint8_t[]){0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 9, 8, 2, 10, 9, 8, 1},
	       20);
	word = htons(sizeof(buffer) - 10);
	memcpy(ip + 2, &word, 2);
	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)ip[i] << 8 | ip[i + 1];
	word = htons((uint16_t)~fold(sum));
	memcpy(ip + 10, &word, 2);
	uint16_t length = 8 + SEGMENTS * PAYLOAD;
	memcpy(udp, (uint16_t[]){htons(5001), htons(5000), htons(length), 0}, 8);
	/* partial checksum: the pseudo header alone */
	sum = 0x0a09 + 0x0802 + 0x0a09 + 0x0801 + 17 + length;
	word = htons(fold(sum));
	memcpy(udp + 6, &word, 2);

	ssize_t written = write(tun, buffer, sizeof(buffer));
	if (written < 0 && errno == EINVAL)
		SKIP("kernel too old: a tun takes no joined UDP packet");
	CHECK(written == (ssize_t)sizeof(buffer), "write: %s", strerror(errno));
	for (int i = 0; i < SEGMENTS; i++) {
		uint8_t datagram[2000];
		struct timeval limit = {.tv_sec = 2};
		setsockopt(sink, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		ssize_t got = recv(sink, datagram, sizeof(datagram), 0);
		CHECK(got == PAYLOAD, "datagram %d: %zd", i, got);
	}
	return 0;
}
