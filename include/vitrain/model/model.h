// Models: what they look like (vt_model_config), the presets under timm's names, and the calls that
// every family answers (vt_model_ops). A family is one file and a line in model_registry.c.
//
// Models never know labels: whoever wants attention maps passes hooks to the forward pass.
#ifndef VITRAIN_MODEL_MODEL_H
#define VITRAIN_MODEL_MODEL_H

#include "vitrain/base/arena.h"
#include "vitrain/model/params.h"
#include "vitrain/ops/ops.h"

typedef enum vt_pool { VT_POOL_TOKEN, VT_POOL_AVG } vt_pool;

typedef enum vt_drop_path_rule {
    VT_DROP_PATH_LINEAR,   // from 0 at the first block
    VT_DROP_PATH_CONSTANT, // the same for all (DeiT III)
} vt_drop_path_rule;

enum { VT_STAGES_MAX = 8 };

// A number for each stage of a model in stages.
typedef struct vt_stage_ints {
    int count, at[VT_STAGES_MAX]; // 0: none given
} vt_stage_ints;

typedef struct vt_model_config {
    char name[64];                             // preset or family, as given
    char family[16];                           // "vit", "swin"
    int image_height, image_width, patch_size; // px
    int in_chans;
    int embed_dim;               // of the first stage, where there are stages
    int depth, num_heads;        // in stages: of all of them together, of the first
    vt_stage_ints depths, heads; // of each stage
    int window_size;             // tokens
    double mlp_ratio;
    int num_classes;
    bool qkv_bias;
    vt_pool pool;        // timm's global_pool
    bool distilled;      // distillation token and second head
    double layer_scale;  // timm's init_values: what LayerScale begins with; 0: there is none
    bool no_embed_class; // only patches have position embeddings
    double drop_path;    // of the last block
    vt_drop_path_rule drop_path_rule;
    double drop;      // after the position embedding, projection and both MLP layers
    double attn_drop; // on the attention maps
} vt_model_config;

// A preset: a shape and the pixels that it was published with.
typedef struct vt_model_preset {
    const char *name, *family;
    int image_size, patch_size, embed_dim, depth, num_heads;
    bool distilled;
    double mean[3], std[3], crop_pct;
    vt_stage_ints depths, heads;
    int window_size;
    double layer_scale;
    bool no_embed_class;
} vt_model_preset;

extern const vt_model_preset vt_model_presets[];               // ended by name NULL
const vt_model_preset *vt_model_preset_find(const char *name); // NULL if unknown
// Gives the model the preset's shape; its name, family and all else stay as they are.
void vt_model_preset_apply(vt_model_config *config, const vt_model_preset *preset);

// VT_ERR_CONFIG with key, expected and got: sizes out of range, an image that patches do not
// divide, heads that do not divide the width, `avg` with `distilled` ...
vt_status vt_model_config_check(const vt_model_config *config);
// For a family's own check: a size from 1 to `most`; heads that divide a width.
vt_status vt_model_check_range(const char *key, int value, int most);
vt_status vt_model_check_heads(int heads, int width);
enum { VT_MODEL_MAX_WIDTH = 16384, VT_MODEL_MAX_DEPTH = 1000 };

// Stochastic depth of a block: config.drop_path at the last one, at the others what the rule says.
double vt_model_drop_path(const vt_model_config *config, int layer);

// Whether activations can be stored as bf16, whose products take numbers in pairs: a head, the MLP
// and a patch have even widths.
bool vt_model_takes_bf16(const vt_model_config *config);

// ---- attention hooks ----

// One head's attention map of one image: a row per query.
typedef struct vt_attn_view {
    int layer;             // 0 ..
    int sample;            // index in the batch
    int window;            // of the image; 0 where attention is global
    int head, H;           // 0 .. H-1, in this order
    int R, T, ld;          // queries: the first R of T tokens; ld numbers from one row to the next
    const vt_real *map;    // (R,T), softmax before dropout; rows sum to 1
    const vt_real *x;      // (T,C), the tokens that enter the block; of padding there is none
    const int32_t *tokens; // (T) which token of the image each row is, -1: padding; NULL: 0 .. T-1
} vt_attn_view;

// Tokens of one image become fewer.
typedef struct vt_merge_view {
    int layer;  // 0 .. , the next one
    int sample; // index in the batch
    int count;  // tokens from now on
    const int32_t
        *children; // (count,4) the tokens that each is made of, -1: none, rising with count
} vt_merge_view;

// A client. Calls for one sample come in the order of layers, for one window in that of heads; but
// different samples, and windows of a layer, are on different threads: a client keeps its state per
// sample, and of a window it touches that window's tokens only. Nobody keeps a view.
typedef struct vt_attn_hook {
    void *self;
    void (*on_attention)(void *self, const vt_attn_view *view);
    void (*on_merge)(void *self, const vt_merge_view *view); // NULL: of no interest
    // Wants all queries of every layer. Else the last layer may show those only that the head
    // reads.
    bool whole;
} vt_attn_hook;

// ---- the forward and backward pass ----

// How tokens are laid out and what the head reads.
typedef struct vt_token_layout {
    int tokens;         // T of the first layer, of a whole image
    int last_tokens;    // of the last: fewer where a model merges tokens
    int prefix;         // class token, distillation token ...: 0 to 2
    int grid_h, grid_w; // patches
    vt_pool pool;
    bool distilled;
} vt_token_layout;

