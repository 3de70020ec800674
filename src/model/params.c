// The tensor table: declaring, initializing, loading, writing.
#include "vitrain/model/params.h"

#include "vitrain/base/arena.h"
#include "vitrain/base/bytes.h"
#include "vitrain/base/rng.h"
#include "vitrain/io/weights.h"

#include <assert.h>
#include <fnmatch.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN_ELEMENTS = 16, FIRST_CAPACITY = 64 };

static vt_status grow(vt_params *params)
{
    if (params->count < params->capacity) return VT_OK;
    int capacity = params->capacity ? 2 * params->capacity : FIRST_CAPACITY;
    vt_param *rows = vt_alloc((size_t)capacity, sizeof *rows);
    if (!rows) return VT_ERR_MEMORY;
    if (params->count) memcpy(rows, params->rows, (size_t)params->count * sizeof *rows);
    free(params->rows);
    params->rows = rows;
    params->capacity = capacity;
    return VT_OK;
}

vt_status vt_params_add(vt_params *params, size_t *offset, vt_init init, bool decays, int ndim,
                        const int64_t *shape, const char *format, ...)
{
    VT_TRY(grow(params));
    vt_param *row = &params->rows[params->count];
    va_list args;
    va_start(args, format);
    vsnprintf(row->name, sizeof row->name, format, args);
    va_end(args);
    row->ndim = ndim;
    row->count = 1;
    for (int i = 0; i < ndim; i++) {
        row->shape[i] = shape[i];
        VT_REQUIRE(vt_size_mul(row->count, (size_t)shape[i], &row->count), VT_ERR_MEMORY,
                   "%s: its size exceeds the address space", row->name);
    }
    row->offset = params->slab_count;
    row->init = init;
    row->decays = decays;
    size_t end, padded;
    VT_REQUIRE(vt_size_add(row->offset, row->count, &end) &&
                   vt_size_add(end, ALIGN_ELEMENTS - 1, &padded) && padded < SIZE_MAX / 64,
               VT_ERR_MEMORY, "%s: the model's size exceeds the address space", row->name);
    params->slab_count = padded / ALIGN_ELEMENTS * ALIGN_ELEMENTS;
    params->total += (int64_t)row->count;
    params->count++;
    *offset = row->offset;
    return VT_OK;
}

void vt_params_free(vt_params *params)
{
    free(params->rows);
    *params = (vt_params){0};
}

int vt_params_find(const vt_params *params, const char *name)
{
    for (int i = 0; i < params->count; i++)
        if (!strcmp(params->rows[i].name, name)) return i;
    return -1;
}

// The length of "blocks.0." or "layers.1.blocks.0." at the name's head; 0: the tensor is of no
// block.
static int block_prefix(const char *name)
{
    int length = 0, ignored;
    if (sscanf(name, "blocks.%d.%n", &ignored, &length) == 1 && length > 0) return length;
    length = 0;
    sscanf(name, "layers.%d.blocks.%d.%n", &ignored, &ignored, &length);
    return length;
}

static bool is_embedding(const char *name)
{
    return !strncmp(name, "patch_embed.", 12) || !strcmp(name, "pos_embed") ||
           !strcmp(name, "cls_token") || !strcmp(name, "dist_token");
}

// From the last tensor to the first: a block's tensors follow one another, and merging is of the
// block behind it.
void vt_params_number_layers(vt_params *params)
{
    int blocks = 0;
    const char *last = "";
    for (int i = params->count - 1; i >= 0; i--) {
        vt_param *row = &params->rows[i];
        const int length = block_prefix(row->name);
        if (length > 0 && strncmp(row->name, last, (size_t)length) != 0) {
            last = row->name;
            blocks++;
        }
        row->layers_above = length > 0 || strstr(row->name, ".downsample.") ? blocks : 0;
    }
    for (int i = 0; i < params->count; i++)
        if (is_embedding(params->rows[i].name)) params->rows[i].layers_above = blocks + 1;
}

vt_status vt_params_freeze(vt_params *params, const char *const *patterns, int count)
{
    for (int p = 0; p < count; p++) {
        int matches = 0;
        for (int i = 0; i < params->count; i++) {
            if (fnmatch(patterns[p], params->rows[i].name, 0)) continue;
            params->rows[i].frozen = true;
            matches++;
        }
        VT_REQUIRE(matches, VT_ERR_CONFIG,
                   "train.freeze: no tensor's name matches \"%.96s\"; expected a pattern such as "
                   "\"%s\"",
                   patterns[p], params->rows[0].name);
    }
    VT_REQUIRE(vt_params_trained_before(params, params->slab_count), VT_ERR_CONFIG,
               "train.freeze: expected to leave something to train, got every tensor");
    return VT_OK;
}

void vt_params_clear_frozen(const vt_params *params, vt_real *grads)
{
    for (int i = 0; i < params->count; i++) {
        const vt_param *row = &params->rows[i];
        if (row->frozen) memset(grads + row->offset, 0, row->count * sizeof *grads);
    }
}

