// Edit distance (Levenshtein), one row of the table at a time.
#include "vitrain/base/text.h"

#include <ctype.h>
#include <string.h>

#define LONGEST 96 // names beyond this are not compared

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

// b: at most LONGEST letters.
static size_t distance(const char *a, const char *b)
{
    size_t row[LONGEST + 1], n = strlen(b);
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; *a; a++, i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t replaced =
                diagonal + (tolower((unsigned char)*a) != tolower((unsigned char)b[j - 1]));
            diagonal = row[j];
            row[j] = min_size(replaced, min_size(row[j - 1], diagonal) + 1);
        }
    }
    return row[n];
}

const char *vt_nearest_name(const char *word, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = 0;
    if (strlen(word) > LONGEST) return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!names[i] || strlen(names[i]) > LONGEST) continue;
        size_t d = distance(word, names[i]);
        if (3 * d > strlen(names[i]) + 2 || (best && d >= best_distance)) continue;
        best = names[i];
        best_distance = d;
    }
    return best;
}
