// Every key of the configuration, once.
#include "config_table.h"

#include "vitrain/data/source.h"
#include "vitrain/label/label.h"
#include "vitrain/train/optim.h"

#include <math.h>
#include <string.h>

// A function that lists fixed names.
#define CHOICES(function, ...)                                  \
    static const char *function(int i)                          \
    {                                                           \
        static const char *const names[] = {__VA_ARGS__, NULL}; \
        return names[i];                                        \
    }

CHOICES(pools, "token", "avg")
CHOICES(drop_path_rules, "linear", "constant")
CHOICES(crops, "rrc", "pad", "none", "simple")
CHOICES(decodes, "exact", "fast")
CHOICES(filters, "bilinear", "bicubic")
CHOICES(train_filters, "same", "bilinear", "bicubic", "random")
CHOICES(erase_modes, "const", "rand", "pixel")
CHOICES(modes, "batch", "pair", "elem")
CHOICES(grids, "pixel", "token")
CHOICES(boxes, "exact", "official")
CHOICES(schedules, "cosine", "constant")
CHOICES(compats, "exact", "deit")
CHOICES(recomputes, "none", "gelu", "block")
CHOICES(losses, "cross-entropy", "bce")
CHOICES(bce_targets, "soft", "binary")
CHOICES(distill_types, "none", "soft", "hard")
CHOICES(resumes, "auto", "never")

static const char *precisions(int i)
{
    static const char *const names[] = {"auto", "fp32", "bf16", NULL};
    return names[i];
}

const char *vt_precision_name(vt_precision precision)
{
    return precisions((int)precision);
}

// The registries know the rest.
static const char *models(int i)
{
    int families = 0;
    while (vt_families[families]) families++;
    return i < families ? vt_families[i]->family : vt_model_presets[i - families].name;
}

static const char *presets(int i)
{
    return vt_model_presets[i].name;
}

static const char *formats(int i)
{
    if (i == 0) return "auto";
    return vt_sources[i - 1] ? vt_sources[i - 1]->name : NULL;
}

static const char *rules(int i)
{
    return vt_label_rules[i] ? vt_label_rules[i]->name : NULL;
}

static const char *optims(int i)
{
    return vt_optims[i] ? vt_optims[i]->name : NULL;
}

static const char *augments(int i)
{
    return vt_augment_presets[i].name;
}

const vt_augment_preset vt_augment_presets[] = {
    {"none", "{\"crop\":\"none\",\"flip\":0}"},
    {"light", "{}"},
    {"deit", "{\"aa\":\"rand-m9-mstd0.5-inc1\",\"interpolation\":\"bicubic\",\"reprob\":0.25,"
             "\"remode\":\"pixel\",\"recount\":1}"},
    {"deit3", "{\"three_augment\":true,\"color_jitter\":0.3,\"interpolation\":\"bicubic\"}"},
    {"cifar", "{\"crop\":\"pad\",\"pad\":4,\"flip\":0.5}"},
    {NULL, NULL},
};

const char *const vt_config_sections[] = {
    "",      "model",    "data",  "data.augment", "mix", "label",
    "optim", "schedule", "train", "distill",      NULL,
};

#define AT(member) offsetof(vt_config, member)
#define MODEL(member) VT_KEY_MODEL, AT(member), 0, 0
#define INT(member, low, high) VT_KEY_INT, AT(member), low, high
#define INT64(member, low, high) VT_KEY_INT64, AT(member), low, high
#define REAL(member, low, high) VT_KEY_REAL, AT(member), low, high
#define BOOL(member) VT_KEY_BOOL, AT(member), 0, 0
#define ENUM(member) VT_KEY_ENUM, AT(member), 0, 0
#define TEXT(member) VT_KEY_TEXT, AT(member), 0, 0
#define PATH(member) VT_KEY_PATH, AT(member), 0, 0
#define STAGES(member, low, high) VT_KEY_STAGES, AT(member), low, high
#define HEADS(member, low, high) VT_KEY_HEADS, AT(member), low, high
#define SIZE(member, low, high) VT_KEY_SIZE, AT(member), low, high
#define PAIR(member, low, high) VT_KEY_PAIR, AT(member), low, high
#define PIXEL(member, low, high) VT_KEY_PIXEL, AT(member), low, high
#define JITTER(member, low, high) VT_KEY_JITTER, AT(member), low, high
#define POLICY(member) VT_KEY_POLICY, AT(member), 0, 0
#define AUGMENT VT_KEY_AUGMENT, 0, 0, 0
#define TEXTS(member) VT_KEY_TEXTS, AT(member), 0, 0
#define ANY INFINITY

