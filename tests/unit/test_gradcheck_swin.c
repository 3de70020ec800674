// Swin's own parts against central differences of their forward pass (double builds only): patch
// merging, and a block on the windows of a map. Both by two threads' chunks, one after the other.
// The loss of an op with output y is sum(dy y).
#include "numcheck.h"

#include "../../src/model/block_rows.h"
#include "../../src/model/merge.h"

#include <math.h>

enum { B = 3, THREADS = 2 }; // the second chunk begins within an image

static const vt_pass PASS = {.B = B, .training = true};

typedef struct op op;
struct op {
    void (*place)(op *), (*forward)(op *), (*backward)(op *);
    vt_params params;
    vt_arena arena;
    size_t nx, ny; // numbers in x and y
    vt_real *x, *dx, *y, *dy, *weights, *grads;
    // merging
    vt_merge merge;
    vt_merge_scratch merge_scratch;
    // a block
    vt_block_shape shape;
    vt_windows windows;
    vt_chunks chunks;
    vt_block_param param;
    vt_block_packed packed;
    vt_block_inputs inputs;
    vt_block_saved saved;
    vt_block_grads block_grads;
    vt_block_scratch block_scratch;
    vt_real *rows;
};

static void place(op *o)
{
    o->x = VT_ARENA_TAKE(&o->arena, vt_real, o->nx);
    o->dx = VT_ARENA_TAKE(&o->arena, vt_real, o->nx);
    o->y = VT_ARENA_TAKE(&o->arena, vt_real, o->ny);
    o->dy = VT_ARENA_TAKE(&o->arena, vt_real, o->ny);
    o->weights = VT_ARENA_TAKE(&o->arena, vt_real, o->params.slab_count);
    o->grads = VT_ARENA_TAKE(&o->arena, vt_real, o->params.slab_count);
    o->place(o);
}

static double loss(void *context)
{
    op *o = context;
    o->forward(o);
    return vt_dot(o->y, o->dy, o->ny);
}

// Checks the gradients of x, which is written without a look at what was there, and of all tensors,
// which are added to.
static void check(op *o)
{
    place(o);
    VT_ASSERT_OK(vt_arena_reserve(&o->arena));
    place(o);
    vt_fill_normal(o->x, o->nx, 1, 1);
    vt_fill_normal(o->dy, o->ny, 1, 2);
    vt_fill_normal(o->weights, o->params.slab_count, 0.5, 3);
    for (size_t i = 0; i < o->nx; i++) o->dx[i] = NAN;
    for (size_t i = 0; i < o->params.slab_count; i++) o->grads[i] = 2;
    o->forward(o);
    o->backward(o);
    VT_ASSERT_GRADIENT(o->dx, o->x, o->nx, loss, o, "dx");
    for (size_t i = 0; i < o->params.slab_count; i++) o->grads[i] -= 2;
    for (int i = 0; i < o->params.count; i++) {
        const vt_param *row = &o->params.rows[i];
        VT_ASSERT_GRADIENT(o->grads + row->offset, o->weights + row->offset, row->count, loss, o,
                           row->name);
    }
    vt_params_free(&o->params);
    vt_arena_release(&o->arena);
}

// ---- merging ----

static void place_merge(op *o)
{
    vt_merge_place(&o->merge, &o->arena, VT_REAL, B, THREADS, true);
    vt_merge_scratch_place(&o->merge_scratch, &o->arena, &o->merge, true);
}

static void forward_merge(op *o)
{
    const vt_chunks chunks = vt_merge_chunks(&o->merge, B, THREADS);
    for (int i = 0; i < vt_merge_pack_tasks(&o->merge, true); i++)
        vt_merge_pack(i, &o->merge, o->weights);
    for (int i = 0; i < chunks.count; i++) {
        const vt_chunk chunk = vt_chunk_at(&chunks, i, 1, &PASS);
        vt_merge_forward(o->y, o->x, &o->merge, o->weights, &o->merge_scratch, &chunk);
    }
}

static void backward_merge(op *o)
{
    const vt_chunks chunks = vt_merge_chunks(&o->merge, B, THREADS);
    for (int i = 0; i < chunks.count; i++) {
        const vt_chunk chunk = vt_chunk_at(&chunks, i, 1, &PASS);
        vt_merge_backward(o->dx, o->dy, o->x, &o->merge, o->weights, &o->merge_scratch, &chunk);
    }
    for (int i = 0; i < THREADS; i++) vt_merge_gradient(o->grads, &o->merge, &chunks, i, THREADS);
}

