// Makes what the tests of the command line feed it, and prints what it wrote.
//
//   material images DIR CLASSES COUNT SIDE    DIR/class<k>/<i>.png, COUNT each, SIDE x SIDE, RGB;
//                                             a class shows in its pictures' colour
//   material cifar FILE CLASSES COUNT         CIFAR-10's or -100's binary format: COUNT pictures of
//                                             the labels 0 .. 3 in turn, which show in the colour
//   material probe FILE B CHANNELS SIDE PATCH CLASSES
//                                             inputs of `vitrain probe`, partners reversed
//   material print FILE TENSOR                its elements, one a line
#include "vitrain/base/rng.h"
#include "vitrain/io/file.h"
#include "vitrain/io/image.h"
#include "vitrain/io/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static vt_rng stream(int a, int b)
{
    return vt_rng_at(1, VT_STREAM_SYNTHETIC, (uint32_t)a, (uint32_t)b);
}

static vt_status write_image(const char *folder, int label, int index, int side)
{
    char path[4096];
    vt_rng rng = stream(label, index);
    vt_image image = {0};
    VT_TRY(vt_image_reserve(&image, side, side, 3));
    for (int i = 0; i < side * side * 3; i++) {
        const int colour = (label + i) % 3 == 0 ? 160 : 60;
        image.pixels[i] = (unsigned char)(colour + (int)vt_rng_below(&rng, 80));
    }
    snprintf(path, sizeof path, "%s/%03d.png", folder, index);
    vt_status status = vt_image_write_png(path, &image);
    vt_image_free(&image);
    return status;
}

static vt_status make_images(const char *root, int classes, int count, int side)
{
    for (int label = 0; label < classes; label++) {
        char folder[2048];
        snprintf(folder, sizeof folder, "%s/class%d", root, label);
        VT_TRY(vt_make_directories(folder));
        for (int i = 0; i < count; i++) VT_TRY(write_image(folder, label, i, side));
    }
    return VT_OK;
}

static vt_status make_cifar(const char *path, int classes, int count)
{
    enum { AREA = 32 * 32, LABELS = 4 };
    const size_t head = classes == 100 ? 2 : 1, record = head + 3 * AREA;
    unsigned char *bytes = calloc((size_t)count, record);
    if (!bytes) abort();
    for (int i = 0; i < count; i++) {
        const int label = i % LABELS;
        unsigned char *at = bytes + (size_t)i * record + head;
        vt_rng rng = stream(2000 + label, i);
        at[-1] = (unsigned char)label;
        for (int p = 0; p < 3 * AREA; p++)
            at[p] = (unsigned char)((p / AREA == label ? 160 : 60) + (int)vt_rng_below(&rng, 80));
    }
    vt_status status = vt_file_write(path, bytes, (size_t)count * record);
    free(bytes);
    return status;
}

// (count) numbers, uniform on [low, high).
static vt_real *uniform(int count, int seed, double low, double high)
{
    vt_rng rng = stream(1000, seed);
    vt_real *out = malloc((size_t)count * sizeof *out);
    if (!out) abort();
    for (int i = 0; i < count; i++) out[i] = (vt_real)vt_rng_range(&rng, low, high);
    return out;
}

static vt_status make_probe(const char *path, int B, int channels, int side, int patch, int K)
{
    const int N = side / patch * (side / patch);
    int64_t *labels = malloc((size_t)B * sizeof *labels),
            *partner = malloc((size_t)B * sizeof *partner);
    if (!labels || !partner) abort();
    for (int i = 0; i < B; i++) {
        labels[i] = i % K;
        partner[i] = B - 1 - i;
    }
    vt_real *images = uniform(B * channels * side * side, 0, -2, 2);
    vt_real *mask = uniform(B * N, 1, 0, 1), *lam = uniform(B, 2, 0, 1);
    const vt_st_entry entries[] = {
        {"images", VT_F32, 4, {B, channels, side, side}, images},
        {"labels", VT_I64, 1, {B}, labels},
        {"partner", VT_I64, 1, {B}, partner},
        {"mask", VT_F32, 2, {B, N}, mask},
        {"lam", VT_F32, 1, {B}, lam},
    };
    vt_status status = vt_st_write(path, entries, sizeof entries / sizeof *entries, NULL, 0);
    free(labels);
    free(partner);
    free(images);
    free(mask);
    free(lam);
    return status;
}

static vt_status print_tensor(const char *path, const char *name)
{
    vt_st_file *file;
    VT_TRY(vt_st_open(&file, path));
    const vt_st_tensor *tensor = vt_st_find(file, name);
    vt_status status = tensor && tensor->dtype == VT_F32
                           ? VT_OK
                           : vt_fail(VT_ERR_FORMAT, "%s: no F32 tensor %s", path, name);
    for (size_t i = 0; status == VT_OK && i < tensor->count; i++) {
        float value;
        memcpy(&value, tensor->data + 4 * i, 4);
        printf("%.9g\n", (double)value);
    }
    vt_st_close(file);
    return status;
}

int main(int argc, char **argv)
{
    int n[5] = {0};
    for (int i = 3; i < argc && i < 8; i++) n[i - 3] = atoi(argv[i]);
    vt_status status;
    if (argc == 6 && strcmp(argv[1], "images") == 0)
        status = make_images(argv[2], n[0], n[1], n[2]);
    else if (argc == 5 && strcmp(argv[1], "cifar") == 0)
        status = make_cifar(argv[2], n[0], n[1]);
    else if (argc == 8 && strcmp(argv[1], "probe") == 0)
        status = make_probe(argv[2], n[0], n[1], n[2], n[3], n[4]);
    else if (argc == 4 && strcmp(argv[1], "print") == 0)
        status = print_tensor(argv[2], argv[3]);
    else
        status = vt_fail(VT_ERR_USAGE, "see the head of material.c");
    if (status != VT_OK) fprintf(stderr, "material: %s\n", vt_error_message());
    return vt_status_exit(status);
}
