/* pem_file.c - files of certificates and keys; see pem_file.h. */
#include "identity/pem_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <sodium.h>

#include "limits.h"

/* Reads until end of file or until buf is full. Returns the number of bytes or -errno. */
static ssize_t read_all(int fd, char *buf, size_t size)
{
	size_t at = 0;

	while (at < size) {
		ssize_t got = read(fd, buf + at, size - at);

		if (got == 0)
			break;
		if (got > 0)
			at += (size_t)got;
		else if (errno != EINTR)
			return -errno;
	}
	return (ssize_t)at;
}

/*
 * The size is not asked for: pipes and /dev/stdin have none. The text grows in steps of
 * its double, each copied and the old one wiped.
 */
int pem_file_read(const char *path, char **text, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	size_t size = 4096, at = 0;
	char *buf;

	if (fd < 0)
		return -errno;
	buf = sodium_malloc(size);
	while (buf != NULL) {
		ssize_t got = read_all(fd, buf + at, size - 1 - at);
		char *bigger;

		if (got < 0) {
			err = (int)got;
			goto err_free;
		}
		at += (size_t)got;
		if (at < size - 1)
			break;
		if (size >= PEM_FILE_MAX) {
			err = -E2BIG;
			goto err_free;
		}
		bigger = sodium_malloc(size * 2);
		if (bigger != NULL)
			memcpy(bigger, buf, at);
		sodium_free(buf);
		buf = bigger;
		size *= 2;
	}
	close(fd);
	if (buf == NULL)
		return -ENOMEM;
	buf[at] = '\0';
	*text = buf;
	*len = at;
	return 0;

err_free:
	sodium_free(buf);
	close(fd);
	return err;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len != 0) {
		ssize_t put = write(fd, text, len);

		if (put >= 0) {
			text += put;
			len -= (size_t)put;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

int pem_file_create(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), err;

	if (fd < 0)
		return -errno;
	err = write_all(fd, text, len);
	if (close(fd) != 0 && err == 0)
		err = -errno;
	if (err != 0)
		unlink(path);
	return err;
}
