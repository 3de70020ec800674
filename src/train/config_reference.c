// The table of keys for people: Markdown for the README, text for --help.
#include "config_table.h"

#include <stdio.h>
#include <stdlib.h>

static void put_cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|' || *text == '\\') fputc('\\', out);
        fputc(*text, out);
    }
}

static void put_key(FILE *out, const vt_config_key *key, bool markdown)
{
    char takes[VT_CONFIG_TAKES_BYTES];
    vt_config_key_takes(key, takes, sizeof takes);
    const char *fallback = key->fallback ? key->fallback : "the preset's";
    if (key->kind == VT_KEY_MODEL) fallback = "none";
    if (!markdown) {
        fprintf(out, "  %s (%s)\n      %s. Takes %s.\n", key->path, fallback, key->help, takes);
        return;
    }
    fprintf(out, "| `%s` | ", key->path);
    put_cell(out, takes);
    fprintf(out, key->fallback ? " | `%s` | " : " | %s | ", fallback);
    put_cell(out, key->help);
    fputs(" |\n", out);
}

char *vt_config_reference(bool markdown)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return NULL;
    if (markdown) fputs("| key | takes | default | meaning |\n|---|---|---|---|\n", out);
    for (const vt_config_key *key = vt_config_keys; key->path; key++) put_key(out, key, markdown);
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}
