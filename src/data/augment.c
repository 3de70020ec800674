// Training and evaluation transforms. Sampling and rounding are those of torchvision.transforms
// (RandomResizedCrop, RandomCrop(padding), Resize(int), CenterCrop, ToTensor, Normalize on PIL
// images) and timm 0.4.12 (RandomResizedCropAndInterpolation, transforms_imagenet_train and _eval);
// Python's round() is half to even, which is rint(). Numbers are drawn in a fixed order: crop, its
// filter, flip, RandAugment or colour jitter, erasing.
#include "vitrain/data/augment.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

void vt_augment_scratch_free(vt_augment_scratch *scratch)
{
    vt_image_free(&scratch->region);
    vt_image_free(&scratch->resized);
    vt_image_free(&scratch->framed);
    vt_resample_free(&scratch->resample);
    vt_op_scratch_free(&scratch->ops);
}

void vt_random_resized_crop(int box[4], int width, int height, const double scale[2],
                            const double ratio[2], vt_rng *rng)
{
    double area = (double)width * height;
    for (int attempt = 0; attempt < 10; attempt++) {
        double target = area * vt_rng_range(rng, scale[0], scale[1]);
        double aspect = exp(vt_rng_range(rng, log(ratio[0]), log(ratio[1])));
        double w = rint(sqrt(target * aspect)), h = rint(sqrt(target / aspect));
        if (w < 1 || h < 1 || w > width || h > height) continue;
        box[2] = (int)w, box[3] = (int)h;
        box[1] = (int)vt_rng_below(rng, (uint32_t)(height - box[3] + 1));
        box[0] = (int)vt_rng_below(rng, (uint32_t)(width - box[2] + 1));
        return;
    }
    double aspect = (double)width / height, w = width, h = height;
    if (aspect < ratio[0])
        h = rint(w / ratio[0]);
    else if (aspect > ratio[1])
        w = rint(h * ratio[1]);
    box[2] = (int)fmin(fmax(w, 1), width), box[3] = (int)fmin(fmax(h, 1), height);
    box[0] = (width - box[2]) / 2, box[1] = (height - box[3]) / 2;
}

// *view: the picture's part box (left, top, width, height), grey if the input is; the picture
// itself where that is the same.
static vt_status take_region(const vt_image **view, const vt_image *image, const int box[4],
                             int channels, vt_image *region)
{
    *view = image;
    bool to_grey = channels == 1 && image->channels == 3;
    if (!to_grey && box[2] == image->width && box[3] == image->height) return VT_OK;
    VT_TRY(vt_image_reserve(region, box[2], box[3], to_grey ? 1 : image->channels));
    size_t from_pixel = (size_t)image->channels,
           to_stride = (size_t)box[2] * (size_t)region->channels;
    for (int y = 0; y < box[3]; y++) {
        size_t first = (size_t)(box[1] + y) * (size_t)image->width + (size_t)box[0];
        const unsigned char *from = image->pixels + first * from_pixel;
        unsigned char *to = region->pixels + (size_t)y * to_stride;
        if (!to_grey)
            memcpy(to, from, to_stride);
        else
            for (int x = 0; x < box[2]; x++) to[x] = vt_luma(from + (size_t)x * from_pixel);
    }
    *view = region;
    return VT_OK;
}

// out = the picture from (left, top) on, black beyond its borders, mirrored or not, normalised.
static void write_input(vt_real *out, const vt_image *image, const vt_augment_config *config,
                        int left, int top, bool flip)
{
    int width = config->width, step = image->channels;
    const bool within = left >= 0 && left <= image->width - width;
    for (int c = 0; c < config->channels; c++) {
        vt_real table[256], mean = (vt_real)config->mean[c], std = (vt_real)config->std[c];
        for (int v = 0; v < 256; v++) table[v] = ((vt_real)v / 255 - mean) / std;
        for (int y = 0; y < config->height; y++, out += width) {
            int from_y = top + y;
            bool inside = from_y >= 0 && from_y < image->height;
            const unsigned char *row = image->pixels + (step == 1 ? 0 : c);
            if (inside) row += (size_t)from_y * (size_t)image->width * (size_t)step;
            if (inside && within) { // the usual case, without a look at each pixel
                const unsigned char *p = row + (ptrdiff_t)(left + (flip ? width - 1 : 0)) * step;
                for (int x = 0; x < width; x++, p += flip ? -step : step) out[x] = table[*p];
                continue;
            }
            for (int x = 0; x < width; x++) {
                int from_x = left + (flip ? width - 1 - x : x);
                bool black = !inside || from_x < 0 || from_x >= image->width;
                out[x] = table[black ? 0 : row[(size_t)from_x * (size_t)step]];
            }
        }
    }
}

