// Words for people: help with misspelt names (configuration keys, rules, commands), plurals, and
// texts from outside (file names) that may be of any encoding.
#ifndef VITRAIN_BASE_TEXT_H
#define VITRAIN_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

// The name that `word` was probably meant to be: the one with the fewest letters to insert, delete
// or replace (case does not count), the first of equals; NULL if more than about a third of its
// letters are wrong. names: (count), entries may be NULL.
const char *vt_nearest_name(const char *word, const char *const *names, size_t count);

// What a noun behind that number ends in: "" for 1, else "s".
const char *vt_plural(int64_t count);

// Makes a text one line: control characters become '?', in place.
void vt_text_one_line(char *text);

// The text in UTF-8: each byte that is no part of it is U+FFFD. malloc'd; NULL when out of memory.
char *vt_text_utf8(const char *text);

#endif