static void check_merge(int h, int w)
{
    enum { C = 3 };
    op o = {.place = place_merge, .forward = forward_merge, .backward = backward_merge};
    VT_ASSERT_OK(vt_merge_init(&o.merge, h, w, C, (vt_real)1e-5));
    VT_ASSERT_OK(vt_merge_declare(&o.merge, &o.params, "merge"));
    o.nx = (size_t)(B * o.merge.from * C);
    o.ny = (size_t)(B * o.merge.to * 2 * C);
    check(&o);
    vt_merge_deinit(&o.merge);
}

static void merging(void **state)
{
    (void)state;
    check_merge(4, 6);
    check_merge(5, 4);
    check_merge(4, 3);
    check_merge(3, 5);
    check_merge(1, 1);
}

// ---- a block on windows ----

static void place_block(op *o)
{
    vt_block_packed_place(&o->packed, &o->arena, &o->param, &o->shape, true);
    vt_block_inputs_place(&o->inputs, &o->arena, &o->shape, VT_RECOMPUTE_GELU, &o->chunks);
    vt_block_saved_place(&o->saved, 1, &o->arena, &o->shape, &o->inputs, VT_RECOMPUTE_GELU,
                         &o->chunks);
    vt_block_grads_place(&o->block_grads, &o->arena, &o->param, &o->shape, &o->chunks);
    vt_block_scratch_place(&o->block_scratch, &o->arena, &o->shape, o->chunks.units, true,
                           VT_RECOMPUTE_GELU);
    o->rows = VT_ARENA_TAKE(&o->arena, vt_real, o->chunks.rows * o->shape.C);
}

static vt_block_work work_on(const op *o, const vt_chunk *chunk)
{
    return (vt_block_work){.param = &o->param,
                           .shape = &o->shape,
                           .packed = &o->packed,
                           .weights = o->weights,
                           .saved = &o->saved,
                           .scratch = &o->block_scratch,
                           .chunk = chunk};
}

static void forward_block(op *o)
{
    for (int i = 0; i < vt_block_pack_tasks(&o->packed, &o->shape, true); i++)
        vt_block_pack(i, &o->packed, &o->param, &o->shape, o->weights);
    for (int i = 0; i < o->chunks.count; i++) {
        const vt_chunk chunk = vt_chunk_at(&o->chunks, i, o->shape.T, &PASS);
        vt_block_work work = work_on(o, &chunk);
        const vt_block_saved saved = vt_block_saved_for(&work, NULL, VT_RECOMPUTE_GELU);
        vt_chunk_move(saved.x, o->x, &o->shape, &chunk, false);
        work.saved = &saved;
        vt_block_forward(o->rows, &work);
        vt_chunk_move(o->rows, o->y, &o->shape, &chunk, true);
    }
}

static void backward_block(op *o)
{
    for (int i = 0; i < o->chunks.count; i++) {
        const vt_chunk chunk = vt_chunk_at(&o->chunks, i, o->shape.T, &PASS);
        vt_block_work work = work_on(o, &chunk);
        const vt_block_saved saved = vt_block_saved_at(&work);
        vt_chunk_move(o->rows, o->dy, &o->shape, &chunk, false);
        work.saved = &saved;
        vt_block_backward(o->rows, o->rows, &o->block_grads, true, &work);
        vt_chunk_move(o->rows, o->dx, &o->shape, &chunk, true);
    }
    for (int i = 0; i < vt_block_gradient_tasks(THREADS); i++)
        vt_block_gradient(i, THREADS, o->grads, &o->saved.inputs, &o->block_grads, NULL, &o->param,
                          &o->shape, &o->chunks, o->shape.T);
}

static void check_windows(int map_h, int map_w, int h, int w, int shift_h, int shift_w)
{
    op o = {.place = place_block,
            .forward = forward_block,
            .backward = backward_block,
            .shape = {.T = h * w,
                      .C = 4,
                      .H = 2,
                      .F = 6,
                      .window_h = h,
                      .window_w = w,
                      .norm_eps = (vt_real)1e-5}};
    VT_ASSERT_OK(vt_windows_init(&o.windows, map_h, map_w, h, w, shift_h, shift_w));
    VT_ASSERT_OK(vt_block_declare(&o.params, &o.param, &o.shape, true, "block"));
    o.chunks = vt_chunks_plan(B * o.windows.count, o.shape.T, THREADS, &o.windows);
    o.nx = o.ny = (size_t)(B * map_h * map_w * o.shape.C);
    check(&o);
    vt_windows_deinit(&o.windows);
}

static void windows(void **state)
{
    (void)state;
    check_windows(4, 6, 2, 3, 0, 0);
    check_windows(4, 6, 2, 3, 1, 1);
    check_windows(5, 7, 3, 2, 1, 1); // padding below and on the right
    check_windows(5, 4, 3, 4, 1, 0); // one window across, padding below
    check_windows(1, 3, 2, 2, 0, 1);
}

int main(void)
{
    vt_gemm_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merging),
        cmocka_unit_test(windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
