// Every op's backward pass against central differences of its forward pass (double builds only),
// and wrong gradients that the same check must catch. The loss of an op with output y is sum(dy y).
#include "dense.h"
#include "numcheck.h"

#include "vitrain/base/rng.h"
#include "vitrain/ops/ops.h"

#include <math.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

#define CHECK(dx, x, n, loss, op) VT_ASSERT_GRADIENT((dx), (x), (n), (loss), (op), #dx)

// x -= by, to see what an accumulating op added.
static void subtract(vt_real *x, vt_real by, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] -= by;
}

static void fill(vt_real *x, vt_real value, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] = value;
}

// ---- linear ----

enum { LM = 5, LI = 7, LO = 6 };

typedef struct linear_case {
    vt_real x[LM * LI], w[LO * LI], b[LO], y[LM * LO], dy[LM * LO];
    bool biased;
} linear_case;

static double linear_loss(void *context)
{
    linear_case *op = context;
    vt_linear_forward(op->y, op->x, op->w, op->biased ? op->b : NULL, LM, LI, LO);
    return vt_dot(op->y, op->dy, LM * LO);
}

static void linear_fill(linear_case *op)
{
    vt_fill_normal(op->x, COUNT(op->x), 1, 1);
    vt_fill_normal(op->w, COUNT(op->w), 1, 2);
    vt_fill_normal(op->b, COUNT(op->b), 1, 3);
    vt_fill_normal(op->dy, COUNT(op->dy), 1, 4);
}

static void linear_gradients(void **state)
{
    (void)state;
    linear_case op = {.biased = true};
    linear_fill(&op);
    vt_real dx[LM * LI], dw[LO * LI], db[LO];
    fill(dx, NAN, COUNT(dx)); // written without a look at what was there
    vt_linear_backward_input(dx, op.dy, op.w, LM, LI, LO);
    CHECK(dx, op.x, COUNT(dx), linear_loss, &op);

    fill(dw, 2, COUNT(dw)), fill(db, 2, COUNT(db));
    vt_linear_backward_weight(dw, db, op.dy, op.x, LI, 0, 2, LM, LI, LO); // rows in two shares
    vt_linear_backward_weight(dw, db, op.dy, op.x, LI, 2, LO - 2, LM, LI, LO);
    subtract(dw, 2, COUNT(dw)), subtract(db, 2, COUNT(db));
    CHECK(dw, op.w, COUNT(dw), linear_loss, &op);
    CHECK(db, op.b, COUNT(db), linear_loss, &op);
}

static void linear_gradients_without_bias(void **state)
{
    (void)state;
    linear_case op = {.biased = false};
    linear_fill(&op);
    vt_real dw[LO * LI] = {0};
    vt_linear_backward_weight(dw, NULL, op.dy, op.x, LI, 0, LO, LM, LI, LO);
    CHECK(dw, op.w, COUNT(dw), linear_loss, &op);
}

// ---- layer normalisation ----

enum { NM = 4, NC = 9 };

typedef struct norm_case {
    vt_real x[NM * NC], w[NC], b[NC], y[NM * NC], dy[NM * NC], mean[NM], rstd[NM];
} norm_case;

static double norm_loss(void *context)
{
    norm_case *op = context;
    vt_layernorm_forward(op->y, VT_REAL, op->mean, op->rstd, op->x, op->w, op->b, (vt_real)1e-6, NM,
                         NC);
    return vt_dot(op->y, op->dy, NM * NC);
}

static void norm_fill(norm_case *op)
{
    vt_fill_normal(op->x, COUNT(op->x), 1, 1);
    vt_fill_normal(op->w, COUNT(op->w), 1, 2);
    vt_fill_normal(op->b, COUNT(op->b), 1, 3);
    vt_fill_normal(op->dy, COUNT(op->dy), 1, 4);
}

