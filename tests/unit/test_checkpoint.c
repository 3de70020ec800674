// Checkpoints: what is saved comes back to the bit, and what does not fit is named.
#include "folder.h"

#include "vitrain/base/arena.h"
#include "vitrain/base/rng.h"
#include "vitrain/base/text.h"
#include "vitrain/io/file.h"
#include "vitrain/train/checkpoint.h"
#include "vitrain/train/data_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const vt_model_config tiny = {.name = "vit",
                                     .family = "vit",
                                     .image_height = 8,
                                     .image_width = 8,
                                     .patch_size = 4,
                                     .in_chans = 3,
                                     .embed_dim = 8,
                                     .depth = 2,
                                     .num_heads = 2,
                                     .mlp_ratio = 2,
                                     .num_classes = 5,
                                     .qkv_bias = true};

static vt_model *make_model(int embed_dim)
{
    vt_model_config config = tiny;
    config.embed_dim = embed_dim;
    vt_model *model = NULL;
    if (vt_model_create(&model, &config) != VT_OK) fail_msg("%s", vt_error_message());
    return model;
}

// Float values whatever vt_real is, so that F32 files hold them exactly.
static vt_real *slab_new(const vt_params *params, uint32_t stream)
{
    vt_real *slab = vt_alloc(params->slab_count, sizeof *slab);
    assert_non_null(slab);
    vt_rng rng = vt_rng_at(3, stream, 0, 0);
    for (int i = 0; i < params->count && stream; i++)
        for (size_t k = 0; k < params->rows[i].count; k++)
            slab[params->rows[i].offset + k] = (vt_real)(float)vt_rng_normal(&rng);
    return slab;
}

// stream 0: zeros
static vt_state state_new(const vt_params *params, uint32_t stream)
{
    vt_state state = {.weights = slab_new(params, stream)};
    for (uint32_t i = 0; i < 2; i++) state.slabs[i] = slab_new(params, stream ? stream + 1 + i : 0);
    return state;
}

static void state_free(vt_state *state)
{
    free(state->weights);
    free(state->slabs[0]);
    free(state->slabs[1]);
    free(state->ema);
}

static const vt_progress somewhere = {.epoch = 3,
                                      .batch = 17,
                                      .step = 1234567890123,
                                      .loss_sum = 0.1 + 0.2,
                                      .bad = 2,
                                      .train_s = 1.5,
                                      .best_acc1 = 55.123456789012345,
                                      .best_epoch = 1};
#define INPUT "{\"crop_pct\": 0.9}"
static const vt_weights_notes notes = {INPUT, "{\"classes\": [\"cat\", \"dog\"]}"};
#define CONFIG "{\n  \"a\": \"\\\"quoted\\\"\"\n}"

typedef struct fixture {
    vt_model *model;
    const vt_optim_ops *optim;
    vt_state saved;
    const char *path;
} fixture;

static void save(fixture *f)
{
    f->model = make_model(8);
    f->optim = vt_optim_find("adamw");
    f->saved = state_new(&f->model->params, 1);
    f->saved.progress = somewhere;
    f->path = in_folder("last.safetensors");
    if (vt_checkpoint_save(f->path, f->model, f->optim, &f->saved, CONFIG, &notes) != VT_OK)
        fail_msg("%s", vt_error_message());
}

static void release(fixture *f)
{
    state_free(&f->saved);
    vt_model_destroy(f->model);
}

static void test_round_trip(void **unused)
{
    (void)unused;
    fixture f;
    save(&f);
    const vt_params *params = &f.model->params;
    vt_state state = state_new(params, 0);
    char *text, *data;
    if (vt_checkpoint_load(f.path, f.model, f.optim, &state) != VT_OK)
        fail_msg("%s", vt_error_message());
    size_t bytes = params->slab_count * sizeof(vt_real);
    assert_memory_equal(state.weights, f.saved.weights, bytes);
    assert_memory_equal(state.slabs[0], f.saved.slabs[0], bytes);
    assert_memory_equal(state.slabs[1], f.saved.slabs[1], bytes);
    const vt_progress *p = &state.progress;
    assert_true(p->epoch == somewhere.epoch && p->batch == somewhere.batch);
    assert_true(p->step == somewhere.step && p->loss_sum == somewhere.loss_sum);
    assert_true(p->bad == somewhere.bad && p->best_acc1 == somewhere.best_acc1);
    assert_true(p->train_s == somewhere.train_s);
    assert_true(p->best_epoch == somewhere.best_epoch);
    assert_int_equal(vt_checkpoint_config(f.path, &text, &data), VT_OK);
    assert_string_equal(text, CONFIG);
    assert_string_equal(data, notes.data);
    free(text);
    free(data);
    state_free(&state);
    release(&f);
}

