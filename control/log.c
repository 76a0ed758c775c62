/*
 * log.c - the log; see log.h.
 *
 * A line is built in one buffer and written by one call. Text lines are logrus' as Nebula up
 * to 1.10 has them: time, level, msg, then the fields sorted by key; a value with other characters
 * than letters, digits and -._/@^+ is quoted as Go quotes strings.
 */
#include "log.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/limits.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "addr_text.h"
#include "limits.h"

static struct log_options current = {.level = LOG_LEVEL_INFO};
static FILE *stream;
static struct timespec (*wall_clock)(void);
static uint64_t lost;  /* lines since one was written last */
static int lost_errno; /* why the last of them was refused; 0: nobody read */
static bool torn;      /* the last line that was written has no end */

static const char *const level_names[] = {
	[LOG_LEVEL_TRACE] = "trace",     [LOG_LEVEL_DEBUG] = "debug", [LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_ERROR] = "error",
};

/* --- a bounded line --------------------------------------------------------------------------- */

struct line {
	char *buf;
	size_t size, len;
	bool json;
};

/* Room is kept for the end of a cut line: "} and the newline. */
#define TAIL_BYTES 4
/* A comma, quotes and a colon around a key, what put_quoted() keeps free, an empty value. */
#define KEY_ROOM (4 + 8 + TAIL_BYTES + 2)

static void put(struct line *line, const char *bytes, size_t len)
{
	if (line->len + len + TAIL_BYTES > line->size)
		len = line->size > line->len + TAIL_BYTES ? line->size - line->len - TAIL_BYTES : 0;
	memcpy(line->buf + line->len, bytes, len);
	line->len += len;
}