static void layernorm_gradients(void **state)
{
    (void)state;
    norm_case op;
    norm_fill(&op);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        vt_real dx[NM * NC], dw[NC], db[NC], before = accumulate ? 3 : NAN;
        norm_loss(&op); // mean and rstd
        fill(dx, before, COUNT(dx)), fill(dw, 2, COUNT(dw)), fill(db, 2, COUNT(db));
        vt_layernorm_backward(dx, dw, db, op.dy, op.x, op.w, op.mean, op.rstd, accumulate, NM, NC);
        if (accumulate) subtract(dx, before, COUNT(dx));
        subtract(dw, 2, COUNT(dw)), subtract(db, 2, COUNT(db));
        CHECK(dx, op.x, COUNT(dx), norm_loss, &op);
        CHECK(dw, op.w, COUNT(dw), norm_loss, &op);
        CHECK(db, op.b, COUNT(db), norm_loss, &op);
    }
}

static void layernorm_gradient_in_place(void **state)
{
    (void)state;
    norm_case op;
    norm_fill(&op);
    norm_loss(&op); // mean and rstd
    vt_real dx[NM * NC], dw[NC] = {0}, db[NC] = {0};
    memcpy(dx, op.dy, sizeof dx);
    vt_layernorm_backward(dx, dw, db, dx, op.x, op.w, op.mean, op.rstd, false, NM, NC);
    CHECK(dx, op.x, COUNT(dx), norm_loss, &op);
    CHECK(dw, op.w, COUNT(dw), norm_loss, &op);
    CHECK(db, op.b, COUNT(db), norm_loss, &op);
}

// ---- GELU, dropout: element by element ----

enum { GN = 37 };

typedef struct elementwise_case {
    vt_real x[GN], y[GN], dy[GN];
    vt_dropout drop;
} elementwise_case;

static double gelu_loss(void *context)
{
    elementwise_case *op = context;
    vt_gelu_forward(op->y, op->x, VT_REAL, GN);
    return vt_dot(op->y, op->dy, GN);
}

static double dropout_loss(void *context)
{
    elementwise_case *op = context;
    vt_dropout_apply(op->y, op->x, VT_REAL, &op->drop, 6, GN);
    return vt_dot(op->y, op->dy, GN);
}

static void elementwise_fill(elementwise_case *op)
{
    op->drop = (vt_dropout){.p = 0.4, .seed = 5, .stream = VT_STREAM_DROPOUT + 3, .step = 7};
    for (int i = 0; i < GN; i++) op->x[i] = (vt_real)(i - 18) / 3; // -6 .. 6
    vt_fill_normal(op->dy, GN, 1, 4);
}

static void gelu_gradient(void **state)
{
    (void)state;
    elementwise_case op;
    elementwise_fill(&op);
    vt_real dx[GN], in_place[GN], again[GN];
    vt_gelu_backward(dx, again, op.dy, op.x, VT_REAL, GN);
    CHECK(dx, op.x, GN, gelu_loss, &op);
    memcpy(in_place, op.dy, sizeof in_place);
    vt_gelu_backward(in_place, again, in_place, op.x, VT_REAL, GN);
    assert_memory_equal(in_place, dx, sizeof dx);
    gelu_loss(&op);
    for (int i = 0; i < GN; i++) // the compiler may fuse one of them otherwise
        VT_ASSERT_BELOW(fabs((double)(again[i] - op.y[i])), 4 * vt_epsilon() * 6, "gelu again");
}

static void dropout_gradient(void **state)
{
    (void)state;
    elementwise_case op;
    elementwise_fill(&op);
    vt_real dx[GN];
    vt_dropout_apply(dx, op.dy, VT_REAL, &op.drop, 6, GN);
    CHECK(dx, op.x, GN, dropout_loss, &op);
}

// ---- attention ----

enum { AT = 9, AH = 3, AD = 7, AX = AT * AH * AD, ATT = AH * AT * AT }; // the largest sizes

typedef struct attention_case {
    vt_attention at;
    vt_dropout drop;
    vt_real qkv[3 * AX], y[AX], dy[AX], maps[ATT], bias[ATT], mask[AT * AT];
} attention_case;

static double attention_loss(void *context)
{
    attention_case *op = context;
    vt_dense_attention_forward(op->y, op->maps, op->qkv, op->at);
    return vt_dot(op->y, op->dy, (size_t)op->at.R * op->at.H * op->at.D);
}

