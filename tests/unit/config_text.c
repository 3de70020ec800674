// See the header.
#include "config_text.h"

#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

const char *write_config(const char *text)
{
    const char *path = in_folder("c.json");
    put_file(path, text, strlen(text));
    return path;
}

void load_config(vt_config *config, const char *text, const char *const *sets, int n)
{
    const char *path = text ? write_config(text) : NULL;
    if (vt_config_load(config, path, sets, n) != VT_OK) fail_msg("%s", vt_error_message());
}

char *resolved(const vt_config *config)
{
    vt_json *json = vt_config_json(config);
    char *text = vt_json_text(json, true);
    vt_json_destroy(json);
    assert_non_null(text);
    return text;
}
