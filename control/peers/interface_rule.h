/*
 * interface_rule.h - a regular expression of lighthouse.local_allow_list.interfaces (PROTOCOL.md
 * 6.8). These are in Go's syntax, of which libpcre2's is a superset; the C library's means other
 * things by \d, \pL, [\w] or +?, without a word.
 */
#ifndef M57_INTERFACE_RULE_H
#define M57_INTERFACE_RULE_H

#include <stdbool.h>
#include <stddef.h>

#define INTERFACE_RULE_MAX 256 /* bytes of its text */

struct interface_rule;

/*
 * Compiles text. NULL: it is none, or too long; then why, with room for why_bytes, says so. The
 * caller frees the rule, which is immutable.
 */
struct interface_rule *interface_rule_compile(const char *text, char *why, size_t why_bytes);

/* NULL is none. */
void interface_rule_free(struct interface_rule *rule);

/*
 * 1: rule holds for the interface of that name, 0: it does not, -1: nobody can say, as the name is
 * no UTF-8, or for want of memory.
 */
int interface_rule_matches(const struct interface_rule *rule, const char *name);

#endif
