/*
 * probe.c - which tier of io_uring the running kernel offers (include/dataplane.h).
 */
#include "io/uring.h"

#include <stdio.h>
#include <stdlib.h>

const char *dataplane_tier_name(enum io_tier tier)
{
	static const char *const names[] = {
		[IO_TIER_NONE] = "none", [IO_TIER_6_1] = "6.1", [IO_TIER_6_7] = "6.7"};
	return names[tier];
}

static enum io_tier lowered(enum io_tier tier)
{
	const char *wish = getenv("M57_TIER");

	for (enum io_tier t = IO_TIER_NONE; wish && t < tier; t++)
		if (strcmp(wish, dataplane_tier_name(t)) == 0)
			return t;
	return tier;
}

static bool has_operation(struct io_uring *ring, unsigned operation)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	bool has = probe && probe->last_op >= operation &&
		   (probe->ops[operation].flags & IO_URING_OP_SUPPORTED);

	io_uring_free_probe(probe);
	return has;
}

static int sysctl_io_uring_disabled(void)
{
	FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
	int value = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%d", &value) != 1)
		value = 0;
	fclose(f);
	return value;
}

static void explain(int err, char error[256])
{
	if (err == -EPERM && sysctl_io_uring_disabled() > 0)
		snprintf(error, 256,
			 "io_uring is switched off by the sysctl kernel.io_uring_disabled=%d; set "
			 "it to 0",
			 sysctl_io_uring_disabled());
	else if (err == -EPERM || err == -EACCES)
		snprintf(error, 256,
			 "io_uring is denied to this process (a container's seccomp profile?); "
			 "allow the io_uring system calls");
	else if (err == -ENOSYS)
		snprintf(error, 256,
			 "this kernel has no io_uring, or a seccomp profile hides it; use Linux "
			 "6.1 or newer and allow the io_uring system calls");
	else if (err == -EINVAL)
		snprintf(error, 256,
			 "this kernel's io_uring lacks DEFER_TASKRUN; use Linux 6.1 or newer");
	else if (err == -ENOMEM || err == -EMFILE)
		snprintf(error, 256, "io_uring cannot be set up: %s; raise the limit of %s",
			 strerror(-err),
			 err == -ENOMEM ? "locked memory (ulimit -l)" : "open files (ulimit -n)");
	else
		snprintf(error, 256, "io_uring cannot be set up: %s; use Linux 6.1 or newer",
			 strerror(-err));
}

enum io_tier dataplane_probe_tier(char error[256])
{
	struct io_uring ring;
	struct io_uring_params p = {
		.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN,
	};
	int err = io_uring_queue_init_params(4, &ring, &p);
	if (err) {
		explain(err, error);
		return IO_TIER_NONE;
	}
	enum io_tier tier =
		has_operation(&ring, COMPAT_OP_READ_MULTISHOT) ? IO_TIER_6_7 : IO_TIER_6_1;
	io_uring_queue_exit(&ring);

	tier = lowered(tier);
	if (tier == IO_TIER_NONE)
		snprintf(error, 256,
			 "io_uring is switched off by the environment variable M57_TIER=none; "
			 "unset it");
	return tier;
}