// n pixels, from last to first if `mirrored`; grey ones replicated where `channels` is 3.
static void copy_pixels(unsigned char *restrict to, const unsigned char *restrict from, int n,
                        int step, int channels, bool mirrored)
{
    if (!mirrored && step == channels) {
        memcpy(to, from, (size_t)n * (size_t)step);
        return;
    }
    ptrdiff_t stride = mirrored ? -step : step;
    if (mirrored) from += (ptrdiff_t)(n - 1) * step;
    if (channels == 1) {
        for (int x = 0; x < n; x++, from += stride) to[x] = *from;
    } else if (step == 1) {
        for (int x = 0; x < n; x++, to += 3, from += stride) to[0] = to[1] = to[2] = *from;
    } else {
        for (int x = 0; x < n; x++, to += 3, from += stride)
            to[0] = from[0], to[1] = from[1], to[2] = from[2];
    }
}

// What write_input shows, as a picture of its own.
static vt_status frame(vt_image *framed, const vt_image *image, const vt_augment_config *config,
                       int left, int top, bool flip)
{
    const int width = config->width, height = config->height, channels = config->channels;
    const int begin = left > 0 ? left : 0; // of the picture, the columns that are seen
    const int end = image->width - left < width ? image->width : left + width;
    const int blank = flip ? left + width - end : begin - left;
    VT_TRY(vt_image_reserve(framed, width, height, channels));
    const size_t row_bytes = (size_t)width * (size_t)channels, step = (size_t)image->channels;
    unsigned char *to = framed->pixels;
    if (end - begin < width || top < 0 || top + height > image->height)
        memset(to, 0, row_bytes * (size_t)height);
    for (int y = 0; y < height; y++, to += row_bytes) {
        if (top + y < 0 || top + y >= image->height || end <= begin) continue;
        size_t first = (size_t)(top + y) * (size_t)image->width + (size_t)begin;
        copy_pixels(to + blank * channels, image->pixels + first * step, end - begin, (int)step,
                    channels, flip);
    }
    return VT_OK;
}

static void train_filters(vt_filter filters[2], const vt_augment_config *config)
{
    switch (config->interpolation) {
    case VT_TRAIN_FILTER_SAME: filters[0] = filters[1] = config->filter; break;
    case VT_TRAIN_FILTER_BILINEAR: filters[0] = filters[1] = VT_FILTER_BILINEAR; break;
    case VT_TRAIN_FILTER_BICUBIC: filters[0] = filters[1] = VT_FILTER_BICUBIC; break;
    default: filters[0] = VT_FILTER_BILINEAR, filters[1] = VT_FILTER_BICUBIC; break;
    }
}

// What moved pixels leave behind: the mean colour, as timm rounds it.
static void fill_colour(unsigned char fill[3], const vt_augment_config *config)
{
    for (int c = 0; c < config->channels; c++)
        fill[c] = (unsigned char)fmin(fmax(rint(255 * config->mean[c]), 0), 255);
}

static vt_status apply_calls(vt_image *image, const vt_op_call *calls, int n,
                             const vt_augment_config *config, vt_op_scratch *scratch)
{
    unsigned char fill[3];
    fill_colour(fill, config);
    for (int i = 0; i < n; i++) VT_TRY(vt_image_apply(image, &calls[i], fill, scratch));
    return VT_OK;
}

