/* print.h - answers of the daemon as text for people. */
#ifndef M57_CTL_PRINT_H
#define M57_CTL_PRINT_H

#include <jansson.h>
#include <stdio.h>

/* An array of objects as a table, with a line of headings; members that are objects are left out
 * but for a certificate, of which the name is shown. */
void print_table(const json_t *rows, FILE *out);

/* An object as lines "name: value", those of objects in it further in; anything else as itself. */
void print_value(const json_t *value, FILE *out);

/* The page of "why". */
void print_why(const json_t *why, FILE *out);

/* Peers choose names: control characters are written as \xNN. */
void print_text(const char *text, FILE *out);
/* The same, of text that may have several lines; ends with a newline. */
void print_lines(const char *text, FILE *out);

#endif
