// The whole way from files to logits: DeiT-Tiny's published weights on 500 pictures of ImageNet's
// validation set, against the logits that PyTorch computes from Pillow's pixels. Skipped without
// the data.
#include "vitrain/io/safetensors.h"
#include "vitrain/ops/ops.h"
#include "vitrain/train/config.h"
#include "vitrain/train/evaluate.h"

#include "folder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PICTURES = 500, BATCH = 25, CLASSES = 1000, RIGHT = 353 };

// PyTorch's products add up in another order. The largest logits are about 10.
static const double TOLERANCE = 2e-3;

// In double the arithmetic is the same at several times the cost: the first two batches.
static const int count = sizeof(vt_real) == sizeof(float) ? PICTURES : 2 * BATCH;

static void ok(vt_status status)
{
    if (status != VT_OK) fail_msg("%s", vt_error_message());
}

typedef struct deit {
    vt_config config;
    vt_source *source;
    vt_loader *loader;
    vt_model *model;
    vt_real *weights;
    vt_evaluator evaluator;
    vt_arena arena;
} deit;

static void open_data(deit *d, const char *tar)
{
    char command[8192], path[512], val[600], map[600];
    vt_classes classes;
    snprintf(path, sizeof path, "%s", in_folder(""));
    snprintf(command, sizeof command, "tar -xf '%s' -C '%s'", tar, path);
    assert_int_equal(system(command), 0);
    snprintf(val, sizeof val, "%s/imagewoof320-ilsvrcval/val", path);
    snprintf(map, sizeof map, "%s/imagewoof320-ilsvrcval/imagenet_wnids.txt", path);
    const char *const sets[] = {"model.name=deit_tiny_patch16_224", "model.num_classes=1000"};
    ok(vt_config_load(&d->config, NULL, sets, 2));
    ok(vt_classes_read(&classes, map));
    ok(vt_source_open(&d->source, val, "folder", &classes));
    vt_classes_free(&classes);
    const vt_loader_config loader = {.augment = d->config.data.augment,
                                     .batch_size = BATCH,
                                     .workers = 1,
                                     .max_pixels = d->config.data.max_pixels};
    ok(vt_loader_create(&d->loader, d->source, &loader));
}

static void open_model(deit *d, const char *path)
{
    vt_st_file *file;
    ok(vt_model_create(&d->model, &d->config.model));
    d->weights = vt_alloc(d->model->params.slab_count, sizeof *d->weights);
    assert_non_null(d->weights);
    ok(vt_st_open(&file, path));
    ok(vt_params_load(&d->model->params, d->weights, file, ""));
    vt_st_close(file);
    const vt_elem type = VT_REAL;
    ok(vt_evaluator_place(&d->evaluator, &d->arena, d->model, BATCH, &type));
    ok(vt_arena_reserve(&d->arena));
    ok(vt_evaluator_place(&d->evaluator, &d->arena, d->model, BATCH, &type));
}

static void close_all(deit *d)
{
    vt_arena_release(&d->arena);
    free(d->weights);
    vt_model_destroy(d->model);
    vt_loader_destroy(d->loader);
    vt_source_close(d->source);
    vt_config_free(&d->config);
}

// Returns how many pictures have their label on top.
static int compare(deit *d, const vt_real *expected)
{
    int right = 0, done = 0;
    double worst = 0;
    vt_loader_start(d->loader, 0, 0);
    while (done < count) {
        const vt_batch *batch;
        ok(vt_loader_next(d->loader, &batch));
        assert_non_null(batch);
        vt_evaluator_logits(&d->evaluator, d->weights, batch->images, batch->count);
        for (int i = 0; i < batch->count; i++, done++) {
            const vt_real *logits = d->evaluator.logits + (size_t)i * CLASSES;
            const vt_real *theirs = expected + (size_t)done * CLASSES;
            for (int k = 0; k < CLASSES; k++)
                worst = fmax(worst, fabs((double)(logits[k] - theirs[k])));
            int32_t best;
            vt_top_k(&best, 1, logits, CLASSES);
            right += best == batch->labels[i];
        }
    }
    print_message("largest difference of a logit: %.2g; %d of %d right\n", worst, right, done);
    assert_true(worst < TOLERANCE);
    return right;
}

static void test_logits(void **state)
{
    (void)state;
    char weights[4096], logits[4096], pictures[4096];
    const struct {
        char *path;
        const char *name;
    } files[] = {{weights, "deit_tiny_patch16_224.safetensors"},
                 {logits, "imagewoof320-ilsvrcval.logits.safetensors"},
                 {pictures, "imagewoof320-ilsvrcval.tar"}};
    for (int i = 0; i < 3; i++) {
        const char *path = shared_data(files[i].name);
        if (!path) {
            print_message("skipped: no %s in $VT_SHARED_DATA or ../shared/data\n", files[i].name);
            skip();
            return; // skip() does not come back
        }
        snprintf(files[i].path, sizeof weights, "%s", path);
    }
    deit d = {0};
    vt_st_file *file;
    const int64_t shape[] = {PICTURES, CLASSES};
    vt_real *expected = calloc((size_t)PICTURES * CLASSES, sizeof *expected);
    assert_non_null(expected);
    ok(vt_st_open(&file, logits));
    ok(vt_st_get_real(file, "logits", 2, shape, expected));
    vt_st_close(file);
    open_data(&d, pictures);
    open_model(&d, weights);
    const int right = compare(&d, expected);
    if (count == PICTURES) assert_int_equal(right, RIGHT);
    close_all(&d);
    free(expected);
}

int main(void)
{
    vt_gemm_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),
    };
    return cmocka_run_group_tests_name("deit", tests, folder_make, folder_remove);
}