#define ABOVE VT_KEY_ABOVE
#define BELOW VT_KEY_BELOW
#define NULL_OK VT_KEY_NULL
#define RISING VT_KEY_RISING
#define APART VT_KEY_APART
#define CWD VT_KEY_CWD
#define SHAPE VT_KEY_SHAPE
#define SETTLED VT_KEY_SETTLED
#define RESULT VT_KEY_RESULT
#define FAMILY VT_KEY_FAMILY
#define PLACE VT_KEY_PLACE

// clang-format off
const vt_config_key vt_config_keys[] = {
    // path, field and range, flags, choices, default, help
    {"model.name", MODEL(model.name), SETTLED, models, NULL,
     "a family, with the shape below, or a preset (timm's name)"},
    {"model.image_size", SIZE(model.image_height, 1, ANY), SETTLED | SHAPE, NULL, NULL,
     "input, px: one side, or [height, width]"},
    {"model.patch_size", INT(model.patch_size, 1, ANY), SETTLED | SHAPE, NULL, NULL,
     "side of a patch, px; divides the image"},
    {"model.in_chans", INT(model.in_chans, 1, ANY), SETTLED, NULL, "3",
     "channels of the input: 3, or 1 for grey"},
    {"model.embed_dim", INT(model.embed_dim, 1, ANY), SETTLED | SHAPE, NULL, NULL,
     "width; of a model in stages the first one's, then twice the one before"},
    {"model.depth", INT(model.depth, 1, ANY), SETTLED | SHAPE | FAMILY, NULL, NULL,
     "blocks (vit)"},
    {"model.depths", STAGES(model.depths, 1, ANY), SETTLED | SHAPE | FAMILY, NULL, NULL,
     "blocks of each stage (swin)"},
    {"model.num_heads", HEADS(model.num_heads, 1, ANY), SETTLED | SHAPE, NULL, NULL,
     "attention heads, of a model in stages a list; divide the width"},
    {"model.window_size", INT(model.window_size, 1, ANY), SETTLED | SHAPE | FAMILY, NULL, NULL,
     "side of the windows that attention is confined to, tokens; 7 if not given (swin)"},
    {"model.mlp_ratio", REAL(model.mlp_ratio, 0, 64), SETTLED | ABOVE, NULL, "4",
     "width of the MLP's hidden layer, in embed_dims; it is rounded down, to 1 at least"},
    {"model.num_classes", INT(model.num_classes, 1, ANY), SETTLED | NULL_OK, NULL, "null",
     "null: as many as the training data (or data.class_map) has; 1000 without data"},
    {"model.qkv_bias", BOOL(model.qkv_bias), SETTLED, NULL, "true",
     "queries, keys and values have a bias"},
    {"model.pool", ENUM(model.pool), SETTLED, pools, "\"token\"",
     "what the head reads: the class token, or the mean over patches (swin: always)"},
    {"model.distilled", BOOL(model.distilled), SETTLED | FAMILY, NULL, "false",
     "a distillation token and a second head (DeiT; vit)"},
    {"model.init_values", REAL(model.layer_scale, 0, ANY), SETTLED | ABOVE | NULL_OK | FAMILY, NULL,
     "null", "LayerScale: what it begins with; null: there is none"},
    {"model.no_embed_class", BOOL(model.no_embed_class), SETTLED | FAMILY, NULL, "false",
     "only patches have position embeddings (DeiT III)"},
    {"model.drop_path", REAL(model.drop_path, 0, 1), SETTLED | BELOW, NULL, "0.1",
     "stochastic depth: of the last block"},
    {"model.drop_path_rule", ENUM(model.drop_path_rule), SETTLED, drop_path_rules, "\"linear\"",
     "rising from 0 at the first block, or the same for all (DeiT III)"},
    {"model.drop", REAL(model.drop, 0, 1), SETTLED | BELOW, NULL, "0",
     "dropout of embeddings, projections and MLPs"},
    {"model.attn_drop", REAL(model.attn_drop, 0, 1), SETTLED | BELOW, NULL, "0",
     "dropout of the attention maps"},

    {"data.train", PATH(data.train), PLACE | NULL_OK, NULL, "null",
     "training data: the folder of the class folders, or a file"},
    {"data.val", PATH(data.val), PLACE | NULL_OK, NULL, "null",
     "validation data, likewise; null: no evaluation"},
    {"data.format", TEXT(data.format), PLACE, formats, "\"auto\"",
     "what lies there; auto looks"},
    {"data.class_map", PATH(data.class_map), PLACE | NULL_OK, NULL, "null",
     "file of class names, line number = label"},
    {"data.workers", INT(data.workers, 0, 1024), 0, NULL, "2",
     "threads that decode and augment ahead"},
    {"data.repeated_aug", INT(data.repeated_aug, 1, 1024), SETTLED, NULL, "1",
     "copies of each image in an epoch, as DeiT's RASampler (3 there); 1: off"},
    {"data.augment", AUGMENT, 0, augments, "\"light\"",
     "for training; an object sets single values, a name all of those below"},
    {"data.augment.crop", ENUM(data.augment.crop), SETTLED, crops, "\"rrc\"",
     "random resized crop, pad and crop, resize only, or DeiT III's simple random crop"},
    {"data.augment.scale", PAIR(data.augment.scale, 0, 1), SETTLED | ABOVE | RISING, NULL,
     "[0.08, 1]", "rrc: share of the picture's area"},
    {"data.augment.ratio", PAIR(data.augment.ratio, 0, ANY), SETTLED | ABOVE | RISING, NULL,
     "[0.75, 1.3333333333333333]", "rrc: aspect ratio"},
    {"data.augment.pad", INT(data.augment.pad, 0, 8192), SETTLED, NULL, "4",
     "pad: black px on each side; simple: px mirrored there"},
    {"data.augment.flip", REAL(data.augment.flip, 0, 1), SETTLED, NULL, "0.5",
     "probability of a horizontal flip"},
    {"data.augment.interpolation", ENUM(data.augment.interpolation), SETTLED, train_filters,
     "\"same\"", "same: data.interpolation; random: one of the two each time"},
    {"data.augment.aa", POLICY(data.augment.aa), SETTLED | NULL_OK, NULL, "null",
     "RandAugment as timm 0.4.12's: m magnitude, n operations, mstd its deviation, inc1, w0, p"},
    {"data.augment.three_augment", BOOL(data.augment.three_augment), SETTLED, NULL, "false",
     "DeiT III's: grey, solarized or blurred, one of the three each time"},
    {"data.augment.color_jitter", JITTER(data.augment.color_jitter, 0, ANY), SETTLED, NULL, "0",
     "factors from 1 - this to 1 + this; hue: turns either way, at most 0.5; off where aa is on"},
    {"data.augment.reprob", REAL(data.augment.erase.probability, 0, 1), SETTLED, NULL, "0",
     "random erasing: probability"},
    {"data.augment.remode", ENUM(data.augment.erase.mode), SETTLED, erase_modes, "\"pixel\"",
     "zeros, a random colour, or noise"},
    {"data.augment.recount", INT(data.augment.erase.count, 1, 100), SETTLED, NULL, "1",
     "most boxes in a picture; they share the area"},
    {"data.augment.rearea", PAIR(data.augment.erase.area, 0, 1), SETTLED | ABOVE | RISING, NULL,
     "[0.02, 0.3333333333333333]", "share of the input's area"},
    {"data.augment.reaspect", PAIR(data.augment.erase.aspect, 0, ANY), SETTLED | ABOVE | RISING,
     NULL, "[0.3, 3.3333333333333335]", "a box's height / width"},
    {"data.interpolation", ENUM(data.augment.filter), SETTLED, filters, "\"bicubic\"",
     "filter of every resize (antialiased)"},
    {"data.crop_pct", REAL(data.augment.crop_pct, 0, 1), SETTLED | ABOVE, NULL, "0.875",
     "evaluation: share of the resized shorter side that is kept; presets bring theirs"},
    {"data.mean", PIXEL(data.augment.mean, -ANY, ANY), SETTLED, NULL, "[0.485, 0.456, 0.406]",
     "per channel, of pixels in 0..1; presets bring theirs"},
    {"data.std", PIXEL(data.augment.std, 0, ANY), SETTLED | ABOVE, NULL, "[0.229, 0.224, 0.225]",
     "likewise"},
    {"data.decode", ENUM(data.augment.decode), SETTLED, decodes, "\"exact\"",
     "Pillow's pixels, or fast: large training crops are shrunk by 2, 4 or 8 while decoding a JPEG"},
    {"data.max_pixels", INT64(data.max_pixels, 1, ANY), SETTLED, NULL, "178956970",
     "larger pictures count as unreadable"},
    {"data.max_bad", REAL(data.max_bad, 0, 1), 0, NULL, "0.01",
     "share of unreadable pictures above which a run stops"},

    {"mix.cutmix", REAL(mix.cutmix, 0, ANY), SETTLED, NULL, "1",
     "CutMix: lambda from Beta(a, a); 0: off"},
    {"mix.mixup", REAL(mix.mixup, 0, ANY), SETTLED, NULL, "0",
     "Mixup, likewise"},
    {"mix.cutmix_minmax", PAIR(mix.cutmix_minmax, 0, 1), SETTLED | NULL_OK | RISING | APART, NULL,
     "null", "sides of CutMix's box as shares of the image, instead of Beta"},
    {"mix.prob", REAL(mix.prob, 0, 1), SETTLED, NULL, "1",
     "probability of mixing at all"},
    {"mix.switch_prob", REAL(mix.switch_prob, 0, 1), SETTLED, NULL, "0.5",
     "probability of CutMix where Mixup is on too"},
    {"mix.mode", ENUM(mix.mode), SETTLED, modes, "\"batch\"",
     "one draw for the batch, for each pair or for each sample"},
    {"mix.grid", ENUM(mix.grid), SETTLED, grids, "\"token\"",
     "CutMix's box lies on pixels or on whole patches"},
    {"mix.box", ENUM(mix.box), SETTLED, boxes, "\"exact\"",
     "how a side becomes whole: rounded, or as the authors' code (drops odd ones)"},
    {"mix.correct_lam", BOOL(mix.correct_lam), SETTLED, NULL, "true",
     "lambda from the clipped box instead of the drawn one"},
    {"mix.smoothing", REAL(smoothing, 0, 1), SETTLED | BELOW, NULL, "0.1",
     "label smoothing"},

    {"label.rule", TEXT(label_rule), SETTLED, rules, "\"tl-align\"",
     "how mixed images are labelled"},

    {"optim.name", TEXT(optim.name), SETTLED, optims, "\"adamw\"",
     "optimizer"},
    {"optim.lr", REAL(optim.lr, 0, ANY), SETTLED | ABOVE, NULL, "5e-4",
     "peak learning rate, for lr_base_batch images a step"},
    {"optim.lr_base_batch", REAL(optim.lr_base_batch, 0, ANY), SETTLED | ABOVE | NULL_OK, NULL,
     "512", "lr is scaled by batch_size x accumulate / this; null: not scaled"},
    {"optim.betas", PAIR(optim.betas, 0, 1), SETTLED | BELOW, NULL, "[0.9, 0.999]",
     "AdamW and LAMB"},
    {"optim.eps", REAL(optim.eps, 0, ANY), SETTLED | ABOVE, NULL, "1e-8",
     "AdamW and LAMB"},
    {"optim.momentum", REAL(optim.momentum, 0, 1), SETTLED | BELOW, NULL, "0.9",
     "SGD"},
    {"optim.nesterov", BOOL(optim.nesterov), SETTLED, NULL, "false",
     "SGD: Nesterov's momentum"},
    {"optim.weight_decay", REAL(optim.weight_decay, 0, ANY), SETTLED, NULL, "0.05",
     "not on biases, norms, tokens and position embeddings"},
    {"optim.layer_decay", REAL(optim.layer_decay, 0, 1), SETTLED | ABOVE, NULL, "1",
     "for fine-tuning: a layer's rate is this times the next one's; 1: the same for all"},
    {"optim.clip_norm", REAL(optim.clip_norm, 0, ANY), SETTLED | ABOVE | NULL_OK, NULL, "null",
     "largest norm of the gradient; null: no clipping"},

    {"schedule.name", TEXT(schedule.name), RESULT, schedules, "\"cosine\"",
     "after the warm-up"},
    {"schedule.warmup_epochs", REAL(schedule.warmup_epochs, 0, ANY), RESULT, NULL, "5",
     "linear warm-up"},
    {"schedule.warmup_lr", REAL(schedule.warmup_lr, 0, ANY), RESULT, NULL, "1e-6",
     "where it starts; never scaled"},
    {"schedule.min_lr", REAL(schedule.min_lr, 0, ANY), RESULT, NULL, "1e-5",
     "where the cosine ends; never scaled"},
    {"schedule.compat", ENUM(schedule.compat), RESULT, compats, "\"exact\"",
     "a new rate each step, or each epoch as DeiT's script sets it"},

    {"train.epochs", INT(train.epochs, 1, ANY), RESULT, NULL, "300",
     "may grow when a run is resumed"},
    {"train.batch_size", INT(train.batch_size, 1, 65536), SETTLED, NULL, "128",
     "images of a micro-batch"},
    {"train.accumulate", INT(train.accumulate, 1, 65536), SETTLED, NULL, "8",
     "micro-batches of an optimizer step"},
    {"train.loss", ENUM(loss.kind), SETTLED, losses, "\"cross-entropy\"",
     "bce: binary cross-entropy, the mean over classes and images (DeiT III)"},
    {"train.bce_target", ENUM(loss.target), SETTLED, bce_targets, "\"soft\"",
     "bce: the mixed label as it is, or 1 for every class in it whatever its share (DeiT III)"},
    {"train.precision", ENUM(train.precision), RESULT, precisions, "\"auto\"",
     "of activations and matrix products; auto: bf16 where the processor is faster in it, else fp32"},
    {"train.recompute", ENUM(train.recompute), 0, recomputes, "\"gelu\"",
     "what the backward pass computes again to save memory: nothing, GELU and norms, whole blocks"},
    {"train.ema_decay", REAL(train.ema_decay, 0, 1), SETTLED | BELOW, NULL, "0",
     "averaged weights: what a step keeps of them (DeiT's script: 0.99996); 0: none"},
    {"train.seed", INT64(train.seed, 0, ANY), SETTLED, NULL, "0",
     "of every random number"},
    {"train.threads", INT(train.threads, 0, 4096), 0, NULL, "0",
     "0: as many as there are processors"},
    {"train.init", PATH(train.init), RESULT | NULL_OK, NULL, "null",
     "weights to start from: safetensors, their index, or .pth"},
    {"train.freeze", TEXTS(train.freeze), SETTLED, NULL, "[]",
     "tensors that stay as they are, such as patch_embed.* or blocks.[0-5].* (glob)"},
    {"train.log_every", INT(train.log_every, 1, ANY), 0, NULL, "50",
     "steps between lines of steps.jsonl"},
    {"train.resume", PATH(train.resume), 0, resumes, "\"auto\"",
     "go on from the output's last.safetensors if there is one; if not, from a file; never: anew"},

    {"distill.type", ENUM(loss.distill), SETTLED, distill_types, "\"none\"",
     "what a distilled model's second head learns: the labels; a teacher's probabilities; its best class"},
    {"distill.teacher", PATH(distill_teacher), RESULT | NULL_OK, NULL, "null",
     "the teacher's weights: of any model here, for the same images and classes"},
    {"distill.model", TEXT(distill_model), RESULT | NULL_OK, presets, "null",
     "a preset that the teacher is; null: what its file says"},
    {"distill.alpha", REAL(loss.alpha, 0, 1), SETTLED, NULL, "0.5",
     "the second head's share of the loss"},
    {"distill.tau", REAL(loss.tau, 0, ANY), SETTLED | ABOVE, NULL, "1",
     "soft: temperature"},

    {"output", PATH(output), NULL_OK | CWD, NULL, "null",
     "the run's folder; null: runs/NAME after the configuration's file"},
    {0},
};
// clang-format on

const vt_config_key *vt_config_key_find(const char *path)
{
    for (const vt_config_key *key = vt_config_keys; key->path; key++)
        if (strcmp(key->path, path) == 0) return key;
    return NULL;
}
