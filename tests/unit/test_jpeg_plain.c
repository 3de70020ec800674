// jpeg_plain.c against libjpeg: whatever it does not refuse has the same bytes, whole and in part,
// of sound files and of thousands of damaged ones; and files of the plain kind are not refused.
#include "vitrain/io/jpeg_plain.h"

#include "vitrain/base/rng.h"

#include "pictures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <cmocka.h>

typedef struct file {
    unsigned char *data;
    unsigned long size;
} file;

// Grey or 4:4:4; optimized: codes made for the picture.
static file encoded(const vt_image *image, int quality, bool optimized, unsigned restart)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    file out = {0};
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &out.data, &out.size);
    jpeg.image_width = (JDIMENSION)image->width;
    jpeg.image_height = (JDIMENSION)image->height;
    jpeg.input_components = image->channels;
    jpeg.in_color_space = image->channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, quality, TRUE);
    jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = 1;
    jpeg.optimize_coding = optimized;
    jpeg.restart_interval = restart;
    jpeg_start_compress(&jpeg, TRUE);
    const size_t stride = (size_t)image->width * (size_t)image->channels;
    for (int y = 0; y < image->height; y++) {
        JSAMPROW row = image->pixels + (size_t)y * stride;
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return out;
}

// ---- libjpeg ----

typedef struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
} reader;

static void leave(j_common_ptr jpeg)
{
    longjmp(((reader *)jpeg->client_data)->failed, 1);
}

