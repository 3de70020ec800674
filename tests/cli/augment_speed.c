// Times the operations of RandAugment on a picture of 224 x 224: a line of name and microseconds
// each, the fastest of ROUNDS rounds. scripts/bench_augment.py puts Pillow's beside them.
//
//   augment_speed [ROUNDS]
#include "vitrain/base/threads.h"
#include "vitrain/data/augment_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 224, CALLS = 50 };

// At magnitude 9, as scripts/bench_augment.py has them.
static const double arguments[VT_IMAGE_OPS] = {
    [VT_OP_ROTATE] = 27,       [VT_OP_POSTERIZE] = 1,       [VT_OP_SOLARIZE] = 26,
    [VT_OP_SOLARIZE_ADD] = 99, [VT_OP_COLOR] = 1.81,        [VT_OP_CONTRAST] = 1.81,
    [VT_OP_BRIGHTNESS] = 1.81, [VT_OP_SHARPNESS] = 1.81,    [VT_OP_SHEAR_X] = 0.27,
    [VT_OP_SHEAR_Y] = 0.27,    [VT_OP_TRANSLATE_X] = 0.405, [VT_OP_TRANSLATE_Y] = 0.405,
    [VT_OP_GAUSSIAN_BLUR] = 1, [VT_OP_HUE] = 0.1,
};

static void fill_picture(vt_image *image)
{
    for (int i = 0; i < SIDE * SIDE * 3; i++) {
        int x = i / 3 % SIDE, y = i / 3 / SIDE;
        image->pixels[i] =
            (unsigned char)(30 + (x * 3 + y * 5 + i % 3 * 40) / 8 % 180 + i * 7919 % 11);
    }
}

static vt_status best_us(double *best, vt_image *image, vt_op_scratch *scratch, int op, int rounds)
{
    static const unsigned char fill[3] = {124, 116, 104};
    const vt_op_call call = {(vt_image_op)op, arguments[op], VT_FILTER_BICUBIC};
    *best = 1e9;
    for (int round = 0; round < rounds; round++) {
        fill_picture(image);
        double start = vt_now_s();
        for (int i = 0; i < CALLS; i++) VT_TRY(vt_image_apply(image, &call, fill, scratch));
        double us = (vt_now_s() - start) / CALLS * 1e6;
        if (us < *best) *best = us;
    }
    return VT_OK;
}

int main(int argc, char **argv)
{
    const int rounds = argc > 1 ? atoi(argv[1]) : 5;
    vt_image image = {0};
    vt_op_scratch scratch = {0};
    vt_status status = vt_image_reserve(&image, SIDE, SIDE, 3);
    for (int op = 0; op < VT_IMAGE_OPS && status == VT_OK; op++) {
        double us = 0;
        status = best_us(&us, &image, &scratch, op, rounds);
        if (status == VT_OK) printf("%s %.2f\n", vt_image_op_names[op], us);
    }
    if (status != VT_OK) fprintf(stderr, "%s\n", vt_error_message());
    vt_image_free(&image);
    vt_op_scratch_free(&scratch);
    return vt_status_exit(status);
}