bool vt_params_trained_before(const vt_params *params, size_t offset)
{
    for (int i = 0; i < params->count && params->rows[i].offset < offset; i++)
        if (!params->rows[i].frozen) return true;
    return false;
}

static double draw(const vt_param *row, vt_rng *rng)
{
    double z;
    switch (row->init) {
    case VT_INIT_ZEROS: return 0;
    case VT_INIT_ONES: return 1;
    case VT_INIT_CONSTANT: return row->value;
    case VT_INIT_CONV: return vt_rng_range(rng, -1, 1) / sqrt((double)row->fan_in);
    case VT_INIT_TRUNC_NORMAL_02:
        do z = 0.02 * vt_rng_normal(rng);
        while (fabs(z) > 2);
        return z;
    }
    assert(0);
    return 0;
}

void vt_params_init(const vt_params *params, vt_real *slab, uint64_t seed)
{
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < params->count; i++) {
        const vt_param *row = &params->rows[i];
        vt_rng rng = vt_rng_at(seed, VT_STREAM_INIT, 0, (uint32_t)i);
        for (size_t k = 0; k < row->count; k++) slab[row->offset + k] = (vt_real)draw(row, &rng);
    }
}

// What does not fit, for one message: the first few.
enum { MOST_NOTED = 4 };
typedef struct report {
    char text[1200];
    size_t length;
    int noted, more;
} report;

