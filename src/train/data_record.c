// See the header.
#include "vitrain/train/data_record.h"

#include "vitrain/base/text.h"
#include "vitrain/io/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

// ---- writing ----

static double labels_crc32(const vt_source *source)
{
    const Bytef *labels = (const Bytef *)source->labels;
    return (double)crc32_z(crc32(0, NULL, 0), labels, (size_t)source->count * sizeof(int32_t));
}

static void add_source(vt_json *root, const char *key, const vt_source *source)
{
    if (!source) {
        vt_json_add_null(root, key);
        return;
    }
    vt_json *node = vt_json_add_object(root, key);
    vt_json_add_number(node, "images", (double)source->count);
    vt_json_add_number(node, "labels_crc32", labels_crc32(source));
}

char *vt_data_record(const vt_source *train, const vt_source *val)
{
    vt_json *root = vt_json_new_object(), *classes = vt_json_add_array(root, "classes");
    for (int i = 0; i < train->classes.count; i++)
        vt_json_add_string(classes, NULL, train->classes.names[i]);
    add_source(root, "train", train);
    add_source(root, "val", val);
    char *text = vt_json_text(root, false);
    vt_json_destroy(root);
    return text;
}

// ---- reading ----

// What is in memory, and in files of older versions, has names as they are; a file's are in UTF-8.
static vt_status parse(vt_json **root, const char *text, const char *path)
{
    char *valid = vt_text_utf8(text);
    VT_REQUIRE(valid, VT_ERR_MEMORY, "%s: out of memory", path);
    vt_status status = vt_json_parse(root, valid, strlen(valid), VT_DATA_METADATA);
    free(valid);
    if (status != VT_OK) return vt_fail_within(status, path);
    const vt_json *classes = vt_json_get(*root, "classes");
    bool fine = classes && vt_json_type_of(classes) == VT_JSON_ARRAY;
    for (const vt_json *name = fine ? vt_json_first(classes) : NULL; name;
         name = vt_json_next(name))
        fine = fine && vt_json_type_of(name) == VT_JSON_STRING;
    if (fine) return VT_OK;
    vt_json_destroy(*root);
    *root = NULL;
    return vt_fail(VT_ERR_FORMAT, "%s: metadata %s: expected a list of classes", path,
                   VT_DATA_METADATA);
}

vt_status vt_data_record_classes(vt_classes *out, const vt_st_file *file)
{
    *out = (vt_classes){0};
    const char *text = vt_st_metadata(file, VT_DATA_METADATA);
    vt_json *root;
    if (!text) return VT_OK;
    VT_TRY(parse(&root, text, vt_st_path(file)));
    const vt_json *classes = vt_json_get(root, "classes");
    vt_status status = VT_OK;
    out->names = calloc((size_t)vt_json_size(classes) + 1, sizeof *out->names);
    for (const vt_json *name = vt_json_first(classes); out->names && name;
         name = vt_json_next(name))
        if ((out->names[out->count] = strdup(vt_json_string(name)))) out->count++;
    if (!out->names || out->count < vt_json_size(classes)) {
        vt_classes_free(out);
        status = vt_fail(VT_ERR_MEMORY, "%s: out of memory", vt_st_path(file));
    }
    vt_json_destroy(root);
    return status;
}

// ---- comparing ----

static vt_status same_classes(const vt_json *then, const vt_json *now, const char *path)
{
    int label = 0;
    const vt_json *a = vt_json_first(then), *b = vt_json_first(now);
    for (; a && b; a = vt_json_next(a), b = vt_json_next(b), label++)
        VT_REQUIRE(!strcmp(vt_json_string(a), vt_json_string(b)), VT_ERR_CONFIG,
                   "data.train: label %d is class \"%s\"; in the run in %s it was \"%s\"", label,
                   vt_json_string(b), path, vt_json_string(a));
    VT_REQUIRE(!a && !b, VT_ERR_CONFIG, "data.train: %d classes; the run in %s had %d",
               vt_json_size(now), path, vt_json_size(then));
    return VT_OK;
}

static double number_in(const vt_json *source, const char *key)
{
    const double number = vt_json_number_at(source, key);
    return isnan(number) ? 0 : number;
}

static vt_status same_images(const vt_json *then, const vt_json *now, const char *key,
                             const char *path)
{
    const vt_json *a = vt_json_get(then, key), *b = vt_json_get(now, key);
    const double before = number_in(a, "images"), images = number_in(b, "images");
    VT_REQUIRE(before == images, VT_ERR_CONFIG, "data.%s: %.0f images; the run in %s had %.0f", key,
               images, path, before);
    VT_REQUIRE(number_in(a, "labels_crc32") == number_in(b, "labels_crc32"), VT_ERR_CONFIG,
               "data.%s: %.0f images, as the run in %s had, but with other labels", key, images,
               path);
    return VT_OK;
}

vt_status vt_data_record_check(const char *then, const char *now, const char *path)
{
    vt_json *a = NULL, *b = NULL;
    vt_status status;
    VT_TRY_OR_FAIL(status, parse(&a, then, path));
    VT_TRY_OR_FAIL(status, parse(&b, now, "data"));
    VT_TRY_OR_FAIL(status,
                   same_classes(vt_json_get(a, "classes"), vt_json_get(b, "classes"), path));
    VT_TRY_OR_FAIL(status, same_images(a, b, "train", path));
    VT_TRY_OR_FAIL(status, same_images(a, b, "val", path));
fail:
    vt_json_destroy(a);
    vt_json_destroy(b);
    return status;
}
