// What fits a model's weights to another model; see the header.
#include "vitrain/model/finetune.h"

#include "vitrain/base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Where an output's four neighbours along one axis are, and what they count. Keys' cubic
// convolution with a = -0.75, torch's constant; neighbours outside are those at the border.
typedef struct tap {
    int at[4];
    double weight[4];
} tap;

static double cubic(double x)
{
    const double a = -0.75;
    x = fabs(x);
    return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

static tap tap_of(int out_index, int out_size, int in_size)
{
    const double place = (out_index + 0.5) * in_size / out_size - 0.5, whole = floor(place);
    tap t;
    for (int i = 0; i < 4; i++) {
        const int at = (int)whole - 1 + i;
        t.at[i] = at < 0 ? 0 : at >= in_size ? in_size - 1 : at;
        t.weight[i] = cubic(place - (whole - 1 + i));
    }
    return t;
}

void vt_grid_resize(vt_real *out, const vt_real *in, int out_h, int out_w, int in_h, int in_w,
                    int C)
{
    for (int y = 0; y < out_h; y++) {
        const tap rows = tap_of(y, out_h, in_h);
        for (int x = 0; x < out_w; x++, out += C) {
            const tap columns = tap_of(x, out_w, in_w);
            for (int c = 0; c < C; c++) {
                double sum = 0;
                for (int i = 0; i < 16; i++) {
                    const size_t token =
                        (size_t)rows.at[i / 4] * (size_t)in_w + (size_t)columns.at[i % 4];
                    sum += rows.weight[i / 4] * columns.weight[i % 4] *
                           (double)in[token * (size_t)C + (size_t)c];
                }
                out[c] = (vt_real)sum;
            }
        }
    }
}

typedef struct finetune {
    const vt_st_file *file;
    vt_token_layout layout;
} finetune;

// The grid of the file's model, whose patches these are; false if it cannot be told.
static bool old_grid(const finetune *f, int64_t patches, int *h, int *w)
{
    vt_model_config c;
    const char *text = vt_st_metadata(f->file, VT_MODEL_METADATA);
    if (text && vt_model_config_parse(&c, text, vt_st_path(f->file)) == VT_OK &&
        vt_model_config_check(&c) == VT_OK) {
        *h = c.image_height / c.patch_size;
        *w = c.image_width / c.patch_size;
    } else {
        *h = *w = (int)lround(sqrt((double)patches));
    }
    return patches > 0 && (int64_t)*h * *w == patches;
}

static vt_status take_old(vt_real **old, const vt_st_tensor *tensor)
{
    *old = malloc(tensor->count * sizeof **old);
    VT_REQUIRE(*old, VT_ERR_MEMORY, "tensor %s: out of memory", tensor->name);
    vt_st_reals(tensor, *old);
    return VT_OK;
}

static vt_status adapt_positions(bool *fits, const finetune *f, const vt_param *row,
                                 const vt_st_tensor *tensor, vt_real *out)
{
    const vt_token_layout *l = &f->layout;
    const int64_t others =
        row->shape[1] - (int64_t)l->grid_h * l->grid_w; // tokens, none in DeiT III
    const size_t C = (size_t)row->shape[2], prefix = (size_t)others * C;
    int h, w;
    if (tensor->ndim != 3 || tensor->shape[0] != 1 || tensor->shape[2] != row->shape[2] ||
        !old_grid(f, tensor->shape[1] - others, &h, &w))
        return VT_OK;
    vt_real *old;
    VT_TRY(take_old(&old, tensor));
    memcpy(out, old, prefix * sizeof *out);
    vt_grid_resize(out + prefix, old + prefix, l->grid_h, l->grid_w, h, w, (int)C);
    free(old);
    vt_log(VT_LOG_INFO, "%s: interpolated from a grid of %d x %d to %d x %d", row->name, h, w,
           l->grid_h, l->grid_w);
    *fits = true;
    return VT_OK;
}

// A table's windows are taken for square: a table of (2 w - 1)^2 rows. 0: it is not.
static int table_side(int64_t rows)
{
    const int side = (int)lround(sqrt((double)rows));
    return (int64_t)side * side == rows ? side : 0;
}

static vt_status adapt_table(bool *fits, const vt_param *row, const vt_st_tensor *tensor,
                             vt_real *out)
{
    const int side = table_side(row->shape[0]);
    const int old_side = tensor->ndim == 2 ? table_side(tensor->shape[0]) : 0;
    if (side == 0 || old_side == 0 || tensor->shape[1] != row->shape[1]) return VT_OK;
    vt_real *old;
    VT_TRY(take_old(&old, tensor));
    vt_grid_resize(out, old, side, side, old_side, old_side, (int)row->shape[1]);
    free(old);
    vt_log(VT_LOG_INFO, "%s: interpolated from windows of %d x %d to %d x %d", row->name,
           (old_side + 1) / 2, (old_side + 1) / 2, (side + 1) / 2, (side + 1) / 2);
    *fits = true;
    return VT_OK;
}

static bool is_table(const char *name)
{
    static const char suffix[] = ".relative_position_bias_table";
    const size_t length = strlen(name), n = sizeof suffix - 1;
    return length > n && !strcmp(name + length - n, suffix);
}

static bool is_head(const char *name)
{
    return !strncmp(name, "head.", 5) || !strncmp(name, "head_dist.", 10);
}

// A head for other classes.
static bool begins_anew(const vt_param *row, const vt_st_tensor *tensor)
{
    if (!is_head(row->name) || tensor->ndim != row->ndim || tensor->shape[0] == row->shape[0] ||
        (row->ndim == 2 && tensor->shape[1] != row->shape[1]))
        return false;
    vt_log(VT_LOG_INFO, "%s: starts anew: %lld classes, %lld in the file", row->name,
           (long long)row->shape[0], (long long)tensor->shape[0]);
    return true;
}

static vt_status adapt(bool *fits, void *self, const vt_param *row, const vt_st_tensor *tensor,
                       vt_real *out)
{
    if (!vt_dtype_is_floating(tensor->dtype)) return VT_OK;
    if (!strcmp(row->name, "pos_embed")) return adapt_positions(fits, self, row, tensor, out);
    if (is_table(row->name)) return adapt_table(fits, row, tensor, out);
    *fits = begins_anew(row, tensor);
    return VT_OK;
}

vt_status vt_finetune_load(const vt_model *model, vt_real *slab, const vt_st_file *file)
{
    finetune f = {.file = file};
    model->ops->layout(model, &f.layout);
    const vt_adapter adapter = {&f, adapt};
    return vt_params_load_adapted(&model->params, slab, file, "", &adapter);
}
