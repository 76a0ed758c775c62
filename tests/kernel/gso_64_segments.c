/* One UDP_SEGMENT send takes 64 segments, and 65,507 bytes over IPv4. */
#include "kernel_test.h"

int main(void)
{
	struct sockaddr_in at;
	static uint8_t bytes[65507 + 1];
	int size = 4 << 20, fd = udp_loopback(&at), source = socket(AF_INET, SOCK_DGRAM, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	int result = send_segmented(source, &at, bytes, (size_t)64 * 200, 200);
	CHECK(result == 0, "64 segments: %s", strerror(-result));
	int datagrams = 0;
	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) == 200)
		datagrams++;
	CHECK(datagrams == 64, "%d datagrams came", datagrams);
	result = send_segmented(source, &at, bytes, 65507, 1348);
	CHECK(result == 0, "65507 bytes: %s", strerror(-result));
	result = send_segmented(source, &at, bytes, 65508, 1348);
	CHECK(result < 0, "65508 bytes were taken");
	return 0;
}
