/* print.c - see print.h. */
#include "ctl/print.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 16

/* C0, DEL, and C1 as UTF-8 has it (0xc2 0x80 to 0x9f). */
static size_t clean(const char *text, char *out, size_t size)
{
	size_t at = 0;

	for (; *text && at + 10 < size; text++) {
		unsigned char c = (unsigned char)text[0], next = (unsigned char)text[1];

		if (c < 0x20 || c == 0x7f)
			at += (size_t)snprintf(out + at, size - at, "\\x%02x", c);
		else if (c == 0xc2 && next >= 0x80 && next < 0xa0)
			at += (size_t)snprintf(out + at, size - at, "\\x%02x",
					       (unsigned char)*++text);
		else
			out[at++] = *text;
	}
	out[at] = '\0';
	return at;
}

void print_text(const char *text, FILE *out)
{
	size_t size = text ? strlen(text) * 4 + 16 : 0;
	char *buf = text ? malloc(size) : NULL;

	if (!buf)
		return;
	clean(text, buf, size);
	fputs(buf, out);
	free(buf);
}

void print_lines(const char *text, FILE *out)
{
	char *copy = strdup(text), *rest = copy, *line;

	while (copy && (line = strsep(&rest, "\n"))) {
		print_text(line, out);
		fputc('\n', out);
	}
	free(copy);
}

/* A value in one word or several; the caller frees it. NULL: it has no such form. */
static char *word(const json_t *value)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	const json_t *item;
	size_t i;

	if (!out)
		return NULL;
	if (!value) { /* not every row of a table has every column */
		fclose(out);
		return text;
	}
	switch (json_typeof(value)) {
	case JSON_STRING:
		print_text(json_string_value(value), out);
		break;
	case JSON_INTEGER:
		fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		fprintf(out, "%.1f", json_real_value(value));
		break;
	case JSON_TRUE:
		fputs("yes", out);
		break;
	case JSON_FALSE:
		fputs("no", out);
		break;
	case JSON_NULL:
		fputs("-", out);
		break;
	case JSON_ARRAY:
		fputc('[', out);
		json_array_foreach(value, i, item)
		{
			char *one = word(item);

			fprintf(out, "%s%s", i ? " " : "", one ? one : "");
			free(one);
		}
		fputc(']', out);
		break;
	case JSON_OBJECT:
		item = json_object_get(json_object_get(value, "details"), "name");
		if (json_is_string(item))
			print_text(json_string_value(item), out);
		break;
	}
	fclose(out);
	return text;
}

/* Columns of characters, as far as UTF-8 tells. */
static size_t width(const char *text)
{
	size_t count = 0;

	for (; *text; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

static void cell(const char *text, size_t wanted, bool last, FILE *out)
{
	size_t has = width(text);

	fputs(text, out);
	if (!last)
		fprintf(out, "%*s", (int)(wanted > has ? wanted - has : 0) + 2, "");
}

void print_table(const json_t *rows, FILE *out)
{
	json_t *first = json_array_get(rows, 0);
	const char *names[COLUMNS_MAX];
	size_t widths[COLUMNS_MAX], columns = 0, i;
	const json_t *row;
	const char *name;
	json_t *value;

	json_object_foreach(first, name, value)
	{
		if (columns == COLUMNS_MAX)
			break;
		names[columns] = name;
		widths[columns++] = width(name);
	}
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; c < columns; c++) {
			char *text = word(json_object_get(row, names[c]));

			if (text && width(text) > widths[c])
				widths[c] = width(text);
			free(text);
		}
	}
	for (size_t c = 0; c < columns; c++)
		cell(names[c], widths[c], c + 1 == columns, out);
	if (columns)
		fputc('\n', out);
	json_array_foreach(rows, i, row)
	{
		for (size_t c = 0; c < columns; c++) {
			char *text = word(json_object_get(row, names[c]));

			cell(text ? text : "", widths[c], c + 1 == columns, out);
			free(text);
		}
		fputc('\n', out);
	}
}

static void print_object(const json_t *object, int depth, FILE *out)
{
	const char *name;
	json_t *value, *item;
	size_t i;

	json_object_foreach((json_t *)object, name, value)
	{
		if (json_is_object(value)) {
			fprintf(out, "%*s%s:\n", depth * 2, "", name);
			print_object(value, depth + 1, out);
		} else if (json_is_array(value) && strcmp(name, "warnings") == 0) {
			/* each is a sentence */
			fprintf(out, "%*s%s: %zu\n", depth * 2, "", name, json_array_size(value));
			json_array_foreach(value, i, item)
			{
				fprintf(out, "%*s", depth * 2 + 2, "");
				print_text(json_string_value(item), out);
				fputc('\n', out);
			}
		} else {
			char *text = word(value);

			fprintf(out, "%*s%s: %s\n", depth * 2, "", name, text ? text : "");
			free(text);
		}
	}
}

void print_value(const json_t *value, FILE *out)
{
	char *text;

	if (json_is_object(value)) {
		print_object(value, 0, out);
		return;
	}
	if (json_is_string(value)) { /* lines may be many: PEM */
		const char *at = json_string_value(value);

		while (*at) {
			size_t length = strcspn(at, "\n");
			char *one = strndup(at, length);

			if (one)
				print_text(one, out);
			free(one);
			fputc('\n', out);
			at += length + (at[length] == '\n');
		}
		return;
	}
	text = word(value);
	fprintf(out, "%s\n", text ? text : "");
	free(text);
}

void print_why(const json_t *why, FILE *out)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(why, "page"), i, row)
	{
		fprintf(out, "%-3s %-17s", json_string_value(json_object_get(row, "verdict")),
			json_string_value(json_object_get(row, "check")));
		print_text(json_string_value(json_object_get(row, "text")), out);
		fputc('\n', out);
	}
	fprintf(out, "\nreachable: %s: ", json_string_value(json_object_get(why, "reachable")));
	print_text(json_string_value(json_object_get(why, "summary")), out);
	fputc('\n', out);
}
