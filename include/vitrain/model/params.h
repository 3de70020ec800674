// The one list of a model's tensors. Sizes, addresses, optimizer groups, checkpoints and tests are
// all driven by it. Weights, gradients and the optimizer's moments are slabs of one layout.
#ifndef VITRAIN_MODEL_PARAMS_H
#define VITRAIN_MODEL_PARAMS_H

#include "vitrain/base/real.h"
#include "vitrain/base/status.h"
#include "vitrain/io/safetensors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum vt_init {
    VT_INIT_ZEROS,
    VT_INIT_ONES,
    VT_INIT_TRUNC_NORMAL_02, // timm's trunc_normal_(std=.02): cut off at +-2, not at 2 deviations
    VT_INIT_CONSTANT,        // vt_param.value everywhere
    VT_INIT_CONV,            // PyTorch's default for Conv2d, weight and bias: U(+-1/sqrt(fan_in))
} vt_init;

enum {
    VT_PARAM_NAME_BYTES = 96,
    VT_ENTRY_NAME_BYTES = 128 // with the prefix that it has in a file
};

typedef struct vt_param {
    char name[VT_PARAM_NAME_BYTES]; // timm's
    int ndim;
    int64_t shape[4];
    size_t count;  // elements
    size_t offset; // first element in a slab; a multiple of 16 elements (64 bytes as float)
    vt_init init;
    int fan_in;   // for VT_INIT_CONV
    double value; // for VT_INIT_CONSTANT
    // Weight decay applies: not to biases, 1-D tensors, tokens and position embeddings.
    bool decays;
    bool frozen; // not trained: vt_params_freeze
    // How many layers of the model lie above the tensor's, for layer decay: 0 for the last norm and
    // the heads, 1 for the last block (with the merging before it, where there is one), ... and the
    // number of blocks + 1 for the embeddings, as in BEiT (arXiv 2106.08254) and MAE.
    // vt_params_number_layers.
    int layers_above;
} vt_param;

// Files of other versions call a tensor differently. out: (VT_ENTRY_NAME_BYTES), the name that the
// table has for the file's tensor `name`; false: it is no weight, but follows from the model's
// shape.
typedef bool vt_rename_fn(char *out, const char *name, const vt_st_file *file);

typedef struct vt_params {
    vt_rename_fn *rename; // of files without a prefix; NULL: names are as they are
    vt_param *rows;       // (count)
    int count, capacity;
    size_t slab_count; // elements of a slab, padding included
    int64_t total;     // elements of all tensors: the number of parameters
} vt_params;

// Appends a tensor and returns its offset through *offset. name: printf format for the layer index.
vt_status vt_params_add(vt_params *params, size_t *offset, vt_init init, bool decays, int ndim,
                        const int64_t *shape, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
void vt_params_free(vt_params *params);                        // takes a zeroed one
int vt_params_find(const vt_params *params, const char *name); // row, -1 if absent

// Sets layers_above of every row, once the table is complete.
void vt_params_number_layers(vt_params *params);

// Freezes every tensor whose name matches one of the patterns (fnmatch(3): * any text, ? a
// character, [0-5] one of them). No optimizer step changes a frozen tensor. VT_ERR_CONFIG names a
// pattern that matches nothing; also when nothing is left to train.
vt_status vt_params_freeze(vt_params *params, const char *const *patterns, int count);
// Zeroes what is frozen in a slab of gradients, so that it is in no norm.
void vt_params_clear_frozen(const vt_params *params, vt_real *grads);
// Whether a tensor before this offset is trained. Models declare their tensors from the pixels up:
// this is whether the backward pass goes on below the part that begins there.
bool vt_params_trained_before(const vt_params *params, size_t offset);

// timm 0.4.12's initialization; a tensor's numbers depend on (seed, its row) only.
void vt_params_init(const vt_params *params, vt_real *slab, uint64_t seed);

// Fills a slab from a file, `prefix` (may be "") before each name. Each tensor must be there as
// F32, F16, BF16 or F64 in its shape and finite (VT_ERR_NUMERIC). With an empty prefix, a tensor in
// the file that is neither in the table nor begins with "optim." or "ema.", or that is there under
// two names, is refused too. VT_ERR_SHAPE says what of width, depth and so on differs, as far as
// the shapes tell, and names four of the tensors that are missing, unexpected or of another shape.
vt_status vt_params_load(const vt_params *params, vt_real *slab, const vt_st_file *file,
                         const char *prefix);

// The same where a tensor of another shape may be made to fit: adapt sets *fits where it has filled
// out: (row->count), or leaves it as initialized. VT_ERR_MEMORY.
typedef struct vt_adapter {
    void *self;
    vt_status (*adapt)(bool *fits, void *self, const vt_param *row, const vt_st_tensor *tensor,
                       vt_real *out);
} vt_adapter;

vt_status vt_params_load_adapted(const vt_params *params, vt_real *slab, const vt_st_file *file,
                                 const char *prefix, const vt_adapter *adapter);

// Whether a file's tensors are those of the table, by name and shape: nothing is missing, nothing
// is there besides "optim." and "ema.".
bool vt_params_fit(const vt_params *params, const vt_st_file *file);

// Entries that write a slab under prefix + name. entries: (count) out; names: (count) out, holds
// the prefixed names for as long as the entries are used.
void vt_params_entries(const vt_params *params, const vt_real *slab, const char *prefix,
                       vt_st_entry *entries, char (*names)[VT_ENTRY_NAME_BYTES]);

// The first tensor of the table with an element that is not finite, or the last one; NULL if none.
const vt_param *vt_params_first_bad(const vt_params *params, const vt_real *slab);
const vt_param *vt_params_last_bad(const vt_params *params, const vt_real *slab);

#endif