static void note(report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note(report *r, const char *format, ...)
{
    const size_t room = sizeof r->text - r->length;
    if (r->noted == MOST_NOTED) {
        r->more++;
        return;
    }
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(r->text + r->length, room, format, args);
    va_end(args);
    r->length += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
    r->noted++;
}

// The table's name of a file's tensor; false: it is none of the model's and may be there.
static bool current_name(char *out, const vt_params *params, const char *found,
                         const vt_st_file *file)
{
    if (params->rename) return params->rename(out, found, file);
    snprintf(out, VT_ENTRY_NAME_BYTES, "%s", found);
    return true;
}

// What the file calls a row: the last of its names for it.
static void name_in_file(char *out, const vt_params *params, const vt_param *row,
                         const vt_st_file *file, const char *prefix)
{
    snprintf(out, VT_ENTRY_NAME_BYTES, "%s%s", prefix, row->name);
    for (size_t i = 0; params->rename && !*prefix && i < vt_st_count(file); i++) {
        const char *found = vt_st_at(file, i)->name;
        char current[VT_ENTRY_NAME_BYTES];
        if (current_name(current, params, found, file) && !strcmp(current, row->name))
            snprintf(out, VT_ENTRY_NAME_BYTES, "%s", found);
    }
}

static void note_unexpected(report *r, const vt_params *params, const vt_st_file *file)
{
    for (size_t i = 0; i < vt_st_count(file); i++) {
        const char *found = vt_st_at(file, i)->name;
        char current[VT_ENTRY_NAME_BYTES], other[VT_ENTRY_NAME_BYTES];
        if (vt_weights_is_state(found) || !current_name(current, params, found, file)) continue;
        const int row = vt_params_find(params, current);
        if (row < 0) {
            note(r, "; tensor %.96s: the model has no such tensor", found);
            continue;
        }
        name_in_file(other, params, &params->rows[row], file, "");
        if (strcmp(other, found) != 0)
            note(r, "; tensor %.96s: is there as %.96s too", found, other);
    }
}

// A row from its tensor: as it is, else as `adapt` makes it; else it is noted.
static vt_status load_row(const vt_params *params, const vt_param *row, vt_real *slab,
                          const vt_st_file *file, const char *prefix, const vt_adapter *adapter,
                          report *r)
{
    char name[VT_ENTRY_NAME_BYTES];
    name_in_file(name, params, row, file, prefix);
    vt_real *out = slab + row->offset;
    if (vt_st_get_real(file, name, row->ndim, row->shape, out) == VT_OK) return VT_OK;
    // The message begins with the file's path, which the report gives once.
    char wrong[256];
    const char *message = vt_error_message();
    const size_t path = strlen(vt_st_path(file)) + 2, length = strlen(message);
    snprintf(wrong, sizeof wrong, "%s", path < length ? message + path : row->name);
    const vt_st_tensor *tensor = vt_st_find(file, name);
    bool fits = false;
    if (tensor && adapter) VT_TRY(adapter->adapt(&fits, adapter->self, row, tensor, out));
    if (!fits) note(r, "; %s", wrong);
    return VT_OK;
}

// What shapes alone say of a model, of the table's or the file's.
enum { WIDTH, DEPTH, PATCH, CHANNELS, CLASSES, MEASURES };
static const char *const measures[MEASURES] = {"width %lld", "depth %lld", "patch size %lld",
                                               "%lld channels", "%lld classes"};

static void add_tensor(int64_t of[MEASURES], const char *name, int ndim, const int64_t *shape)
{
    static const char qkv[] = ".attn.qkv.weight";
    const size_t length = strlen(name);
    if (length >= sizeof qkv && !strcmp(name + length - (sizeof qkv - 1), qkv)) of[DEPTH]++;
    if (ndim == 2 && (!strcmp(name, "head.weight") || !strcmp(name, "head.fc.weight")))
        of[CLASSES] = shape[0];
    if (ndim != 4 || strcmp(name, "patch_embed.proj.weight") != 0) return;
    of[WIDTH] = shape[0];
    of[CHANNELS] = shape[1];
    of[PATCH] = shape[2];
}

// "the weights are of width 32, depth 2; the configuration says 192, 12; ": what differs, "" if
// nothing does. adapted: a head for other classes is no difference.
static void summarize(char *text, size_t capacity, const vt_params *params, const vt_st_file *file,
                      bool adapted)
{
    int64_t model[MEASURES] = {0}, found[MEASURES] = {0};
    char left[160] = "", right[160] = "";
    for (int i = 0; i < params->count; i++)
        add_tensor(model, params->rows[i].name, params->rows[i].ndim, params->rows[i].shape);
    for (size_t i = 0; i < vt_st_count(file); i++) {
        const vt_st_tensor *t = vt_st_at(file, i);
        if (!vt_weights_is_state(t->name)) add_tensor(found, t->name, t->ndim, t->shape);
    }
    for (int m = 0; m < MEASURES; m++) {
        if (model[m] == found[m] || !model[m] || !found[m] || (m == CLASSES && adapted)) continue;
        const size_t l = strlen(left), r = strlen(right);
        char measure[48];
        snprintf(measure, sizeof measure, measures[m], (long long)found[m]);
        snprintf(left + l, sizeof left - l, "%s%s", l ? ", " : "", measure);
        snprintf(right + r, sizeof right - r, "%s%lld", r ? ", " : "", (long long)model[m]);
    }
    text[0] = '\0';
    if (*left)
        snprintf(text, capacity, "the weights are of %s; the configuration says %s; ", left, right);
}

vt_status vt_params_load_adapted(const vt_params *params, vt_real *slab, const vt_st_file *file,
                                 const char *prefix, const vt_adapter *adapter)
{
    report r = {.length = 0};
    for (int i = 0; i < params->count; i++)
        VT_TRY(load_row(params, &params->rows[i], slab, file, prefix, adapter, &r));
    if (!*prefix) note_unexpected(&r, params, file);
    if (r.noted) {
        char summary[400] = "", more[32] = "";
        if (!*prefix) summarize(summary, sizeof summary, params, file, adapter);
        if (r.more) snprintf(more, sizeof more, "; and %d more", r.more);
        return vt_fail(VT_ERR_SHAPE, "%s: %s%s%s", vt_st_path(file), summary, r.text + 2, more);
    }
    const vt_param *bad = vt_params_first_bad(params, slab);
    VT_REQUIRE(!bad, VT_ERR_NUMERIC,
               "%s: tensor %s%s: expected finite numbers, got NaN or infinity", vt_st_path(file),
               prefix, bad->name);
    return VT_OK;
}

vt_status vt_params_load(const vt_params *params, vt_real *slab, const vt_st_file *file,
                         const char *prefix)
{
    return vt_params_load_adapted(params, slab, file, prefix, NULL);
}

static bool same_shape(const vt_param *row, const vt_st_tensor *tensor)
{
    bool same = tensor && tensor->ndim == row->ndim;
    for (int d = 0; same && d < row->ndim; d++) same = tensor->shape[d] == row->shape[d];
    return same;
}

bool vt_params_fit(const vt_params *params, const vt_st_file *file)
{
    for (int i = 0; i < params->count; i++) {
        char name[VT_ENTRY_NAME_BYTES];
        name_in_file(name, params, &params->rows[i], file, "");
        if (!same_shape(&params->rows[i], vt_st_find(file, name))) return false;
    }
    report r = {.length = 0};
    note_unexpected(&r, params, file);
    return r.length == 0;
}

void vt_params_entries(const vt_params *params, const vt_real *slab, const char *prefix,
                       vt_st_entry *entries, char (*names)[VT_ENTRY_NAME_BYTES])
{
    for (int i = 0; i < params->count; i++) {
        const vt_param *row = &params->rows[i];
        snprintf(names[i], sizeof names[i], "%s%s", prefix, row->name);
        entries[i] = (vt_st_entry){
            .name = names[i], .dtype = VT_F32, .ndim = row->ndim, .data = slab + row->offset};
        memcpy(entries[i].shape, row->shape, sizeof row->shape);
    }
}

static bool is_finite(const vt_param *row, const vt_real *slab)
{
    for (size_t k = 0; k < row->count; k++)
        if (!isfinite(slab[row->offset + k])) return false;
    return true;
}

const vt_param *vt_params_first_bad(const vt_params *params, const vt_real *slab)
{
    for (int i = 0; i < params->count; i++)
        if (!is_finite(&params->rows[i], slab)) return &params->rows[i];
    return NULL;
}

const vt_param *vt_params_last_bad(const vt_params *params, const vt_real *slab)
{
    for (int i = params->count - 1; i >= 0; i--)
        if (!is_finite(&params->rows[i], slab)) return &params->rows[i];
    return NULL;
}
