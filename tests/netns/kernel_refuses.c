/*
 * kernel_refuses.c - preloaded into m57: the kernel refuses what M57_REFUSES names. What is refused
 * is asked for by the C library's syscall().
 *
 *   ring     workers' rings are not enabled, as without memory (dataplane/io/uring_compat.h)
 *   program  the first loads of an eBPF program are interrupted, as by a signal
 *            (control/system/sparse.c)
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define INTERRUPTIONS 4

static bool refuses(const char *what)
{
	const char *named = getenv("M57_REFUSES");

	return named && strcmp(named, what) == 0;
}

/* The error that the kernel would give, or 0. */
static int refusal(long number, const long a[6])
{
	static int interrupted;

	if (number == __NR_io_uring_register && a[1] == IORING_REGISTER_ENABLE_RINGS &&
	    refuses("ring"))
		return ENOMEM;
	if (number == SYS_bpf && a[0] == BPF_PROG_LOAD && refuses("program") &&
	    interrupted++ < INTERRUPTIONS)
		return EAGAIN;
	return 0;
}

long syscall(long number, ...)
{
	static long (*real)(long, ...);
	va_list list;
	long a[6];

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	int error = refusal(number, a);
	if (error) {
		errno = error;
		return -1;
	}
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
