/* notify_test.c - the service manager hears READY=1 on a path and on an abstract name. */
#include "system/notify.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit/temp_path.h"

static void heard_at(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	char text[32] = "";
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	memcpy(address.sun_path, name, strlen(name));
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	else
		length++;
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0);
	setenv("NOTIFY_SOCKET", name, 1);
	cr_assert_eq(notify_send("READY=1"), 0);
	cr_assert_eq(recv(fd, text, sizeof(text), MSG_DONTWAIT), 7);
	cr_assert_str_eq(text, "READY=1");
	close(fd);
}

Test(notify, path_and_abstract)
{
	char name[TEMP_PATH_MAX];

	temp_path(name, "notify");
	heard_at(name);
	unlink(name);
	snprintf(name, sizeof(name), "@m57-notify-%d", (int)getpid());
	heard_at(name);
}

Test(notify, no_manager)
{
	char name[200];

	unsetenv("NOTIFY_SOCKET");
	cr_assert_eq(notify_send("READY=1"), 0);
	setenv("NOTIFY_SOCKET", "relative", 1);
	cr_assert_eq(notify_send("READY=1"), -EINVAL);
	memset(name, 'a', sizeof(name));
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1);
	cr_assert_eq(notify_send("READY=1"), -EINVAL, "longer than a socket address");
	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	cr_assert_eq(notify_send("READY=1"), -ENOENT);
}
