// vitrain attend: what a model looks at in pictures, as pictures and as numbers.
#include "commands.h"

#include "vitrain/data/sample.h"
#include "vitrain/io/file.h"
#include "vitrain/report/gaze.h"
#include "vitrain/report/sheet.h"
#include "vitrain/report/window_gaze.h"
#include "vitrain/train/evaluate.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VT_PANEL_PX = 160 }; // a panel's shorter side at least; small inputs are enlarged

typedef struct vt_attender {
    vt_subject subject;
    vt_evaluator evaluator;
    bool windows; // the model attends within windows: window_gaze, else gaze
    vt_gaze gaze;
    vt_window_gaze window_gaze;
    int depth;
    vt_real *input, *patches; // (channels, height, width), (grid_h, grid_w) of whole maps
    vt_arena arena;
    vt_sampler sampler;
    vt_image small, picture, drawn;
    vt_map_overlay overlay;
    vt_sheet sheet;
    const char *folder;
    char **names; // (n_names) what the files of each picture begin with
    int n_names;
    const char *name; // of the picture at hand
    vt_json *files;
} vt_attender;

static vt_status place(vt_attender *a)
{
    const vt_model *model = a->subject.model;
    const vt_model_config *c = &model->config;
    if (a->windows)
        vt_window_gaze_place(&a->window_gaze, &a->arena, model);
    else
        vt_gaze_place(&a->gaze, &a->arena, model);
    a->input = VT_ARENA_TAKE(
        &a->arena, vt_real, (size_t)c->in_chans * (size_t)c->image_height * (size_t)c->image_width);
    a->patches = VT_ARENA_TAKE(&a->arena, vt_real, (size_t)a->gaze.T);
    return vt_evaluator_place(&a->evaluator, &a->arena, a->subject.model, 1, &a->subject.type);
}

static vt_status open_attender(vt_attender *a, const vt_args *args)
{
    VT_TRY(vt_subject_load(&a->subject, args, args->operands[0]));
    const vt_model *model = a->subject.model;
    const int channels = model->config.in_chans;
    VT_REQUIRE(channels == 1 || channels == 3, VT_ERR_CONFIG,
               "model.in_chans: expected 1 or 3 to read pictures, got %d", channels);
    a->windows = !vt_model_attends_globally(model);
    a->depth = model->config.depth;
    a->folder = args->output ? args->output : "attention";
    VT_TRY(place(a));
    VT_TRY(vt_arena_reserve(&a->arena));
    VT_TRY(place(a));
    return vt_make_directories(a->folder);
}

static void close_attender(vt_attender *a)
{
    vt_arena_release(&a->arena);
    vt_sampler_free(&a->sampler);
    vt_image_free(&a->small);
    vt_image_free(&a->picture);
    vt_image_free(&a->drawn);
    vt_map_overlay_free(&a->overlay);
    vt_sheet_free(&a->sheet);
    vt_subject_free(&a->subject);
    for (int i = 0; i < a->n_names; i++) free(a->names[i]);
    free(a->names);
}

// The picture's name without folder and ending.
static char *stem_of(const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const char *dot = strrchr(base, '.');
    return strndup(base, dot && dot > base ? (size_t)(dot - base) : strlen(base));
}

