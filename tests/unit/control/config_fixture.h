/* config_fixture.h - for files of tests that read one configuration after the other. */
#ifndef M57_CONFIG_FIXTURE_H
#define M57_CONFIG_FIXTURE_H

#include "unit/control/config_helpers.h"

/* The last one that was read, NULL when it is no YAML, and what was found in it. */
static struct findings findings;
static struct config *config;

static inline void fini(void)
{
	config_free(config);
	config = NULL;
	findings_free(&findings);
}

static inline void load_text(const char *text)
{
	fini();
	config = config_of_text(text, &findings);
}

static inline const char *first(void)
{
	return first_finding(&findings);
}

#endif
