/* local_addrs_test.c - the kernel's addresses, compared with those that getifaddrs() tells. */
#include <criterion/criterion.h>
#include <ifaddrs.h>

#include "sockaddr.h"
#include "system/local_addrs.h"

TestSuite(local_addrs);

Test(local_addrs, has_all)
{
	static struct local_addr list[1024];
	size_t count = local_addrs_dump(list, 1024);
	struct ifaddrs *all;

	cr_assert_eq(getifaddrs(&all), 0);
	for (struct ifaddrs *at = all; at; at = at->ifa_next) {
		struct addr addr;
		bool found = false;

		/* those of IPv6 may be tentative or old, and are left out then */
		if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET)
			continue;
		addr = endpoint_from_sockaddr(at->ifa_addr).addr;
		for (size_t i = 0; i < count; i++)
			found |= addr_equal(&list[i].addr, &addr) &&
				 strcmp(list[i].interface, at->ifa_name) == 0;
		cr_assert(found, "%s", at->ifa_name);
	}
	freeifaddrs(all);
}

Test(local_addrs, is_bounded)
{
	struct local_addr list[2];

	memset(list, 0xee, sizeof(list));
	cr_assert_leq(local_addrs_dump(list, 1), 1);
	cr_assert_eq((uint8_t)list[1].interface[0], 0xee);
	cr_assert_eq(local_addrs_dump(list, 0), 0);
}