static bool is_among(char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

// stem-NUMBER, NUMBER from `first` on, that is neither a picture's own name nor given to an earlier
// one. NULL when out of memory.
static char *numbered(const vt_attender *a, char *const *stems, int n, const char *stem, int first)
{
    for (int number = first;; number++) {
        char *name;
        if (asprintf(&name, "%s-%d", stem, number) < 0) return NULL;
        if (!is_among(stems, n, name) && !is_among(a->names, a->n_names, name)) return name;
        free(name);
    }
}

// The first picture of a name has it for its files, others get a number behind it.
static vt_status name_files(vt_attender *a, const vt_args *args)
{
    const int n = args->n_operands - 1;
    char **stems = calloc((size_t)n, sizeof *stems);
    a->names = calloc((size_t)n, sizeof *a->names);
    bool memory = stems && a->names;
    for (int i = 0; i < n && memory; i++) memory = (stems[i] = stem_of(args->operands[1 + i]));
    for (int i = 0; i < n && memory; i++) {
        char *name = is_among(stems, i, stems[i]) ? numbered(a, stems, n, stems[i], i + 1)
                                                  : strdup(stems[i]);
        memory = name;
        if (name) a->names[a->n_names++] = name;
    }
    for (int i = 0; stems && i < n; i++) free(stems[i]);
    free(stems);
    VT_REQUIRE(memory, VT_ERR_MEMORY, "out of memory");
    return VT_OK;
}

// Path of a file of this picture; malloc'd. VT_ERR_MEMORY.
static vt_status path_of(char **path, const vt_attender *a, const char *what)
{
    char *name = NULL;
    *path = asprintf(&name, "%s.%s", a->name, what) < 0 ? NULL : vt_path_join(a->folder, name);
    free(name);
    VT_REQUIRE(*path, VT_ERR_MEMORY, "out of memory");
    return VT_OK;
}

// Tells of a file that was written, and frees its path.
static void tell(const vt_attender *a, char *path)
{
    if (a->files) {
        vt_json_add_string(a->files, NULL, path);
    } else {
        vt_print_name(path);
        putchar('\n');
    }
    free(path);
}

// ---- pictures ----

static vt_status look(vt_attender *a, const char *path)
{
    const vt_data_config *data = &a->subject.config.data;
    VT_TRY(vt_sample_file(a->input, &a->sampler, path, &data->augment, data->max_pixels, NULL));
    vt_attn_hook hooks[2];
    if (a->windows)
        vt_window_gaze_hooks(&a->window_gaze, hooks);
    else
        hooks[0] = vt_recorder_hook(&a->gaze.recorder);
    const vt_pass pass = {.B = 1,
                          .images = a->input,
                          .logits = a->evaluator.logits,
                          .logits_dist = a->evaluator.logits_dist,
                          .hooks = hooks,
                          .n_hooks = a->windows ? 2 : 1};
    a->subject.model->ops->forward(a->subject.model, a->subject.weights, &pass);
    if (a->windows)
        vt_window_gaze_finish(&a->window_gaze);
    else
        vt_gaze_finish(&a->gaze);
    VT_TRY(vt_augment_picture(&a->small, a->input, &data->augment));
    return vt_enlarge(&a->picture, &a->small, VT_PANEL_PX);
}

static vt_status begin_sheet(vt_attender *a, int maps)
{
    VT_TRY(vt_sheet_begin(&a->sheet, 1 + maps, a->picture.width, a->picture.height));
    vt_sheet_add(&a->sheet, &a->picture);
    return VT_OK;
}

static vt_status add_patches(vt_attender *a, const vt_real *patches, int grid_h, int grid_w)
{
    VT_TRY(vt_map_overlay_draw(&a->overlay, &a->drawn, &a->picture, patches, grid_h, grid_w));
    vt_sheet_add(&a->sheet, &a->drawn);
    return VT_OK;
}

static vt_status add_map(vt_attender *a, const vt_real *map)
{
    const vt_token_layout *layout = &a->gaze.layout;
    vt_gaze_patches(a->patches, map, layout);
    return add_patches(a, a->patches, layout->grid_h, layout->grid_w);
}

static vt_status write_sheet(vt_attender *a, const char *what)
{
    char *path;
    VT_TRY(path_of(&path, a, what));
    vt_status status = vt_image_write_png(path, &a->sheet.image);
    if (status == VT_OK)
        tell(a, path);
    else
        free(path);
    return status;
}

// The mean over heads, then each.
static vt_status add_heads(vt_attender *a, int layer)
{
    const vt_gaze *g = &a->gaze;
    const size_t map = (size_t)g->T * (size_t)g->T;
    VT_TRY(begin_sheet(a, 1 + g->H));
    VT_TRY(add_map(a, vt_gaze_heads_mean(&a->gaze, layer)));
    for (int h = 0; h < g->H; h++) VT_TRY(add_map(a, g->recorder.maps[layer] + (size_t)h * map));
    return VT_OK;
}

static vt_status add_window_heads(vt_attender *a, int layer)
{
    const vt_window_layer *l = &a->window_gaze.layers[layer];
    const int n = l->grid_h * l->grid_w, maps = 1 + a->window_gaze.recorder.shapes[layer].H;
    VT_TRY(begin_sheet(a, maps));
    for (int k = 0; k < maps; k++)
        VT_TRY(add_patches(a, l->given + (size_t)k * (size_t)n, l->grid_h, l->grid_w));
    return VT_OK;
}

static vt_status draw_layer(vt_attender *a, int layer)
{
    char what[32];
    VT_TRY(a->windows ? add_window_heads(a, layer) : add_heads(a, layer));
    snprintf(what, sizeof what, "layer_%02d.png", layer);
    return write_sheet(a, what);
}

static vt_status draw_rollout(vt_attender *a)
{
    const vt_token_layout *layout = &a->window_gaze.layout;
    VT_TRY(begin_sheet(a, a->depth));
    for (int l = 0; l < a->depth; l++)
        VT_TRY(a->windows ? add_patches(a, a->window_gaze.layers[l].rollout, layout->grid_h,
                                        layout->grid_w)
                          : add_map(a, a->gaze.rollout[l]));
    return write_sheet(a, "rollout.png");
}

// ---- numbers ----

enum { NAME_BYTES = 32, MOST_PER_LAYER = 4 };

// entries, names: (2 depth) out. Returns how many.
static size_t list_maps(const vt_gaze *g, vt_st_entry *entries, char (*names)[NAME_BYTES])
{
    for (int l = 0; l < g->depth; l++, entries += 2, names += 2) {
        snprintf(names[0], NAME_BYTES, "attn.%d", l);
        snprintf(names[1], NAME_BYTES, "rollout.%d", l);
        entries[0] = (vt_st_entry){.name = names[0],
                                   .dtype = VT_F32,
                                   .ndim = 3,
                                   .shape = {g->H, g->T, g->T},
                                   .data = g->recorder.maps[l]};
        entries[1] = (vt_st_entry){.name = names[1],
                                   .dtype = VT_F32,
                                   .ndim = 2,
                                   .shape = {g->T, g->T},
                                   .data = g->rollout[l]};
    }
    return 2 * (size_t)g->depth;
}

// entries, names: (4 depth) out.
static size_t list_window_maps(const vt_window_gaze *g, vt_st_entry *entries,
                               char (*names)[NAME_BYTES])
{
    for (int l = 0; l < g->depth; l++, entries += 4, names += 4) {
        const vt_attn_shape *s = &g->recorder.shapes[l];
        const vt_window_layer *layer = &g->layers[l];
        const int64_t grid_h = layer->grid_h, grid_w = layer->grid_w;
        entries[0] = (vt_st_entry){.dtype = VT_F32,
                                   .ndim = 4,
                                   .shape = {s->windows, s->H, s->T, s->T},
                                   .data = g->recorder.maps[l]};
        entries[1] = (vt_st_entry){
            .dtype = VT_I32, .ndim = 2, .shape = {s->windows, s->T}, .data = layer->tokens};
        entries[2] = (vt_st_entry){
            .dtype = VT_F32, .ndim = 3, .shape = {1 + s->H, grid_h, grid_w}, .data = layer->given};
        entries[3] = (vt_st_entry){.dtype = VT_F32,
                                   .ndim = 2,
                                   .shape = {g->layout.grid_h, g->layout.grid_w},
                                   .data = layer->rollout};
        static const char *const what[] = {"attn", "tokens", "given", "rollout"};
        for (int i = 0; i < 4; i++) {
            snprintf(names[i], NAME_BYTES, "%s.%d", what[i], l);
            entries[i].name = names[i];
        }
    }
    return 4 * (size_t)g->depth;
}

static vt_status write_maps(vt_attender *a)
{
    const size_t most = MOST_PER_LAYER * (size_t)a->depth;
    char *path;
    VT_TRY(path_of(&path, a, "maps.safetensors"));
    char(*names)[NAME_BYTES] = malloc(most * sizeof *names);
    vt_st_entry *entries = calloc(most, sizeof *entries);
    vt_status status = vt_fail(VT_ERR_MEMORY, "out of memory");
    if (names && entries) {
        const size_t count = a->windows ? list_window_maps(&a->window_gaze, entries, names)
                                        : list_maps(&a->gaze, entries, names);
        status = vt_st_write(path, entries, count, NULL, 0);
    }
    free(names);
    free(entries);
    if (status == VT_OK)
        tell(a, path);
    else
        free(path);
    return status;
}

static vt_status attend(vt_attender *a, const char *path, vt_json *all)
{
    vt_json *one = all ? vt_json_add_object(all, NULL) : NULL;
    if (one) vt_json_add_string(one, "image", path);
    a->files = one ? vt_json_add_array(one, "files") : NULL;
    VT_TRY(look(a, path));
    for (int l = 0; l < a->depth; l++) VT_TRY(draw_layer(a, l));
    VT_TRY(draw_rollout(a));
    return write_maps(a);
}

static vt_status run(const vt_args *args)
{
    vt_attender a = {0};
    vt_json *root = args->json ? vt_json_new_object() : NULL;
    vt_json *all = root ? vt_json_add_array(root, "images") : NULL;
    vt_status status = open_attender(&a, args);
    if (status == VT_OK) status = name_files(&a, args);
    for (int i = 0; status == VT_OK && i < a.n_names; i++) {
        a.name = a.names[i];
        status = attend(&a, args->operands[1 + i], all);
    }
    if (root && a.depth) {
        vt_json_add_number(root, "layers", a.depth);
        if (!a.windows) vt_json_add_number(root, "heads", a.gaze.H); // else each stage has its own
        vt_json_add_number(root, "tokens", a.windows ? a.window_gaze.layout.tokens : a.gaze.T);
    }
    close_attender(&a);
    if (status == VT_OK && args->json) return vt_answer_json(root);
    vt_json_destroy(root);
    return status;
}

static void help(void)
{
    puts(
        "\nFor each picture NAME.png, in the folder --output (\"attention\"; of pictures of the "
        "same\n"
        "name all but the first get a number behind it, NAME-2, that no other one has):\n\n"
        "  NAME.layer_00.png ...  the picture, then over it what the class token looks at in that\n"
        "                         layer: the mean over heads, head 0, head 1, ...\n"
        "  NAME.rollout.png       the picture, then attention rollout up to layer 0, 1, ...\n"
        "  NAME.maps.safetensors  attn.LAYER (heads, tokens, tokens), rows: queries, class token\n"
        "                         first; rollout.LAYER (tokens, tokens)\n\n"
        "Each map is drawn from its smallest value (dark) to its largest (light). Models that "
        "pool\n"
        "the patches are drawn with the mean of the patches' rows. Rollout: Abnar & Zuidema 2020.\n"
        "\nModels that attend within windows (Swin) are drawn likewise, each layer's windows put\n"
        "together, its patches merged or not; rollout goes through windows and merging down to "
        "the\n"
        "first patches. Their numbers are attn.LAYER (windows, heads, T, T), tokens.LAYER "
        "(windows,\n"
        "T: which patch of the layer, -1: padding), given.LAYER (1 + heads, rows, columns: as "
        "drawn)\n"
        "and rollout.LAYER (rows, columns).");
}

const vt_command vt_cmd_attend = {
    .name = "attend",
    .operands = "WEIGHTS IMAGE...",
    .summary = "what a model looks at in pictures: attention maps and rollout",
    .takes = "config precision set output json quiet",
    .needs = "",
    .min_operands = 2,
    .max_operands = INT_MAX,
    .run = run,
    .help = help,
};