static void put_text(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

static void put_format(struct line *line, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void put_format(struct line *line, const char *format, ...)
{
	char buf[80];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(buf, sizeof(buf), format, arguments);
	va_end(arguments);
	put_text(line, buf);
}

static bool full(const struct line *line)
{
	return line->len + TAIL_BYTES >= line->size;
}

/* Bytes of the UTF-8 character at text, its code point in *code; 0 if it is none. */
static size_t utf8_length(const unsigned char *text, uint32_t *code)
{
	size_t len = text[0] < 0x80             ? 1
		     : (text[0] & 0xe0) == 0xc0 ? 2
		     : (text[0] & 0xf0) == 0xe0 ? 3
		     : (text[0] & 0xf8) == 0xf0 ? 4
						: 0;
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};

	if (len <= 1) {
		*code = text[0];
		return len;
	}
	*code = text[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((text[i] & 0xc0) != 0x80) /* the terminator stops here, too */
			return 0;
		*code = *code << 6 | (text[i] & 0x3f);
	}
	return *code < least[len] || *code > 0x10ffff || (*code & 0xfffff800) == 0xd800 ? 0 : len;
}

/* Does a terminal or a reader take this character for something else than itself? */
static bool is_deceptive(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || /* controls */
	       (code >= 0x200b && code <= 0x200f) ||           /* zero width, direction marks */
	       (code >= 0x2028 && code <= 0x202e) ||           /* line ends, overrides */
	       (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

/* text between double quotes; JSON's escapes, or Go's. */
static void put_quoted(struct line *line, const char *text)
{
	const unsigned char *at = (const unsigned char *)text;

	put_text(line, "\"");
	/* a character is put whole, so that a cut line does not end within an escape */
	while (*at != '\0' && line->len + 8 + TAIL_BYTES < line->size) {
		uint32_t code;
		size_t len = utf8_length(at, &code);

		if (len == 0) {
			if (line->json)
				put_text(line, "\\ufffd");
			else
				put_format(line, "\\x%02x", *at);
			len = 1;
		} else if (code == '"' || code == '\\') {
			put_format(line, "\\%c", (char)code);
		} else if (code == '\n' || code == '\r' || code == '\t') {
			put_text(line, code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t");
		} else if (is_deceptive(code)) {
			put_format(line, line->json || code > 0x7f ? "\\u%04x" : "\\x%02x", code);
		} else {
			put(line, (const char *)at, len);
		}
		at += len;
	}
	put_text(line, "\"");
}

static void put_value(struct line *line, const char *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._/@^+";

	if (line->json || strspn(text, plain) != strlen(text))
		put_quoted(line, text);
	else
		put_text(line, text);
}

/* --- fields ----------------------------------------------------------------------------------- */

static void put_field(struct line *line, const struct log_field *field)
{
	char text[ENDPOINT_TEXT_MAX];

	switch (field->kind) {
	case LOG_FIELD_TEXT:
		put_value(line, field->text != NULL ? field->text : "");
		break;
	case LOG_FIELD_UNSIGNED:
		put_format(line, "%" PRIu64, field->number);
		break;
	case LOG_FIELD_ENDPOINT:
		put_value(line, endpoint_format(field->endpoint, text));
		break;
	case LOG_FIELD_STAGE:
		put_format(line,
			   line->json ? "{\"stage\":%" PRIu64 ",\"style\":\"ix_psk0\"}"
				      : "\"map[stage:%" PRIu64 " style:ix_psk0]\"",
			   field->number);
		break;
	case LOG_FIELD_END:
		break;
	}
}

/* Pointers to the fields, sorted by key; returns how many. */
static size_t sort_fields(const struct log_field *fields,
			  const struct log_field *sorted[LOG_FIELDS_MAX])
{
	size_t count = 0;

	for (; fields->kind != LOG_FIELD_END && count < LOG_FIELDS_MAX; fields++) {
		size_t slot = count++;

		while (slot > 0 && strcmp(sorted[slot - 1]->key, fields->key) > 0) {
			sorted[slot] = sorted[slot - 1];
			slot--;
		}
		sorted[slot] = fields;
	}
	return count;
}

/* RFC 3339 in local time, as Go prints it. */
static void format_time(struct timespec when, char buf[40])
{
	struct tm local;
	size_t len;

	localtime_r(&when.tv_sec, &local);
	len = strftime(buf, 32, "%Y-%m-%dT%H:%M:%S", &local);
	if (local.tm_gmtoff == 0) {
		strcpy(buf + len, "Z");
	} else {
		long minutes = local.tm_gmtoff / 60, absolute = minutes < 0 ? -minutes : minutes;

		snprintf(buf + len, 40 - len, "%c%02ld:%02ld", minutes < 0 ? '-' : '+',
			 absolute / 60 % 24, absolute % 60);
	}
}

static void text_line(struct line *line, enum log_level level, const char *time,
		      const char *message, const struct log_field *const *fields, size_t count)
{
	if (time != NULL) {
		put_text(line, "time=\"");
		put_text(line, time);
		put_text(line, "\" ");
	}
	put_format(line, "level=%s msg=", level_names[level]);
	put_value(line, message);
	for (size_t i = 0; i < count; i++) {
		put_text(line, " ");
		put_text(line, fields[i]->key);
		put_text(line, "=");
		put_field(line, fields[i]);
	}
}

/* Keys sorted, ours among the fields', as logrus does. Fields that do not fit are left out whole.
 */
static void json_line(struct line *line, enum log_level level, const char *time,
		      const char *message, const struct log_field *const *fields, size_t count)
{
	const struct log_field own[] = {
		LOG_STR("level", level_names[level]),
		LOG_STR("msg", message),
		LOG_STR("time", time),
	};
	size_t own_count = time != NULL ? 3 : 2;

	put_text(line, "{");
	for (size_t i = 0, j = 0; i < count || j < own_count;) {
		bool take_own =
			i == count || (j < own_count && strcmp(own[j].key, fields[i]->key) < 0);
		const struct log_field *field = take_own ? &own[j++] : fields[i++];
		size_t before = line->len;

		/* a key that is cut would be another key */
		if (before + strlen(field->key) + KEY_ROOM > line->size)
			continue;
		if (before > 1)
			put_text(line, ",");
		put_quoted(line, field->key);
		put_text(line, ":");
		put_field(line, field);
		if (full(line))
			line->len = before;
	}
	line->buf[line->len++] = '}';
}

size_t log_line(const struct log_options *options, enum log_level level, struct timespec when,
		const char *message, const struct log_field *fields, char *buf, size_t size)
{
	struct line line = {buf, size, 0, options->format == LOG_FORMAT_JSON};
	const struct log_field *sorted[LOG_FIELDS_MAX];
	size_t count = sort_fields(fields, sorted);
	char time[40];

	if (size < 64)
		return 0;
	format_time(when, time);
	if (line.json)
		json_line(&line, level, options->disable_timestamp ? NULL : time, message, sorted,
			  count);
	else
		text_line(&line, level, options->disable_timestamp ? NULL : time, message, sorted,
			  count);
	buf[line.len++] = '\n';
	buf[line.len] = '\0';
	return line.len;
}

/* --- the log of this process ------------------------------------------------------------------ */

void log_setup(const struct log_options *options)
{
	current = *options;
}

void log_redirect(FILE *out, struct timespec (*clock)(void))
{
	stream = out;
	wall_clock = clock;
}

void log_level_set(enum log_level level)
{
	current.level = level;
}

enum log_level log_level_now(void)
{
	return current.level;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

bool log_enabled(enum log_level level)
{
	return level >= current.level;
}

/*
 * Can out take a line without blocking? A pipe that has room for anything has it for PIPE_BUF bytes
 * (pipe(7)), and no line is longer. What is no descriptor always can.
 */
static bool takes_a_line(FILE *out, int wait_ms)
{
	_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "a longer line could block");
	struct pollfd wait = {.fd = fileno(out), .events = POLLOUT};

	return wait.fd < 0 || poll(&wait, 1, wait_ms) != 0; /* an error is the write's to find */
}

/* Bytes that out has taken. No buffer: what a full disk refuses must not come later, in pieces. */
static size_t put_out(FILE *out, const char *bytes, size_t len)
{
	int fd = fileno(out);
	ssize_t done;

	if (fd < 0) {
		done = (ssize_t)fwrite(bytes, 1, len, out);
		fflush(out);
	} else {
		do
			done = write(fd, bytes, len);
		while (done < 0 && errno == EINTR);
	}
	return done > 0 ? (size_t)done : 0;
}

/* False: it is not there, or not all of it; whoever comes next begins a new line. */
static bool write_line(FILE *out, enum log_level level, struct timespec when, const char *message,
		       const struct log_field *fields)
{
	char buf[1 + LOG_LINE_MAX] = "\n";
	const char *start = torn ? buf : buf + 1;
	size_t len = log_line(&current, level, when, message, fields, buf + 1, LOG_LINE_MAX) + torn;

	errno = ENOSPC; /* of one that is cut short nothing else is known */
	size_t done = put_out(out, start, len);
	if (done > 0)
		torn = start[done - 1] != '\n';
	if (done < len)
		lost_errno = errno;
	return done == len;
}

static bool lost_told(FILE *out, struct timespec when)
{
	const struct log_field unread[] = {LOG_U64("lines", lost), {.kind = LOG_FIELD_END}};
	const struct log_field refused[] = {LOG_STR("error", strerror(lost_errno)),
					    LOG_U64("lines", lost),
					    {.kind = LOG_FIELD_END}};

	if (!takes_a_line(out, 0))
		return false;
	if (lost_errno)
		return write_line(out, LOG_LEVEL_WARNING, when,
				  "Log lines were lost, for they could not be written", refused);
	return write_line(out, LOG_LEVEL_WARNING, when, "Log lines were lost, for nobody read them",
			  unread);
}

void log_write(enum log_level level, const char *message, const struct log_field *fields)
{
	FILE *out = stream != NULL ? stream : stdout;
	struct timespec when;

	if (!log_enabled(level))
		return;
	if (wall_clock != NULL)
		when = wall_clock();
	else
		clock_gettime(CLOCK_REALTIME, &when);
	if (lost > 0 && lost_told(out, when)) {
		lost = 0;
		lost_errno = 0;
	}
	if (lost > 0 || !takes_a_line(out, LOG_STALL_MS) ||
	    !write_line(out, level, when, message, fields))
		lost++;
}

int log_level_parse(const char *text, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
		if (strcasecmp(text, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	if (strcasecmp(text, "warn") == 0)
		*level = LOG_LEVEL_WARNING;
	else if (strcasecmp(text, "fatal") == 0 || strcasecmp(text, "panic") == 0)
		*level = LOG_LEVEL_ERROR;
	else
		return -EINVAL;
	return 0;
}