// What the backward pass computes again instead of finding it kept (train.recompute).
typedef enum vt_recompute {
    VT_RECOMPUTE_NONE,
    VT_RECOMPUTE_GELU,  // the outputs of GELU and of the norms: cheap to compute, a third of the
                        // memory
    VT_RECOMPUTE_BLOCK, // everything inside a block: a third more work, a block's input is all that
                        // is kept
} vt_recompute;

// What activations are placed for.
typedef struct vt_placement {
    int max_batch;
    bool training; // else for inference only
    vt_elem type;  // of stored activations and of the blocks' products
    vt_recompute recompute;
} vt_placement;

typedef struct vt_pass {
    int B;                     // images, at most the planned number
    bool training;             // a backward pass follows
    const vt_real *images;     // (B, in_chans, height, width); must stay until the backward pass
    vt_real *logits;           // (B,K) out: of the class head
    vt_real *logits_dist;      // (B,K) out: of the distillation head, or NULL if not distilled
    const vt_attn_hook *hooks; // (n_hooks)
    int n_hooks;
    bool stochastic; // dropouts and drop path are on
    uint64_t seed;   // for them
    uint32_t step;   // micro-step of the run
} vt_pass;

// Products of one shape in a training step.
typedef enum vt_product_kind {
    VT_PRODUCT_ROWS,     // of m rows with packed weights: (m,k) (k,n)
    VT_PRODUCT_GRADIENT, // of a weight: (m,k) (k,n), both operands panels, k the rows of a chunk
    VT_PRODUCT_SMALL,    // of few rows, not by panels
} vt_product_kind;

typedef struct vt_product_info {
    char name[24];
    vt_product_kind kind;
    int m, n, k;
    vt_trans ta, tb; // of the operands as they lie in memory
    int calls;       // of a step, all layers
    double flops;    // of all calls; calls at a batch's edge may be smaller
} vt_product_info;

enum { VT_PRODUCTS_MAX = 160 };

// Attention of a layer.
typedef struct vt_attn_shape {
    int windows, T, H; // windows of an image (1: global), tokens of one, heads
} vt_attn_shape;

typedef struct vt_model vt_model;

typedef struct vt_model_ops {
    const char *family;
    size_t state_bytes; // of the family's own struct, at vt_model.state
    double norm_eps;    // of every LayerNorm
    // Keys of the configuration's `model` that not every family takes: those of this one, ended by
    // NULL.
    const char *const *keys;
    // What the family assumes where neither a preset nor the configuration says it; NULL: nothing.
    void (*defaults)(vt_model_config *config);
    // What vt_model_config_check does not know. VT_ERR_CONFIG.
    vt_status (*check)(const vt_model_config *config);
    // Whether all widths are even that bf16 takes in pairs.
    bool (*takes_bf16)(const vt_model_config *config);
    // Fills params and the state's offsets; destroy_state releases what the state owns besides
    // itself.
    vt_status (*declare)(vt_model *model);
    void (*destroy_state)(void *state);
    // Places the activations. They are for vt_threads() threads: that number must not change until
    // they are placed again. VT_ERR_CONFIG: bf16 and an odd width.
    vt_status (*place)(vt_model *model, vt_arena *arena, const vt_placement *placement);
    void (*forward)(vt_model *model, const vt_real *weights, const vt_pass *pass);
    // grads: a slab, +=. dlogits: (B,K); dlogits_dist: (B,K) or NULL. After forward with the same
    // pass (`training`), placed for training.
    void (*backward)(vt_model *model, const vt_real *weights, vt_real *grads, const vt_pass *pass,
                     const vt_real *dlogits, const vt_real *dlogits_dist);
    void (*layout)(const vt_model *model, vt_token_layout *layout);
    void (*attention)(const vt_model *model, int layer, vt_attn_shape *shape);
    // Floating-point operations (multiplications and additions of matrix products) of one image.
    double (*forward_flops)(const vt_model *model);
    double (*train_flops)(const vt_model *model); // forward and backward
    // The products that a training step of B images really executes: all of train_flops, or less
    // where nobody needs the result; more where they are computed again. products:
    // (VT_PRODUCTS_MAX) out. Returns their number. After place.
    int (*products)(const vt_model *model, vt_product_info *products, int B);
} vt_model_ops;

struct vt_model {
    const vt_model_ops *ops;
    vt_model_config config;
    vt_params params;
    void *state;
};

// Checks the config and declares the tensors. No activations yet: see place.
vt_status vt_model_create(vt_model **out, const vt_model_config *config);
void vt_model_destroy(vt_model *model); // takes NULL

// Whether in every layer every token of a picture attends to every other one (ViT; not Swin).
bool vt_model_attends_globally(const vt_model *model);

// The mean of both heads where there are two (inference), in place in logits.
void vt_model_join_heads(vt_real *logits, const vt_real *logits_dist, int B, int K);

// The config as safetensors metadata and back, so that a weights file says what it is for.
// text: JSON, malloc'd; NULL when out of memory.
#define VT_MODEL_METADATA "vitrain.model" // its key
char *vt_model_config_text(const vt_model_config *config);
// VT_ERR_FORMAT: the text is of another kind; the numbers are vt_model_config_check's to judge.
// name: the file's, for messages.
vt_status vt_model_config_parse(vt_model_config *config, const char *text, const char *name);

// The registry, ended by NULL.
extern const vt_model_ops *const vt_families[];
const vt_model_ops *vt_family_find(const char *family);         // NULL if unknown
bool vt_family_takes(const vt_model_ops *ops, const char *key); // one of ops->keys

#endif