// A checkpoint serves as a weights file, and a weights file says what model it is for.
static void test_weights(void **unused)
{
    (void)unused;
    fixture f;
    save(&f);
    const char *path = in_folder("model.safetensors");
    assert_int_equal(vt_weights_save(path, f.model, f.saved.weights, &notes), VT_OK);
    const char *files[] = {path, f.path};
    for (int i = 0; i < 2; i++) {
        vt_st_file *file = NULL;
        vt_model_config told;
        vt_real *weights = slab_new(&f.model->params, 0);
        assert_int_equal(vt_st_open(&file, files[i]), VT_OK);
        assert_int_equal(vt_params_load(&f.model->params, weights, file, ""), VT_OK);
        assert_memory_equal(weights, f.saved.weights, f.model->params.slab_count * sizeof *weights);
        assert_non_null(vt_st_metadata(file, VT_MODEL_METADATA));
        assert_string_equal(vt_st_metadata(file, VT_INPUT_METADATA), INPUT);
        vt_classes classes;
        assert_int_equal(vt_data_record_classes(&classes, file), VT_OK);
        assert_true(classes.count == 2 && !strcmp(classes.names[1], "dog"));
        vt_classes_free(&classes);
        assert_int_equal(
            vt_model_config_parse(&told, vt_st_metadata(file, VT_MODEL_METADATA), path), VT_OK);
        assert_true(told.embed_dim == 8 && told.depth == 2 && told.num_classes == 5);
        vt_st_close(file);
        free(weights);
    }
    release(&f);
}

