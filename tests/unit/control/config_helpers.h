/* config_helpers.h - for tests of configurations: from text, and what was found in them. */
#ifndef M57_CONFIG_HELPERS_H
#define M57_CONFIG_HELPERS_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "unit/temp_path.h"

#define PKI_LINE "pki: {ca: a, cert: b, key: c}\n"

/* What text is read as; NULL when it is no YAML. Belongs to the caller. */
static inline struct config *config_of_text(const char *text, struct findings *findings)
{
	char path[TEMP_PATH_MAX];
	struct config *config;
	int fd;

	temp_path(path, "config-XXXXXX");
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	config = config_load(path, findings);
	unlink(path);
	return config;
}

static inline bool is_found(const struct findings *findings, enum severity severity, uint32_t line,
			    const char *says)
{
	for (uint32_t i = 0; i < findings->count; i++)
		if (findings->list[i].severity == severity && findings->list[i].line == line &&
		    strstr(findings->list[i].text, says) != NULL)
			return true;
	return false;
}

static inline const char *first_finding(const struct findings *findings)
{
	return findings->count > 0 ? findings->list[0].text : "(nothing)";
}

#endif