static void check_attention(int T, int R, int H, int D, bool biased, bool masked, bool dropped)
{
    static attention_case op;
    op.drop = (vt_dropout){.p = 0.3, .seed = 5, .stream = VT_STREAM_DROPOUT, .sample = 2};
    op.at = (vt_attention){.T = T,
                           .R = R,
                           .H = H,
                           .D = D,
                           .bias = biased ? op.bias : NULL,
                           .mask = masked ? op.mask : NULL,
                           .drop = dropped ? &op.drop : NULL};
    const size_t nx = (size_t)T * H * D, nt = (size_t)H * R * T;
    vt_fill_normal(op.qkv, 3 * nx, 1, 1);
    vt_fill_normal(op.dy, nx, 1, 2);
    vt_fill_normal(op.bias, nt, 1, 3);
    vt_fill_normal(op.mask, (size_t)T * T, 1, 4);
    for (int i = 1; i < T; i++) op.mask[i * T + i / 2] = -INFINITY; // one key for each query
    attention_loss(&op);

    vt_real dqkv[3 * AX], dbias[ATT];
    fill(dqkv, NAN, 3 * nx), fill(dbias, 2, nt);
    vt_dense_attention_backward(dqkv, biased ? dbias : NULL, op.dy, op.qkv, op.maps, op.at);
    CHECK(dqkv, op.qkv, 3 * nx, attention_loss, &op);
    if (!biased) return;
    subtract(dbias, 2, nt);
    CHECK(dbias, op.bias, nt, attention_loss, &op);
}

static void attention_gradients(void **state)
{
    (void)state;
    check_attention(6, 6, 2, 4, false, false, false);
    check_attention(7, 7, 3, 5, true, false, false);
    check_attention(9, 9, 1, 7, false, true, false);
    check_attention(9, 9, 2, 3, false, false, true);
    check_attention(8, 8, 3, 1, true, true, true);
    check_attention(9, 2, 3, 5, false, false, false);
    check_attention(7, 1, 2, 4, true, true, true);
}

static void attention_gradients_of_one_token(void **state)
{
    (void)state;
    check_attention(1, 1, 2, 3, false, false, false);
    check_attention(1, 1, 3, 7, true, true, true);
}

// ---- patch embedding ----

static const vt_patch_grid GRID = {.channels = 2, .height = 4, .width = 6, .patch = 2};

enum { PN = 6, PI = 8, PO = 3, PIXELS = 48 };

typedef struct patch_case {
    vt_real image[PIXELS], w[PO * PI], dy[PN * PO];
} patch_case;

// The convolution itself, pixel by pixel.
static double patch_loss(void *context)
{
    patch_case *op = context;
    const int P = GRID.patch, across = GRID.width / P;
    double sum = 0;
    for (int o = 0; o < PO; o++)
        for (int c = 0; c < GRID.channels; c++)
            for (int y = 0; y < GRID.height; y++)
                for (int x = 0; x < GRID.width; x++) {
                    double weight = op->w[((o * GRID.channels + c) * P + y % P) * P + x % P];
                    double pixel = op->image[(c * GRID.height + y) * GRID.width + x];
                    sum += weight * pixel * op->dy[(y / P * across + x / P) * PO + o];
                }
    return sum;
}

static void patch_weight_gradient(void **state)
{
    (void)state;
    patch_case op;
    vt_fill_normal(op.image, COUNT(op.image), 1, 1);
    vt_fill_normal(op.w, COUNT(op.w), 1, 2);
    vt_fill_normal(op.dy, COUNT(op.dy), 1, 3);
    vt_real rows[PN * PI], dw[PO * PI] = {0};
    vt_patch_rows(rows, op.image, &GRID);
    vt_linear_backward_weight(dw, NULL, op.dy, rows, PI, 0, PO, PN, PI, PO);
    CHECK(dw, op.w, COUNT(dw), patch_loss, &op);
}

// ---- losses ----

enum { EB = 3, EK = 5 };

typedef struct loss_case {
    void (*loss)(vt_real *loss, vt_real *dlogits, const vt_real *logits, const vt_real *target,
                 vt_real scale, int B, int K);
    vt_real logits[EB * EK], target[EB * EK], losses[EB];
} loss_case;

static const vt_real LOSS_SCALE = (vt_real)0.25;

static double scaled_loss(void *context)
{
    loss_case *op = context;
    double sum = 0;
    op->loss(op->losses, NULL, op->logits, op->target, 1, EB, EK);
    for (int i = 0; i < EB; i++) sum += (double)op->losses[i];
    return sum * (double)LOSS_SCALE;
}

