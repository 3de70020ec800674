// Training and evaluation transforms. Sampling and rounding are those of torchvision.transforms
// (RandomResizedCrop, RandomCrop(padding), Resize(int), CenterCrop, ToTensor, Normalize on PIL
// images) and timm 0.4.12 (RandomResizedCropAndInterpolation, transforms_imagenet_train and _eval);
// Python's round() is half to even, which is rint(). Numbers are drawn in a fixed order: crop, its
// filter, flip, three-augment, RandAugment or colour jitter, erasing.
#include "vitrain/data/augment.h"

#include "vitrain/base/threads.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

const char *const vt_stage_names[VT_STAGES] = {"read", "decode", "resize", "policy", "normalise"};

void vt_stage_begin(vt_augment_scratch *scratch)
{
    scratch->since_s = vt_now_s();
}

void vt_stage_end(vt_augment_scratch *scratch, vt_stage stage)
{
    double now = vt_now_s();
    scratch->stage_s[stage] += now - scratch->since_s;
    scratch->since_s = now;
}

void vt_augment_scratch_free(vt_augment_scratch *scratch)
{
    vt_image_free(&scratch->decoded);
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

// The same of pixels wherever they come from. box: of the picture at 1/shrink of its size; more
// than 1 needs a reader.
static vt_status take_pixels(const vt_image **view, const vt_pixels *from, const int box[4],
                             int shrink, int channels, vt_augment_scratch *scratch)
{
    if (from->image) return take_region(view, from->image, box, channels, &scratch->region);
    VT_TRY(vt_image_decode_shrunk(from->reader, &scratch->decoded, box, shrink));
    vt_stage_end(scratch, VT_STAGE_DECODE);
    const int whole[4] = {0, 0, box[2], box[3]};
    return take_region(view, &scratch->decoded, whole, channels, &scratch->region);
}

static void size_of(int size[2], const vt_pixels *from)
{
    size[0] = from->image ? from->image->width : from->reader->width;
    size[1] = from->image ? from->image->height : from->reader->height;
}

// Names the picture in the recorded message.
static vt_status named(vt_status status, const vt_pixels *from)
{
    return status != VT_OK && from->name ? vt_fail_within(status, from->name) : status;
}

// What each of a channel's 256 values becomes.
static void fill_tables(vt_real table[3][256], const vt_augment_config *config)
{
    for (int c = 0; c < config->channels; c++) {
        vt_real mean = (vt_real)config->mean[c], std = (vt_real)config->std[c];
        for (int v = 0; v < 256; v++) table[c][v] = ((vt_real)v / 255 - mean) / std;
    }
}

// out[x] = table[in[x step]] for x < count; backwards with step < 0.
static void map_row(vt_real *restrict out, const unsigned char *restrict in, ptrdiff_t step,
                    int count, const vt_real *restrict table)
{
    int x = 0;
    for (; x + 4 <= count; x += 4, in += 4 * step) {
        out[x] = table[in[0]];
        out[x + 1] = table[in[step]];
        out[x + 2] = table[in[2 * step]];
        out[x + 3] = table[in[3 * step]];
    }
    for (; x < count; x++, in += step) out[x] = table[*in];
}

// out = the picture from (left, top) on, black beyond its borders, mirrored or not, normalised.
static void write_input(vt_real *out, const vt_image *image, const vt_augment_config *config,
                        int left, int top, bool flip)
{
    vt_real table[3][256];
    fill_tables(table, config);
    int width = config->width, step = image->channels;
    int first = left < 0 ? -left : 0; // columns [first, last) lie in the picture
    int last = image->width - left < width ? image->width - left : width;
    for (int c = 0; c < config->channels; c++) {
        for (int y = top; y < top + config->height; y++, out += width) {
            bool inside = y >= 0 && y < image->height && first < last;
            if (!inside || first > 0 || last < width)
                for (int x = 0; x < width; x++) out[x] = table[c][0];
            if (!inside) continue;
            const unsigned char *row = image->pixels + (step == 1 ? 0 : c);
            row += ((size_t)y * (size_t)image->width + (size_t)(left + first)) * (size_t)step;
            if (flip)
                map_row(out + width - last, row + (ptrdiff_t)(last - first - 1) * step, -step,
                        last - first, table[c]);
            else
                map_row(out + first, row, step, last - first, table[c]);
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

// Where the pixel i of a picture without end is that is n pixels mirrored at the outermost ones.
static int reflected(int i, int n)
{
    if (n == 1) return 0;
    const int period = 2 * (n - 1), at = (i < 0 ? -i : i) % period;
    return at < n ? at : period - at;
}

// The same with a mirror image beyond the borders instead of black.
static vt_status frame_reflected(vt_image *framed, const vt_image *image,
                                 const vt_augment_config *config, int left, int top, bool flip)
{
    const int width = config->width, channels = config->channels, step = image->channels;
    VT_TRY(vt_image_reserve(framed, width, config->height, channels));
    unsigned char *to = framed->pixels;
    for (int y = 0; y < config->height; y++) {
        const size_t row = (size_t)reflected(top + y, image->height) * (size_t)image->width;
        for (int x = 0; x < width; x++, to += channels) {
            const int column = reflected(left + (flip ? width - 1 - x : x), image->width);
            copy_pixels(to, image->pixels + (row + (size_t)column) * (size_t)step, 1, step,
                        channels, false);
        }
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

// By how much a training crop is shrunk while it is decoded: never below its size afterwards.
static int choose_shrink(const vt_pixels *from, const int box[4], const int size[2],
                         vt_decode decode)
{
    if (decode == VT_DECODE_EXACT || !from->reader) return 1;
    int across = box[2] / size[0], down = box[3] / size[1];
    return vt_image_shrink(from->reader, across < down ? across : down);
}

// *view: the box's pixels at this size, by one of the filters. No pixel beside the box has a part
// in it.
static vt_status take_crop(const vt_image **view, const vt_pixels *from, const int box[4],
                           const int size[2], const vt_augment_config *config,
                           const vt_filter filters[2], vt_rng *rng, vt_augment_scratch *scratch)
{
    int shrink = choose_shrink(from, box, size, config->decode), part[4];
    double corners[4]; // of the box, in the part
    for (int i = 0; i < 2; i++) {
        int end = box[i] + box[i + 2];
        part[i] = box[i] / shrink;
        part[i + 2] = (end - 1) / shrink + 1 - part[i];
        corners[i] = (double)box[i] / shrink - part[i];
        corners[i + 2] = (double)end / shrink - part[i];
    }
    VT_TRY(take_pixels(view, from, part, shrink, config->channels, scratch));
    if (shrink == 1 && box[2] == size[0] && box[3] == size[1]) return VT_OK;
    VT_TRY(named(vt_resample(&scratch->resized, *view, corners, size[0], size[1], NULL,
                             vt_filter_draw(filters, rng), &scratch->resample),
                 from));
    *view = &scratch->resized;
    return VT_OK;
}

// A number from 0 to most, less pad.
static int draw_offset(int most, int pad, vt_rng *rng)
{
    return (int)vt_rng_below(rng, (uint32_t)most + 1) - pad;
}

// *view: the resized picture; left, top: where in it the input begins.
static vt_status crop_for_training(const vt_image **view, int *left, int *top,
                                   const vt_pixels *from, const vt_augment_config *config,
                                   const vt_filter filters[2], vt_rng *rng,
                                   vt_augment_scratch *scratch)
{
    const bool simple = config->crop == VT_CROP_SIMPLE;
    const int pad = simple || config->crop == VT_CROP_PAD ? config->pad : 0;
    int whole[2], size[2] = {config->width, config->height};
    size_of(whole, from);
    int box[4] = {0, 0, whole[0], whole[1]};
    if (config->crop == VT_CROP_RRC)
        vt_random_resized_crop(box, whole[0], whole[1], config->scale, config->ratio, rng);
    const int frame[2] = {config->width, config->height};
    if (simple)
        VT_TRY(named(vt_cover_size(size, whole[0], whole[1], frame, from->max_pixels), from));
    VT_TRY(take_crop(view, from, box, size, config, filters, rng, scratch));
    const int room[2] = {size[0] - config->width + 2 * pad, size[1] - config->height + 2 * pad};
    *top = room[1] > 0 ? draw_offset(room[1], pad, rng) : -pad;
    *left = room[0] > 0 ? draw_offset(room[0], pad, rng) : -pad;
    return VT_OK;
}

// What is to be done to the cropped picture; returns how many. calls: (1 + VT_MOST_OP_CALLS) out.
static int draw_calls(vt_op_call *calls, const vt_augment_config *config,
                      const vt_filter filters[2], vt_rng *rng)
{
    int n = 0;
    if (config->three_augment) calls[n++] = vt_three_augment_draw(rng);
    return n + (config->aa.policy[0] ? vt_rand_augment_draw(calls + n, &config->aa, filters, rng)
                                     : vt_color_jitter_draw(calls + n, config->color_jitter, rng));
}

vt_status vt_augment_train_from(vt_real *out, const vt_pixels *from,
                                const vt_augment_config *config, vt_rng *rng,
                                vt_augment_scratch *scratch)
{
    vt_filter filters[2];
    train_filters(filters, config);
    const vt_image *view;
    int left, top;
    VT_TRY(crop_for_training(&view, &left, &top, from, config, filters, rng, scratch));
    vt_stage_end(scratch, VT_STAGE_RESIZE);
    bool flip = vt_rng_uniform(rng) < config->flip;

    vt_op_call calls[1 + VT_MOST_OP_CALLS];
    const int n = draw_calls(calls, config, filters, rng);
    const bool reflect = config->crop == VT_CROP_SIMPLE;
    if (n > 0 || reflect) {
        vt_status (*const take)(vt_image *, const vt_image *, const vt_augment_config *, int, int,
                                bool) = reflect ? frame_reflected : frame;
        VT_TRY(named(take(&scratch->framed, view, config, left, top, flip), from));
        VT_TRY(named(apply_calls(&scratch->framed, calls, n, config, &scratch->ops), from));
        view = &scratch->framed;
        left = top = 0;
        flip = false;
    }
    vt_stage_end(scratch, VT_STAGE_POLICY);
    write_input(out, view, config, left, top, flip);
    if (config->erase.probability > 0)
        vt_erase(out, config->channels, config->height, config->width, &config->erase, rng);
    vt_stage_end(scratch, VT_STAGE_NORMALISE);
    return VT_OK;
}

vt_status vt_augment_train(vt_real *out, const vt_image *image, const vt_augment_config *config,
                           vt_rng *rng, vt_augment_scratch *scratch)
{
    const vt_pixels from = {.image = image, .max_pixels = INT64_MAX};
    return vt_augment_train_from(out, &from, config, rng, scratch);
}

// Where a centre crop of `crop` px begins in `size` px: negative by the padding if it is larger.
static int centre_offset(int size, int crop)
{
    return size >= crop ? (int)rint((size - crop) / 2.0) : -((crop - size) / 2);
}

// Of what is resized, that crop_pct of it is the input's side.
static int frame_side(int side, const vt_augment_config *config)
{
    return (int)fmin(fmax(1, floor(side / config->crop_pct)), INT_MAX);
}

vt_status vt_augment_eval_from(vt_real *out, const vt_pixels *from, const vt_augment_config *config,
                               vt_augment_scratch *scratch)
{
    int whole[2], size[2] = {0}, part[4];
    size_of(whole, from);
    // As large as it likes: only what is in the frame is computed.
    const int frame[2] = {frame_side(config->width, config), frame_side(config->height, config)};
    VT_TRY(named(vt_cover_size(size, whole[0], whole[1], frame, INT64_MAX), from));
    int left = centre_offset(size[0], config->width), top = centre_offset(size[1], config->height);
    const vt_resize resize = {
        .from_width = whole[0],
        .from_height = whole[1],
        .box = {0, 0, whole[0], whole[1]},
        .width = size[0],
        .height = size[1],
        .window = {left > 0 ? left : 0, top > 0 ? top : 0,
                   size[0] < config->width ? size[0] : config->width,
                   size[1] < config->height ? size[1] : config->height},
        .filter = config->filter,
    };
    vt_resize_reach(part, &resize);
    const vt_image *view;
    VT_TRY(take_pixels(&view, from, part, 1, config->channels, scratch));
    VT_TRY(named(vt_resize_part(&scratch->resized, view, part, &resize, &scratch->resample), from));
    vt_stage_end(scratch, VT_STAGE_RESIZE);
    write_input(out, &scratch->resized, config, left < 0 ? left : 0, top < 0 ? top : 0, false);
    vt_stage_end(scratch, VT_STAGE_NORMALISE);
    return VT_OK;
}

vt_status vt_augment_eval(vt_real *out, const vt_image *image, const vt_augment_config *config,
                          vt_augment_scratch *scratch)
{
    const vt_pixels from = {.image = image, .max_pixels = INT64_MAX};
    return vt_augment_eval_from(out, &from, config, scratch);
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
