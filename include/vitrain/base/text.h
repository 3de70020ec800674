// Help with misspelt names (configuration keys, rules, commands).
#ifndef VITRAIN_BASE_TEXT_H
#define VITRAIN_BASE_TEXT_H

#include <stddef.h>

// The name that `word` was probably meant to be: the one with the fewest letters to insert, delete
// or replace (case does not count), the first of equals; NULL if more than about a third of its
// letters are wrong. names: (count), entries may be NULL.
const char *vt_nearest_name(const char *word, const char *const *names, size_t count);

#endif
