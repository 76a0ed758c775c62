/*
 * interface_pattern.h - the regular expressions of lighthouse.local_allow_list.interfaces, which
 * are Go's, as regcomp() of the C library takes them. Pure.
 */
#ifndef M57_INTERFACE_PATTERN_H
#define M57_INTERFACE_PATTERN_H

#include <stdbool.h>

#define INTERFACE_RULE_MAX    256                          /* bytes of a regular expression */
#define INTERFACE_PATTERN_MAX (5 * INTERFACE_RULE_MAX + 3) /* and of what comes of it: see \w */

/*
 * What matches the names that Nebula matches with rule, for REG_EXTENDED in the C locale, into
 * pattern. False where that has no such form, or might mean something else: then nothing may match,
 * for an address that should stay hidden would be told.
 */
bool interface_pattern(const char *rule, char pattern[INTERFACE_PATTERN_MAX]);

#endif