// What differs between the data of a run and the data that it would go on with is named.
static void test_data_record(void **unused)
{
    (void)unused;
    char *names[] = {"cat", "do\"g"};
    int32_t labels[] = {0, 0, 1, 1};
    vt_source source = {.count = 4, .labels = labels, .classes = {names, 2}};
    char *then = vt_data_record(&source, &source);
    assert_int_equal(vt_data_record_check(then, then, "there"), VT_OK);
    const struct {
        int32_t last;
        int64_t count;
        char *name;
        int classes;
        const char *words;
    } cases[] = {
        {0, 4, "do\"g", 2, "data.train: 4 images, as the run in there had, but with other labels"},
        {1, 3, "do\"g", 2, "data.train: 3 images; the run in there had 4"},
        {1, 4, "eel", 2,
         "data.train: label 1 is class \"eel\"; in the run in there it was \"do\"g\""},
        {1, 4, "do\"g", 1, "data.train: 1 classes; the run in there had 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        labels[3] = cases[i].last;
        names[1] = cases[i].name;
        source.count = cases[i].count;
        source.classes.count = cases[i].classes;
        char *now = vt_data_record(&source, NULL);
        assert_int_equal(vt_data_record_check(then, now, "there"), VT_ERR_CONFIG);
        assert_string_equal(vt_error_message(), cases[i].words);
        free(now);
    }
    const char *const wrong[] = {"", "{", "[]", "{}", "{\"classes\": 1}", "{\"classes\": [1]}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(vt_data_record_check(wrong[i], then, "there"), VT_ERR_FORMAT);
    free(then);
    // A file has the name in UTF-8.
    names[1] = "caf\xE9";
    source.classes.count = 2;
    then = vt_data_record(&source, NULL);
    char *written = vt_text_utf8(then);
    assert_string_not_equal(written, then);
    assert_int_equal(vt_data_record_check(written, then, "there"), VT_OK);
    free(written);
    free(then);
}

// Loading is refused with this status and words, and nothing has changed.
static void assert_refused(const char *path, const vt_model *model, const vt_optim_ops *optim,
                           vt_status expected, const char *words)
{
    vt_state state = state_new(&model->params, 0), untouched = state_new(&model->params, 0);
    state.progress.epoch = 42;
    vt_status status = vt_checkpoint_load(path, model, optim, &state);
    if (status != expected || !strstr(vt_error_message(), words))
        fail_msg("%s: %s", vt_status_name(status), vt_error_message());
    assert_non_null(strstr(vt_error_message(), path));
    assert_int_equal(state.progress.epoch, 42);
    assert_memory_equal(state.weights, untouched.weights,
                        model->params.slab_count * sizeof(vt_real));
    state_free(&state);
    state_free(&untouched);
}

static void test_other_model(void **unused)
{
    (void)unused;
    fixture f;
    save(&f);
    vt_model *wider = make_model(12);
    assert_refused(f.path, wider, f.optim, VT_ERR_SHAPE, wider->params.rows[0].name);
    assert_int_equal(
        vt_checkpoint_save(f.path, f.model, vt_optim_find("sgd"), &f.saved, CONFIG, &notes), VT_OK);
    assert_refused(f.path, f.model, f.optim, VT_ERR_SHAPE, "optim.exp_avg.cls_token");
    vt_model_destroy(wider);
    release(&f);
}

static void test_damage(void **unused)
{
    (void)unused;
    fixture f;
    save(&f);
    unsigned char *content;
    size_t bytes;
    assert_int_equal(vt_file_read(&content, &bytes, f.path, (size_t)1 << 24), VT_OK);
    const char *path = in_folder("damaged.safetensors");

    put_file(path, content, bytes - 1);
    assert_refused(path, f.model, f.optim, VT_ERR_FORMAT, "");
    put_file(path, content, bytes / 2);
    assert_refused(path, f.model, f.optim, VT_ERR_FORMAT, "");
    put_file(path, content, 0);
    assert_refused(path, f.model, f.optim, VT_ERR_FORMAT, "");

    char *dtype = memmem(content, bytes, "\"F32\"", 5); // the first tensor's; I32 is as large
    assert_non_null(dtype);
    memcpy(dtype, "\"I32\"", 5);
    put_file(path, content, bytes);
    assert_refused(path, f.model, f.optim, VT_ERR_SHAPE, "I32");
    memcpy(dtype, "\"F32\"", 5);

    char *version = memmem(content, bytes, "\"vitrain\":\"1\"", 13);
    if (!version) version = memmem(content, bytes, "\"vitrain\": \"1\"", 14);
    assert_non_null(version);
    *strchr(version, '1') = '9';
    put_file(path, content, bytes);
    assert_refused(path, f.model, f.optim, VT_ERR_FORMAT, "version 1, got 9");
    free(content);
    release(&f);
}

static void test_not_a_checkpoint(void **unused)
{
    (void)unused;
    fixture f;
    save(&f);
    char *text = NULL;
    const char *path = in_folder("weights.safetensors");
    assert_int_equal(vt_weights_save(path, f.model, f.saved.weights, &notes), VT_OK);
    assert_refused(path, f.model, f.optim, VT_ERR_FORMAT, "not a checkpoint");
    assert_int_equal(vt_checkpoint_config(path, &text, NULL), VT_ERR_FORMAT);
    assert_null(text);
    assert_refused(in_folder("absent"), f.model, f.optim, VT_ERR_IO, "");

    f.saved.progress.epoch = -1;
    assert_int_equal(vt_checkpoint_save(path, f.model, f.optim, &f.saved, CONFIG, &notes), VT_OK);
    assert_refused(path, f.model, f.optim, VT_ERR_FORMAT, "\"epoch\"");
    release(&f);
}

// Averaged weights come back where they are asked for, and are in nobody's way where they are not.
static void test_averaged_weights(void **unused)
{
    (void)unused;
    fixture f;
    save(&f);
    const vt_params *params = &f.model->params;
    const size_t bytes = params->slab_count * sizeof(vt_real);
    vt_state with = state_new(params, 0), without = state_new(params, 0);
    with.ema = slab_new(params, 0);
    if (vt_checkpoint_load(f.path, f.model, f.optim, &with) == VT_OK) fail_msg("no ema. in it");
    assert_non_null(strstr(vt_error_message(), "ema.cls_token"));
    f.saved.ema = slab_new(params, 9);
    assert_int_equal(vt_checkpoint_save(f.path, f.model, f.optim, &f.saved, CONFIG, &notes), VT_OK);
    assert_int_equal(vt_checkpoint_load(f.path, f.model, f.optim, &with), VT_OK);
    assert_memory_equal(with.ema, f.saved.ema, bytes);
    assert_memory_equal(with.weights, f.saved.weights, bytes);
    assert_memory_equal(with.slabs[1], f.saved.slabs[1], bytes);
    assert_int_equal(vt_checkpoint_load(f.path, f.model, f.optim, &without), VT_OK);
    assert_memory_equal(without.weights, f.saved.weights, bytes);
    state_free(&with);
    state_free(&without);
    release(&f);
}

// Counts of label shares come back too; a state of a run that did not count begins with none.
static void test_shares(void **unused)
{
    (void)unused;
    fixture f;
    save(&f);
    vt_fluctuation_layer layers[2] = {{0}}, settled[2] = {{0}},
                         counted[2] = {{.n = 3, .sum = -5}, {.n = 4}};
    vt_fluctuation shares = {.depth = 2, .threads = 1, .layers = layers, .settled = settled};
    counted[1].counts[VT_FLUCTUATION_BINS - 1] = 4;
    f.saved.shares = &shares;
    assert_int_equal(vt_checkpoint_load(f.path, f.model, f.optim, &f.saved), VT_OK);
    assert_int_equal(settled[0].n, 0);
    memcpy(settled, counted, sizeof settled);
    assert_int_equal(vt_checkpoint_save(f.path, f.model, f.optim, &f.saved, CONFIG, &notes), VT_OK);
    memset(settled, 0, sizeof settled);
    assert_int_equal(vt_checkpoint_load(f.path, f.model, f.optim, &f.saved), VT_OK);
    assert_memory_equal(settled, counted, sizeof settled);
    shares.depth = 1;
    assert_int_equal(vt_checkpoint_load(f.path, f.model, f.optim, &f.saved), VT_ERR_FORMAT);
    release(&f);
}

static void test_unwritable(void **unused)
{
    (void)unused;
    fixture f;
    save(&f);
    assert_int_equal(
        vt_checkpoint_save(in_folder("no/such/folder"), f.model, f.optim, &f.saved, CONFIG, &notes),
        VT_ERR_IO);
    release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_weights),
        cmocka_unit_test(test_data_record), cmocka_unit_test(test_other_model),
        cmocka_unit_test(test_damage),      cmocka_unit_test(test_not_a_checkpoint),
        cmocka_unit_test(test_unwritable),  cmocka_unit_test(test_averaged_weights),
        cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, folder_make, folder_remove);
}
