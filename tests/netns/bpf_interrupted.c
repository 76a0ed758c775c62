/*
 * bpf_interrupted.c - preloaded into m57: the kernel's verifier is interrupted some times, as by a
 * signal. Programs are loaded by the C library's syscall() (control/system/sparse.c).
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <sys/syscall.h>

#define INTERRUPTIONS 4

long syscall(long number, ...)
{
	static long (*real)(long, ...);
	static int interrupted;
	va_list list;
	long a[6];

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_bpf && a[0] == BPF_PROG_LOAD && interrupted++ < INTERRUPTIONS) {
		errno = EAGAIN;
		return -1;
	}
	if (!real)
		real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
