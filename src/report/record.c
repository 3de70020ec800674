// See the header.
#include "vitrain/report/record.h"

#include "vitrain/base/log.h"
#include "vitrain/io/file.h"

#include <stdlib.h>
#include <string.h>

static const size_t MOST_BYTES = (size_t)1 << 28; // of a configuration

static vt_status read_lines(vt_lines *out, const vt_record *record, const char *name,
                            const char *number)
{
    char *path = vt_path_join(record->folder, name);
    VT_REQUIRE(path, VT_ERR_MEMORY, "out of memory");
    vt_status status = vt_lines_read(out, path, number);
    free(path);
    return status;
}

static vt_status read_config(vt_record *record)
{
    char *path = vt_path_join(record->folder, "config.json");
    VT_REQUIRE(path, VT_ERR_MEMORY, "out of memory");
    if (vt_file_exists(path) && vt_json_read(&record->config, path, MOST_BYTES) != VT_OK) {
        record->config = NULL;
        vt_log(VT_LOG_WARN, "%s", vt_error_message());
    }
    free(path);
    return VT_OK;
}

static vt_status read_record(vt_record *record, const char *folder)
{
    record->folder = vt_path_absolute(folder);
    VT_REQUIRE(record->folder, VT_ERR_MEMORY, "out of memory");
    VT_REQUIRE(vt_is_directory(record->folder), VT_ERR_IO, "%s: no such folder", folder);
    const char *slash = strrchr(record->folder, '/');
    record->name = strdup(slash && slash[1] ? slash + 1 : record->folder);
    VT_REQUIRE(record->name, VT_ERR_MEMORY, "out of memory");
    VT_TRY(read_config(record));
    VT_TRY(read_lines(&record->log, record, "log.jsonl", "epoch"));
    VT_TRY(read_lines(&record->steps, record, "steps.jsonl", "step"));
    VT_TRY(read_lines(&record->shares, record, "shares.jsonl", "epoch"));
    VT_REQUIRE(record->config || record->log.found, VT_ERR_FORMAT,
               "%s: no run: there is neither a config.json nor a log.jsonl in it", folder);
    return VT_OK;
}

vt_status vt_record_read(vt_record *record, const char *folder)
{
    *record = (vt_record){0};
    vt_status status = read_record(record, folder);
    if (status != VT_OK) vt_record_free(record);
    return status;
}

void vt_record_free(vt_record *record)
{
    free(record->folder);
    free(record->name);
    vt_json_destroy(record->config);
    vt_lines_free(&record->log);
    vt_lines_free(&record->steps);
    vt_lines_free(&record->shares);
    *record = (vt_record){0};
}

const vt_json *vt_record_setting(const vt_record *record, const char *path)
{
    const vt_json *node = record->config;
    char key[128];
    for (const char *at = path; node && *at;) {
        const size_t n = strcspn(at, ".");
        if (n >= sizeof key || vt_json_type_of(node) != VT_JSON_OBJECT) return NULL;
        memcpy(key, at, n);
        key[n] = '\0';
        node = vt_json_get(node, key);
        at += n + (at[n] == '.');
    }
    return node;
}

char *vt_record_setting_text(const vt_record *record, const char *path)
{
    const vt_json *node = vt_record_setting(record, path);
    if (!node) return NULL;
    if (vt_json_type_of(node) == VT_JSON_STRING) return strdup(vt_json_string(node));
    return vt_json_text(node, false);
}