static void check_loss(loss_case op)
{
    vt_fill_normal(op.logits, COUNT(op.logits), 3, 1);
    vt_fill_normal(op.target, COUNT(op.target), 1, 2); // need not sum to 1
    vt_real dlogits[EB * EK], in_place[EB * EK];
    op.loss(op.losses, dlogits, op.logits, op.target, LOSS_SCALE, EB, EK);
    CHECK(dlogits, op.logits, COUNT(dlogits), scaled_loss, &op);
    memcpy(in_place, op.logits, sizeof in_place);
    op.loss(op.losses, in_place, in_place, op.target, LOSS_SCALE, EB, EK);
    assert_memory_equal(in_place, dlogits, sizeof dlogits);
}

static void softened(vt_real *loss, vt_real *dlogits, const vt_real *logits, const vt_real *teacher,
                     vt_real scale, int rows, int classes)
{
    vt_kl_divergence(loss, dlogits, logits, teacher, 3, scale, rows, classes);
}

static void loss_gradients(void **state)
{
    (void)state;
    check_loss((loss_case){.loss = vt_cross_entropy});
    check_loss((loss_case){.loss = vt_binary_cross_entropy});
    check_loss((loss_case){.loss = softened});
}

// ---- the check itself ----

// vt_layernorm_backward's dx with what comes through the variance left out.
static void layernorm_gradient_without_variance(vt_real *dx, const norm_case *op)
{
    for (int m = 0; m < NM; m++) {
        vt_real mean = 0;
        for (int c = 0; c < NC; c++) mean += op->dy[m * NC + c] * op->w[c] / NC;
        for (int c = 0; c < NC; c++)
            dx[m * NC + c] = op->rstd[m] * (op->dy[m * NC + c] * op->w[c] - mean);
    }
}

static void wrong_gradients_are_caught(void **state)
{
    (void)state;
    norm_case norm;
    norm_fill(&norm);
    norm_loss(&norm); // mean and rstd
    vt_real dx[NM * NC], dw[NC] = {0}, db[NC] = {0};
    layernorm_gradient_without_variance(dx, &norm);
    assert_true(vt_gradient_error(dx, norm.x, COUNT(dx), norm_loss, &norm) > 1e-2);

    // A sign, in a copy of GELU's: Phi(x) - x phi(x).
    elementwise_case gelu;
    elementwise_fill(&gelu);
    vt_real wrong[GN];
    for (int i = 0; i < GN; i++) {
        double x = gelu.x[i], density = 0.3989422804014327 * exp(-x * x / 2);
        wrong[i] = (vt_real)(gelu.dy[i] * (0.5 * erfc(-x * sqrt(0.5)) - x * density));
    }
    assert_true(vt_gradient_error(wrong, gelu.x, GN, gelu_loss, &gelu) > 1e-2);

    // A right gradient with a millionth of an error in one element, or with a NaN.
    norm_loss(&norm); // mean and rstd of x as it is
    vt_layernorm_backward(dx, dw, db, norm.dy, norm.x, norm.w, norm.mean, norm.rstd, false, NM, NC);
    CHECK(dx, norm.x, COUNT(dx), norm_loss, &norm);
    dx[5] += (vt_real)1e-6;
    assert_true(vt_gradient_error(dx, norm.x, COUNT(dx), norm_loss, &norm) > 1e-7);
    dx[5] = NAN;
    assert_true(vt_gradient_error(dx, norm.x, COUNT(dx), norm_loss, &norm) > 1);
}

int main(void)
{
    vt_gemm_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_gradients),
        cmocka_unit_test(linear_gradients_without_bias),
        cmocka_unit_test(layernorm_gradients),
        cmocka_unit_test(layernorm_gradient_in_place),
        cmocka_unit_test(gelu_gradient),
        cmocka_unit_test(dropout_gradient),
        cmocka_unit_test(attention_gradients),
        cmocka_unit_test(attention_gradients_of_one_token),
        cmocka_unit_test(patch_weight_gradient),
        cmocka_unit_test(loss_gradients),
        cmocka_unit_test(wrong_gradients_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
