/*
 * finding.c - the list of errors and warnings; see finding.h.
 */
#include "config/finding.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "identity/pem.h"
#include "utf8.h"

#define TEXT_MAX 768 /* bytes of one text; longer ones are cut */

/* The list is full: an error takes the place of the last warning. It is what stops the start, and
 * who is shown warnings alone does not learn why. */
static void make_room(struct findings *findings)
{
	uint32_t i = findings->count;

	while (i > 0 && findings->list[i - 1].severity == SEVERITY_ERROR)
		i--;
	if (i == 0)
		return;
	free(findings->list[i - 1].file);
	free(findings->list[i - 1].text);
	memmove(&findings->list[i - 1], &findings->list[i],
		(findings->count - i) * sizeof(*findings->list));
	findings->count--;
}

static void add(struct findings *findings, enum severity severity, struct where where,
		const char *format, va_list arguments)
{
	char text[TEXT_MAX];
	struct finding *list;

	if (severity == SEVERITY_ERROR)
		findings->errors++;
	else
		findings->warnings++;
	if (findings->count == FINDINGS_MAX && severity == SEVERITY_ERROR)
		make_room(findings);
	if (findings->count == FINDINGS_MAX)
		return;
	list = realloc(findings->list, (findings->count + 1) * sizeof(*list));
	if (list == NULL)
		return; /* still counted */
	findings->list = list;
	vsnprintf(text, sizeof(text), format, arguments);
	utf8_mend(text);
	for (char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	list[findings->count] = (struct finding){
		.severity = severity,
		.line = where.line,
		.file = strdup(where.file != NULL ? where.file : ""),
		.text = strdup(text),
	};
	findings->count++;
}

void finding_error(struct findings *findings, struct where where, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add(findings, SEVERITY_ERROR, where, format, arguments);
	va_end(arguments);
}

void finding_warning(struct findings *findings, struct where where, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	add(findings, SEVERITY_WARNING, where, format, arguments);
	va_end(arguments);
}

void findings_take_back(struct findings *findings, const struct findings *before)
{
	while (findings->count > before->count) {
		findings->count--;
		free(findings->list[findings->count].file);
		free(findings->list[findings->count].text);
	}
	findings->errors = before->errors;
	findings->warnings = before->warnings;
}

void findings_be_strict(struct findings *findings)
{
	for (uint32_t i = 0; i < findings->count; i++)
		findings->list[i].severity = SEVERITY_ERROR;
	findings->errors += findings->warnings;
	findings->warnings = 0;
}

void findings_print(const struct findings *findings, FILE *out)
{
	for (uint32_t i = 0; i < findings->count; i++) {
		const struct finding *f = &findings->list[i];

		if (f->file != NULL && f->file[0] != '\0')
			fprintf(out, "%s:", f->file);
		if (f->line != 0)
			fprintf(out, "%u:", f->line);
		if (f->file != NULL && f->file[0] != '\0')
			fputc(' ', out);
		fprintf(out, "%s: %s\n", f->severity == SEVERITY_ERROR ? "error" : "warning",
			f->text != NULL ? f->text : "out of memory");
	}
	if (findings->errors + findings->warnings > findings->count)
		fprintf(out, "and %u more; correct these first\n",
			findings->errors + findings->warnings - findings->count);
}

const char *where_text(struct where where, char buf[FINDING_PLACE_MAX])
{
	int used = snprintf(buf, FINDING_PLACE_MAX, "%s", where.file ? where.file : "");

	if (where.line != 0 && used > 0 && used < FINDING_PLACE_MAX)
		snprintf(buf + used, (size_t)(FINDING_PLACE_MAX - used), ":%u", where.line);
	return buf;
}

const char *finding_place(const struct finding *finding, char buf[FINDING_PLACE_MAX])
{
	return where_text((struct where){finding->file, finding->line}, buf);
}

void findings_free(struct findings *findings)
{
	for (uint32_t i = 0; i < findings->count; i++) {
		free(findings->list[i].file);
		free(findings->list[i].text);
	}
	free(findings->list);
	memset(findings, 0, sizeof(*findings));
}

const char *finding_quote(const char *text, char buf[FINDING_QUOTE_MAX])
{
	size_t len = strnlen(text, 81), end = len > 80 ? 80 : len;

	if (pem_may_be_secret(text))
		return strcpy(buf, "(not shown: may be a key)");
	memcpy(buf, text, end);
	buf[end] = '\0';
	utf8_mend(buf);
	if (len > 80)
		strcpy(buf + end, "...");
	for (char *c = buf; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	return buf;
}
