/* pem.c - PEM blocks; see pem.h. Line oriented, as the format is. */
#include "identity/pem.h"

#include <errno.h>
#include <string.h>
#include <sodium.h>

#define BEGIN "-----BEGIN "
#define END   "-----END "
#define TAIL  "-----"

#define LINE_CHARS 64 /* base64 characters to a line, as everybody writes them */
#define LINE_BYTES 48 /* what they encode */

/* A line without its newline and without blanks at its end. */
struct line {
	const char *text;
	size_t len;
};

/* Takes the next line of [*at, end); false at the end. */
static bool line_next(const char **at, const char *end, struct line *line)
{
	const char *newline;

	if (*at >= end)
		return false;
	newline = memchr(*at, '\n', (size_t)(end - *at));
	line->text = *at;
	line->len = (size_t)((newline != NULL ? newline : end) - *at);
	*at = newline != NULL ? newline + 1 : end;
	while (line->len > 0 &&
	       (line->text[line->len - 1] == '\r' || line->text[line->len - 1] == ' ' ||
		line->text[line->len - 1] == '\t'))
		line->len--;
	return true;
}

/* Is line "<start>BANNER-----"? Then banner gets the part between. */
static bool line_banner(const struct line *line, const char *start, struct line *banner)
{
	size_t start_len = strlen(start), tail_len = strlen(TAIL);

	if (line->len < start_len + tail_len || memcmp(line->text, start, start_len) != 0 ||
	    memcmp(line->text + line->len - tail_len, TAIL, tail_len) != 0)
		return false;
	banner->text = line->text + start_len;
	banner->len = line->len - start_len - tail_len;
	return true;
}

/* Does the line begin a block, well formed or not? */
static bool line_begins(const struct line *line)
{
	return line->len >= strlen(BEGIN) && memcmp(line->text, BEGIN, strlen(BEGIN)) == 0;
}

/* Is it the end of the text, and as much of a BEGIN as was left of it? */
static bool line_is_cut(const struct line *line, const char *at, const char *end)
{
	return at == end && end[-1] != '\n' && line->len > 0 && line->len < strlen(BEGIN) &&
	       memcmp(line->text, BEGIN, line->len) == 0;
}

static int body_decode(const char *body, size_t len, struct pem_block *block)
{
	size_t size = len / 4 * 3 + 3;

	/* Generous for line ends of any kind; the exact bound is on the decoded length. */
	if (len > 2 * (size_t)PEM_BLOCK_MAX)
		return -E2BIG;
	block->bytes = sodium_malloc(size);
	if (block->bytes == NULL)
		return -ENOMEM;
	if (sodium_base642bin(block->bytes, size, body, len, " \t\r\n", &block->len, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0) {
		pem_block_free(block);
		return -EBADMSG;
	}
	if (block->len > PEM_BLOCK_MAX) {
		pem_block_free(block);
		return -E2BIG;
	}
	return 0;
}

int pem_next(const char **at, const char *end, struct pem_block *block)
{
	struct line line, banner, end_banner;
	const char *body, *body_end;

	memset(block, 0, sizeof(*block));
	do {
		if (!line_next(at, end, &line))
			return -ENOENT;
		if (line_is_cut(&line, *at, end))
			return -EBADMSG;
	} while (!line_begins(&line));
	if (!line_banner(&line, BEGIN, &banner) || banner.len >= sizeof(block->banner) ||
	    memchr(banner.text, '\0', banner.len) != NULL)
		return -EBADMSG;
	memcpy(block->banner, banner.text, banner.len);

	body = *at;
	do {
		body_end = *at;
		if (!line_next(at, end, &line))
			return -EBADMSG;
	} while (!line_banner(&line, END, &end_banner));
	if (end_banner.len != banner.len || memcmp(end_banner.text, banner.text, banner.len) != 0)
		return -EBADMSG;
	return body_decode(body, (size_t)(body_end - body), block);
}

void pem_block_free(struct pem_block *block)
{
	sodium_free(block->bytes); /* wipes first */
	block->bytes = NULL;
	block->len = 0;
}

char *pem_encode(const char *banner, const uint8_t *bytes, size_t len, size_t *text_len)
{
	size_t lines = (len + LINE_BYTES - 1) / LINE_BYTES;
	size_t size = 2 * (strlen(BEGIN) + strlen(banner) + strlen(TAIL) + 1) +
		      lines * (LINE_CHARS + 1) + 1;
	char *text = sodium_malloc(size), *to = text;

	if (text == NULL)
		return NULL;
	to = stpcpy(stpcpy(stpcpy(to, BEGIN), banner), TAIL "\n");
	for (size_t at = 0; at < len; at += LINE_BYTES) {
		size_t part = len - at < LINE_BYTES ? len - at : LINE_BYTES;

		sodium_bin2base64(to, LINE_CHARS + 1, bytes + at, part,
				  sodium_base64_VARIANT_ORIGINAL);
		to += strlen(to);
		*to++ = '\n';
	}
	to = stpcpy(stpcpy(stpcpy(to, END), banner), TAIL "\n");
	*text_len = (size_t)(to - text);
	return text;
}

bool pem_may_be_secret(const char *text)
{
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/=";

	if (strstr(text, "-----BEGIN") != NULL || strstr(text, "PRIVATE KEY") != NULL)
		return true;
	for (size_t run; *text != '\0'; text += run + (text[run] != '\0')) {
		run = strspn(text, base64);
		if (run >= 40)
			return true;
	}
	return false;
}
