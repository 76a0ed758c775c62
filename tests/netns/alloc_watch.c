/*
 * alloc_watch.c - preloaded into m57: counts what worker threads allocate and free.
 *
 * A worker is a thread whose name begins with "m57-w". The count stands in the first 8 bytes of the
 * file that M57_ALLOC_WATCH names, where the test reads it while the node runs. With
 * M57_PLANT_VIOLATION=1 a thread named m57-w99 allocates and asks for its parent's pid in a loop:
 * both the allocation check and the system call check must find it.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static _Atomic uint64_t unwatched;
static _Atomic uint64_t *count = &unwatched;

static void watch(void)
{
	/* a thread gets its name soon after it starts, so the answer is kept only when it is yes */
	static __thread int worker __attribute__((tls_model("initial-exec")));
	if (!worker) {
		char name[16] = "";
		prctl(PR_GET_NAME, name);
		worker = strncmp(name, "m57-w", 5) == 0;
	}
	if (worker)
		atomic_fetch_add(count, 1);
}

void *malloc(size_t size)
{
	watch();
	return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	watch();
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	watch();
	return __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	watch();
	return __libc_memalign(alignment, size);
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
	watch();
	*p = __libc_memalign(alignment, size);
	return *p ? 0 : 12;
}

void free(void *p)
{
	if (p)
		watch();
	__libc_free(p);
}

static void *violate(void *unused)
{
	prctl(PR_SET_NAME, "m57-w99");
	for (;;) {
		void *volatile p = malloc(100);
		free(p);
		syscall(SYS_getppid);
		usleep(10000);
	}
	return unused;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("M57_ALLOC_WATCH");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	pthread_t thread;

	if (fd >= 0) {
		void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (page != MAP_FAILED)
			count = page;
		close(fd);
	}
	if (getenv("M57_PLANT_VIOLATION"))
		pthread_create(&thread, NULL, violate, NULL);
}
