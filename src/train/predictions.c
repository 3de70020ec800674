// What was said of each sample, kept and written; see evaluate.h.
#include "vitrain/train/evaluate.h"

#include "vitrain/base/bytes.h"
#include "vitrain/io/safetensors.h"

void vt_predictions_place(vt_predictions *p, vt_arena *arena, int64_t capacity)
{
    int64_t **const columns[] = {&p->sample, &p->label, &p->predicted};
    p->capacity = capacity;
    for (int i = 0; i < 3; i++) *columns[i] = VT_ARENA_TAKE(arena, int64_t, (size_t)capacity);
    p->loss = VT_ARENA_TAKE(arena, vt_real, (size_t)capacity);
}

vt_status vt_predictions_write(const char *path, const vt_predictions *p)
{
    const vt_st_entry entries[] = {
        {.name = "sample", .dtype = VT_I64, .ndim = 1, .shape = {p->n}, .data = p->sample},
        {.name = "label", .dtype = VT_I64, .ndim = 1, .shape = {p->n}, .data = p->label},
        {.name = "predicted", .dtype = VT_I64, .ndim = 1, .shape = {p->n}, .data = p->predicted},
        {.name = "loss", .dtype = VT_F32, .ndim = 1, .shape = {p->n}, .data = p->loss},
    };
    return vt_st_write(path, entries, sizeof entries / sizeof *entries, NULL, 0);
}

// A column; each number from 0 to below - 1 (below 0: no bound above).
static vt_status read_column(int64_t *out, const vt_st_file *file, const char *name, int64_t n,
                             int64_t below)
{
    const vt_st_tensor *tensor;
    VT_TRY(vt_st_get(file, name, VT_I64, 1, &n, &tensor));
    for (int64_t i = 0; i < n; i++) {
        out[i] = (int64_t)vt_le64(tensor->data + 8 * i);
        VT_REQUIRE(out[i] >= 0 && (below == 0 || out[i] < below), VT_ERR_FORMAT,
                   "%s: %s[%lld]: expected 0 to %lld, got %lld", vt_st_path(file), name,
                   (long long)i, (long long)below - 1, (long long)out[i]);
    }
    return VT_OK;
}

static vt_status read_columns(vt_predictions *p, vt_arena *arena, const vt_st_file *file, int K)
{
    int64_t n = -1;
    const vt_st_tensor *tensor;
    VT_TRY(vt_st_get(file, "label", VT_I64, 1, &n, &tensor));
    vt_predictions_place(p, arena, n);
    VT_TRY(vt_arena_reserve(arena));
    vt_predictions_place(p, arena, n);
    VT_TRY(read_column(p->sample, file, "sample", n, 0));
    VT_TRY(read_column(p->label, file, "label", n, K));
    VT_TRY(read_column(p->predicted, file, "predicted", n, K));
    VT_TRY(vt_st_get_real(file, "loss", 1, &n, p->loss));
    p->n = n;
    return VT_OK;
}

vt_status vt_predictions_read(vt_predictions *p, vt_arena *arena, const char *path, int K)
{
    *p = (vt_predictions){0};
    vt_st_file *file;
    VT_TRY(vt_st_open(&file, path));
    vt_status status = read_columns(p, arena, file, K);
    vt_st_close(file);
    return status;
}
