/*
 * changes.h - what differs between two configurations that a reload cannot apply (PROTOCOL.md 9.2).
 */
#ifndef M57_CONFIG_CHANGES_H
#define M57_CONFIG_CHANGES_H

#include "config/config.h"

#define CHANGES_TEXT_MAX 1024 /* bytes; a longer list is cut behind a comma */

/*
 * The keys of keys.def that work, that a reload leaves alone (reload: NO), and whose values differ:
 * "listen.port, tun.dev" in text; *where is the place of the first in next. Values are compared by
 * meaning: a key that is left out equals its default. Returns how many there are.
 */
unsigned config_changes(const struct config *old, const struct config *next,
			char text[CHANGES_TEXT_MAX], struct where *where);

#endif
