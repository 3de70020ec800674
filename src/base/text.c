// See the header. Edit distance (Levenshtein) is computed one row of the table at a time.
#include "vitrain/base/text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
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

const char *vt_plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

void vt_text_one_line(char *text)
{
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == '\x7F') *c = '?';
}

// Bytes of the UTF-8 character at `text`; 0: there is none (Unicode 15, table 3-7).
static size_t character_bytes(const unsigned char *text)
{
    const unsigned char lead = text[0];
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    const size_t bytes = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    for (size_t i = 1; i < bytes; i++)
        if ((text[i] & 0xC0) != 0x80) return 0; // also the end
    const bool overlong = (lead == 0xE0 && text[1] < 0xA0) || (lead == 0xF0 && text[1] < 0x90);
    const bool surrogate = lead == 0xED && text[1] > 0x9F, beyond = lead == 0xF4 && text[1] > 0x8F;
    return overlong || surrogate || beyond ? 0 : bytes;
}

char *vt_text_utf8(const char *text)
{
    static const char replacement[] = "\xEF\xBF\xBD";
    const unsigned char *from = (const unsigned char *)text;
    char *out = malloc(3 * strlen(text) + 1), *to = out;
    while (out && *from) {
        const size_t bytes = character_bytes(from), put = bytes ? bytes : 3;
        memcpy(to, bytes ? (const char *)from : replacement, put);
        from += bytes ? bytes : 1;
        to += put;
    }
    if (out) *to = '\0';
    return out;
}
