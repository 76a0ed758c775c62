/*
 * utf8.h - UTF-8 that was cut to a number of bytes, perhaps inside a character. JSON takes whole
 * ones only: one such text makes an answer fail.
 */
#ifndef M57_UTF8_H
#define M57_UTF8_H

#include <stddef.h>

/* Bytes of the sequence at text, as its first byte says; 0: it is none, or not whole. */
static inline size_t utf8_whole(const char *text)
{
	unsigned char first = (unsigned char)text[0];
	size_t bytes = 4;

	if (first < 0x80)
		return 1;
	if (first < 0xf0)
		bytes = first < 0xc0 ? 0 : first < 0xe0 ? 2 : 3;
	for (size_t i = 1; i < bytes; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 0;
	return bytes;
}

/* Each byte of a character that is not whole becomes "?". */
static inline void utf8_mend(char *text)
{
	while (*text) {
		size_t bytes = utf8_whole(text);

		if (bytes == 0)
			*text = '?';
		text += bytes ? bytes : 1;
	}
}

#endif