vt_status vt_augment_train(vt_real *out, const vt_image *image, const vt_augment_config *config,
                           vt_rng *rng, vt_augment_scratch *scratch)
{
    int box[4] = {0, 0, image->width, image->height};
    vt_filter filters[2];
    train_filters(filters, config);
    if (config->crop == VT_CROP_RRC)
        vt_random_resized_crop(box, image->width, image->height, config->scale, config->ratio, rng);
    const vt_image *view;
    VT_TRY(take_region(&view, image, box, config->channels, &scratch->region));
    if (view->width != config->width || view->height != config->height) {
        const double whole[4] = {0, 0, view->width, view->height};
        VT_TRY(vt_resample(&scratch->resized, view, whole, config->width, config->height, NULL,
                           vt_filter_draw(filters, rng), &scratch->resample));
        view = &scratch->resized;
    }
    int left = 0, top = 0;
    if (config->crop == VT_CROP_PAD && config->pad > 0) {
        top = (int)vt_rng_below(rng, 2 * (uint32_t)config->pad + 1) - config->pad;
        left = (int)vt_rng_below(rng, 2 * (uint32_t)config->pad + 1) - config->pad;
    }
    bool flip = vt_rng_uniform(rng) < config->flip;

    vt_op_call calls[VT_MOST_OP_CALLS];
    int n = config->aa.policy[0] ? vt_rand_augment_draw(calls, &config->aa, filters, rng)
                                 : vt_color_jitter_draw(calls, config->color_jitter, rng);
    if (n > 0) {
        VT_TRY(frame(&scratch->framed, view, config, left, top, flip));
        VT_TRY(apply_calls(&scratch->framed, calls, n, config, &scratch->ops));
        write_input(out, &scratch->framed, config, 0, 0, false);
    } else {
        write_input(out, view, config, left, top, flip);
    }
    if (config->erase.probability > 0)
        vt_erase(out, config->channels, config->height, config->width, &config->erase, rng);
    return VT_OK;
}

// The size that a picture is resized to before the centre crop: one side becomes that of the frame,
// the other one int(frame * other / side), as torchvision's Resize(int) computes it.
static vt_status eval_size(int size[2], const vt_image *image, const vt_augment_config *config)
{
    double frame_w = fmax(1, floor(config->width / config->crop_pct));
    double frame_h = fmax(1, floor(config->height / config->crop_pct));
    double w = image->width, h = image->height, new_w = frame_w, new_h = frame_h;
    if (frame_h * w >= frame_w * h)
        new_w = floor(frame_h * w / h);
    else
        new_h = floor(frame_w * h / w);
    VT_REQUIRE(new_w <= INT_MAX && new_h <= INT_MAX, VT_ERR_FORMAT,
               "a picture of %d x %d px is too thin to be resized with its aspect kept",
               image->width, image->height);
    size[0] = (int)new_w, size[1] = (int)new_h;
    return VT_OK;
}

// Where a centre crop of `crop` px begins in `size` px: negative by the padding if it is larger.
static int centre_offset(int size, int crop)
{
    return size >= crop ? (int)rint((size - crop) / 2.0) : -((crop - size) / 2);
}

vt_status vt_augment_eval(vt_real *out, const vt_image *image, const vt_augment_config *config,
                          vt_augment_scratch *scratch)
{
    const int everything[4] = {0, 0, image->width, image->height};
    const double whole[4] = {0, 0, image->width, image->height};
    const vt_image *view;
    VT_TRY(take_region(&view, image, everything, config->channels, &scratch->region));
    int size[2] = {0};
    VT_TRY(eval_size(size, image, config));
    int left = centre_offset(size[0], config->width), top = centre_offset(size[1], config->height);
    int window[4] = {left > 0 ? left : 0, top > 0 ? top : 0, 0, 0};
    window[2] = size[0] < config->width ? size[0] : config->width;
    window[3] = size[1] < config->height ? size[1] : config->height;
    VT_TRY(vt_resample(&scratch->resized, view, whole, size[0], size[1], window, config->filter,
                       &scratch->resample));
    write_input(out, &scratch->resized, config, left < 0 ? left : 0, top < 0 ? top : 0, false);
    return VT_OK;
}

vt_status vt_augment_picture(vt_image *image, const vt_real *input, const vt_augment_config *config)
{
    VT_TRY(vt_image_reserve(image, config->width, config->height, 3));
    size_t area = (size_t)config->width * (size_t)config->height;
    for (int c = 0; c < 3; c++) {
        int from = config->channels == 3 ? c : 0;
        for (size_t i = 0; i < area; i++) {
            double v = (double)input[(size_t)from * area + i] * config->std[from];
            v = rint((v + config->mean[from]) * 255);
            image->pixels[3 * i + (size_t)c] = (unsigned char)fmin(fmax(v, 0), 255);
        }
    }
    return VT_OK;
}