static void stay_silent(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void open_reader(reader *r)
{
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = leave;
    r->errors.output_message = stay_silent;
    r->jpeg.client_data = r;
    jpeg_create_decompress(&r->jpeg);
}

static void take_code(vt_jpeg_code *code, const JHUFF_TBL *table)
{
    if (table) *code = (vt_jpeg_code){table->bits, table->huffval};
}

// False: not a plain header. Tables stay libjpeg's.
static bool take_scan(vt_jpeg_scan *scan, const struct jpeg_decompress_struct *j)
{
    *scan = (vt_jpeg_scan){.width = (int)j->image_width, .height = (int)j->image_height};
    scan->components = j->num_components;
    scan->data = j->src->next_input_byte;
    scan->bytes = j->src->bytes_in_buffer;
    bool plain = (j->jpeg_color_space == JCS_YCbCr && j->num_components == 3) ||
                 (j->jpeg_color_space == JCS_GRAYSCALE && j->num_components == 1);
    plain = plain && j->comps_in_scan == j->num_components && !j->progressive_mode;
    plain = plain && !j->arith_code && !j->restart_interval && j->data_precision == 8;
    plain = plain && j->Ss == 0 && j->Se == 63 && j->Ah == 0 && j->Al == 0;
    for (int i = 0; plain && i < j->num_components; i++) {
        const jpeg_component_info *info = j->cur_comp_info[i];
        vt_jpeg_component *c = &scan->component[i];
        plain = info == &j->comp_info[i] && info->h_samp_factor == 1 && info->v_samp_factor == 1;
        plain = plain && info->quant_tbl_no < 4 && info->dc_tbl_no < 4 && info->ac_tbl_no < 4;
        if (!plain || !j->quant_tbl_ptrs[info->quant_tbl_no]) return false;
        c->quantizer = j->quant_tbl_ptrs[info->quant_tbl_no]->quantval;
        take_code(&c->dc, j->dc_huff_tbl_ptrs[info->dc_tbl_no]);
        take_code(&c->ac, j->ac_huff_tbl_ptrs[info->ac_tbl_no]);
        plain = c->dc.counts && c->ac.counts;
    }
    return plain;
}

// May leave by longjmp.
static void decode_rest(reader *r, vt_image *image)
{
    r->jpeg.out_color_space = JCS_RGB;
    jpeg_start_decompress(&r->jpeg);
    const size_t stride = 3 * (size_t)image->width;
    while (r->jpeg.output_scanline < r->jpeg.output_height) {
        JSAMPROW row = image->pixels + r->jpeg.output_scanline * stride;
        jpeg_read_scanlines(&r->jpeg, &row, 1);
    }
}

// ---- both ----

typedef struct tally {
    int headers, plain, boxes;
} tally;

static void draw_box(int box[4], const vt_jpeg_scan *scan, vt_rng *rng)
{
    box[2] = 1 + (int)vt_rng_below(rng, (uint32_t)scan->width);
    box[3] = 1 + (int)vt_rng_below(rng, (uint32_t)scan->height);
    box[0] = (int)vt_rng_below(rng, (uint32_t)(scan->width - box[2] + 1));
    box[1] = (int)vt_rng_below(rng, (uint32_t)(scan->height - box[3] + 1));
}

static void compare_part(const vt_image *part, const vt_image *whole, const int box[4])
{
    for (int y = 0; y < box[3]; y++) {
        const size_t from = (size_t)(box[1] + y) * (size_t)whole->width + (size_t)box[0];
        assert_memory_equal(part->pixels + (size_t)y * (size_t)box[2] * 3, whole->pixels + 3 * from,
                            (size_t)box[2] * 3);
    }
}

// May leave by longjmp, which is libjpeg's refusal.
static void compare(reader *r, const file *f, tally *t, vt_image *whole, vt_image *part,
                    vt_rng *rng)
{
    enum { MOST_PIXELS = 200000, BOXES = 4 };
    vt_jpeg_scan scan;
    int box[BOXES][4];
    bool done[BOXES];
    vt_image parts[BOXES] = {{0}};
    jpeg_mem_src(&r->jpeg, f->data, f->size);
    jpeg_read_header(&r->jpeg, TRUE);
    if (!take_scan(&scan, &r->jpeg) || scan.width * scan.height > MOST_PIXELS) return;
    t->headers++;
    int any = 0;
    for (int i = 0; i < BOXES; i++) {
        draw_box(box[i], &scan, rng);
        if (i == 0) box[0][0] = box[0][1] = 0, box[0][2] = scan.width, box[0][3] = scan.height;
        assert_int_equal(vt_image_reserve(part, box[i][2], box[i][3], 3), VT_OK);
        any += done[i] = vt_jpeg_decode_plain(part, &scan, box[i]);
        parts[i] = *part;
        *part = (vt_image){0};
    }
    t->plain += done[0];
    t->boxes += any;
    assert_int_equal(vt_image_reserve(whole, scan.width, scan.height, 3), VT_OK);
    // What is damaged below a box does not concern it; nothing that libjpeg gives up is whole here.
    if (setjmp(r->failed) == 0)
        decode_rest(r, whole);
    else
        assert_false(done[0]);
    const int rows = (int)r->jpeg.output_scanline;
    for (int i = 0; i < BOXES; i++) {
        if (done[i] && box[i][1] + box[i][3] <= rows) compare_part(&parts[i], whole, box[i]);
        vt_image_free(&parts[i]);
    }
}

static void check(const file *f, tally *t, vt_rng *rng)
{
    static vt_image whole, part; // kept over a jump
    reader r;
    open_reader(&r);
    if (setjmp(r.failed) == 0) compare(&r, f, t, &whole, &part, rng);
    jpeg_destroy_decompress(&r.jpeg);
    vt_image_free(&whole);
    vt_image_free(&part);
}

// ---- pictures ----

// noise: all that a picture can have; else smooth, with most coefficients zero.
static vt_image drawn(int i)
{
    static const int sizes[][2] = {{1, 1}, {8, 8}, {9, 7}, {16, 40}, {67, 3}, {3, 50}, {133, 61}};
    const int *size = sizes[i % 7], channels = i % 3 == 0 ? 1 : 3;
    vt_image image =
        i % 2 ? picture(channels, size[0], size[1]) : scene(channels, size[0], size[1]);
    const int n = size[0] * size[1] * channels;
    if (i % 5 == 4) // nothing but black and white
        for (int k = 0; k < n; k++) image.pixels[k] = image.pixels[k] > 127 ? 255 : 0;
    return image;
}

static void test_sound_files(void **state)
{
    (void)state;
    static const int qualities[] = {1, 20, 50, 75, 90, 96, 100};
    tally t = {0};
    int n = 0;
    for (int i = 0; i < 70; i++) {
        vt_image image = drawn(i);
        for (int q = 0; q < 7; q++, n++) {
            file f = encoded(&image, qualities[q], q % 2, 0);
            vt_rng rng = vt_rng_at(5, VT_STREAM_SYNTHETIC, (uint32_t)i, (uint32_t)q);
            check(&f, &t, &rng);
            free(f.data);
        }
        vt_image_free(&image);
    }
    assert_int_equal(t.headers, n);
    assert_int_equal(t.plain, n);
    assert_int_equal(t.boxes, 4 * n);
}

// Bits and bytes changed, stretches moved, the end cut off.
static void damage(file *f, vt_rng *rng)
{
    for (uint32_t changes = 1 + vt_rng_below(rng, 3); changes > 0 && f->size > 16; changes--) {
        const uint32_t at = vt_rng_below(rng, (uint32_t)f->size);
        const uint32_t other = vt_rng_below(rng, (uint32_t)f->size), n = at < other ? at : other;
        switch (vt_rng_below(rng, 6)) {
        case 0: f->data[at] ^= (unsigned char)(1 << vt_rng_below(rng, 8)); break;
        case 1: f->data[at] = (unsigned char)vt_rng_below(rng, 256); break;
        case 2: memset(f->data + n, vt_rng_below(rng, 2) ? 0xFF : 0, (f->size - n) % 9); break;
        case 3: memmove(f->data + at, f->data + other, f->size - (at > other ? at : other)); break;
        case 4: f->data[at < 600 ? at : n % 600] = (unsigned char)vt_rng_below(rng, 256); break;
        default: f->size = at + 1; break;
        }
    }
}

static void test_damaged_files(void **state)
{
    (void)state;
    tally t = {0};
    for (uint32_t i = 0; i < 6000; i++) {
        vt_rng rng = vt_rng_at(6, VT_STREAM_SYNTHETIC, 0, i);
        vt_image image = drawn((int)vt_rng_below(&rng, 70));
        file f = encoded(&image, 1 + (int)vt_rng_below(&rng, 100), i % 2, 0);
        damage(&f, &rng);
        unsigned char *exact = malloc(f.size); // so that an overrun is one of the allocation
        assert_non_null(exact);
        memcpy(exact, f.data, f.size);
        const file copy = {exact, f.size};
        check(&copy, &t, &rng);
        free(exact);
        free(f.data);
        vt_image_free(&image);
    }
    print_message("%d plain headers, %d decoded whole, %d parts\n", t.headers, t.plain, t.boxes);
    assert_true(t.plain > t.headers / 20 && t.boxes < 4 * t.headers * 19 / 20);
}

// What the scan's data must not hold.
static void test_refused(void **state)
{
    (void)state;
    vt_image image = scene(3, 40, 24);
    file f = encoded(&image, 90, false, 0), restarts = encoded(&image, 90, false, 3);
    vt_rng rng = vt_rng_at(7, VT_STREAM_SYNTHETIC, 0, 0);
    tally t = {0};
    check(&restarts, &t, &rng);
    assert_int_equal(t.headers, 0);
    f.size -= 2; // the end marker
    check(&f, &t, &rng);
    f.size += 2;
    f.data[f.size - 1] = 0xD0; // another marker
    check(&f, &t, &rng);
    assert_int_equal(t.headers, 2);
    assert_int_equal(t.plain, 0);
    f.data[f.size - 1] = 0xD9;
    check(&f, &t, &rng);
    assert_int_equal(t.plain, 1);
    free(f.data);
    free(restarts.data);
    vt_image_free(&image);
}

// ---- the parts ----

// 13 bits are what two passes of 16-bit sums can bear.
static void test_range(void **state)
{
    (void)state;
    unsigned char out[64];
    int32_t block[64] = {1016};
    assert_true(vt_jpeg_inverse_dct(out, 8, block, true));
    for (int i = 0; i < 64; i++) assert_int_equal(out[i], 255);
    block[0] = -1024;
    assert_true(vt_jpeg_inverse_dct(out, 8, block, false));
    for (int i = 0; i < 64; i++) assert_int_equal(out[i], 0);
    for (int i = 0; i < 64; i++) block[i] = i % 8 ? 0 : VT_JPEG_MOST_COEFFICIENT;
    assert_false(vt_jpeg_inverse_dct(out, 8, block, false));
}

// Each of the 2^24 colours is rounded once from the exact value.
static void test_colour(void **state)
{
    (void)state;
    for (int n = 1; n <= 40; n += 13) {
        for (int b = 0; b < 256; b += n == 40 ? 1 : 17) {
            unsigned char y[40], cb[40], cr[40], rgb[120];
            for (int r = 0; r < 256; r++) {
                for (int i = 0; i < n; i++) {
                    y[i] = (unsigned char)(37 * i + r), cb[i] = (unsigned char)(b + i);
                    cr[i] = (unsigned char)r;
                }
                vt_jpeg_rgb_from_ycc(rgb, y, cb, cr, n);
                for (int i = 0; i < n; i++) {
                    const int u = cb[i] - 128, v = r - 128;
                    const int want[3] = {y[i] + ((91881 * v + 32768) >> 16),
                                         y[i] + ((32768 - 22554 * u - 46802 * v) >> 16),
                                         y[i] + ((116130 * u + 32768) >> 16)};
                    for (int c = 0; c < 3; c++) {
                        const int level = want[c] < 0 ? 0 : want[c] > 255 ? 255 : want[c];
                        assert_int_equal(rgb[3 * i + c], level);
                    }
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_files), cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_range),
        cmocka_unit_test(test_colour),
    };
    return cmocka_run_group_tests_name("jpeg_plain", tests, NULL, NULL);
}
