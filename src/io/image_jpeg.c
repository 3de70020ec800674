// JPEG by libjpeg(-turbo), but for the plain kind of file (jpeg_plain.h), of which libjpeg reads
// the header only, unless the rest turns out not to be plain. Pixels are those of Pillow, which
// runs the same library with its defaults. The library reports errors by longjmp; each use has one
// guarded function that catches them, called with everything that must outlive the jump in a struct
// of its caller.
//
// A part of a picture costs less than the whole: rows below it are not decoded at all, and of what
// lies above and beside it only the Huffman codes are read. The bits stay the same because
// - the part is decoded with a margin, which the smooth upsampling of chroma may look at: it reads
//   one chroma sample to each side, that is at most two pixels;
// - other pictures are decoded whole: several scans (smoothing between blocks may be on, and all
//   scans have to be read anyway), and samplings other than the usual ones;
// - so are those without an end marker: only the last row tells whether more is missing.
#include "image_codec.h"
#include "vitrain/io/jpeg_plain.h"

#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

enum {
    MOST_PIXELS_PER_BYTE = 8 * DCTSIZE2, // a Huffman code of one bit for each block, at least
    MOST_SCANS = 500,                    // libjpeg needs as many passes over the whole picture
    MARGIN = 2,
};

typedef struct jpeg_reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    bool ended;   // the data ran out, an end marker was made up
    bool starved; // entropy-coded data ended early, the rest was made up
} jpeg_reader;

// ---- what libjpeg calls ----

static void on_jpeg_error(j_common_ptr jpeg)
{
    longjmp(((jpeg_reader *)jpeg->client_data)->failed, 1);
}

static void on_jpeg_message(j_common_ptr jpeg, int level)
{
    if (level < 0 && jpeg->err->msg_code == JWRN_HIT_MARKER) { // below 0: a warning
        ((jpeg_reader *)jpeg->client_data)->starved = true;
    }
}

static void no_jpeg_output(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void no_jpeg_action(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

static boolean end_jpeg_data(j_decompress_ptr jpeg)
{
    static const JOCTET end_marker[] = {0xFF, JPEG_EOI};
    jpeg->src->next_input_byte = end_marker;
    jpeg->src->bytes_in_buffer = sizeof end_marker;
    ((jpeg_reader *)jpeg->client_data)->ended = true;
    return TRUE;
}

static void skip_jpeg_data(j_decompress_ptr jpeg, long bytes)
{
    struct jpeg_source_mgr *source = jpeg->src;
    size_t skipped = bytes < 0 ? 0 : (size_t)bytes;
    if (skipped > source->bytes_in_buffer) skipped = source->bytes_in_buffer;
    source->next_input_byte += skipped;
    source->bytes_in_buffer -= skipped;
}

// A few kilobytes can ask for thousands of passes over a large picture.
static void limit_scans(j_common_ptr jpeg)
{
    if (((j_decompress_ptr)jpeg)->input_scan_number <= MOST_SCANS) return;
    jpeg->err->msg_code = JERR_BAD_PROGRESSION;
    memset(&jpeg->err->msg_parm, 0, sizeof jpeg->err->msg_parm);
    on_jpeg_error(jpeg);
}

static vt_status fail_jpeg(const vt_image_reader *reader)
{
    jpeg_reader *r = reader->state;
    char reason[JMSG_LENGTH_MAX];
    r->errors.format_message((j_common_ptr)&r->jpeg, reason);
    return vt_fail(VT_ERR_FORMAT, "%s: %s: %s", reader->name, r->ended ? "truncated JPEG" : "JPEG",
                   reason);
}

// ---- the header ----

static bool jpeg_recognise(const unsigned char *data, size_t bytes)
{
    return bytes >= 3 && memcmp(data, "\xFF\xD8\xFF", 3) == 0;
}

// May leave by longjmp.
static vt_status read_header(vt_image_reader *reader, jpeg_reader *r, int64_t max_pixels)
{
    j_decompress_ptr jpeg = &r->jpeg;
    size_t bytes = r->source.bytes_in_buffer;
    jpeg_create_decompress(jpeg);
    jpeg->src = &r->source;
    jpeg->progress = &r->progress;
    jpeg_read_header(jpeg, TRUE);
    VT_TRY(vt_image_take_size(reader, jpeg->image_width, jpeg->image_height, max_pixels, bytes,
                              jpeg->arith_code ? INT_MAX : MOST_PIXELS_PER_BYTE));
    int channels = jpeg->num_components;
    VT_REQUIRE(channels == 1 || channels == 3 || channels == 4, VT_ERR_FORMAT,
               "%s: JPEG with %d components, expected 1, 3 or 4", reader->name, channels);
    return VT_OK;
}

static vt_status guard_header(vt_image_reader *reader, jpeg_reader *r, int64_t max_pixels)
{
    if (setjmp(r->failed) == 0) return read_header(reader, r, max_pixels);
    return fail_jpeg(reader);
}

static vt_status jpeg_open(vt_image_reader *reader, const unsigned char *data, size_t bytes,
                           int64_t max_pixels)
{
    jpeg_reader *r = reader->state = calloc(1, sizeof *r);
    VT_REQUIRE(r, VT_ERR_MEMORY, "%s: out of memory", reader->name);
    r->source = (struct jpeg_source_mgr){.next_input_byte = data,
                                         .bytes_in_buffer = bytes,
                                         .init_source = no_jpeg_action,
                                         .fill_input_buffer = end_jpeg_data,
                                         .skip_input_data = skip_jpeg_data,
                                         .resync_to_restart = jpeg_resync_to_restart,
                                         .term_source = no_jpeg_action};
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->jpeg.client_data = r;
    r->errors.error_exit = on_jpeg_error;
    r->errors.emit_message = on_jpeg_message;
    r->errors.output_message = no_jpeg_output;
    r->progress.progress_monitor = limit_scans;
    return guard_header(reader, r, max_pixels);
}

static void jpeg_close(vt_image_reader *reader)
{
    jpeg_reader *r = reader->state;
    if (!r) return;
    jpeg_destroy_decompress(&r->jpeg);
    free(r);
}

// ---- the pixels ----

// As Pillow, which takes all four-component JPEGs for Adobe's (inverted), and whose conversion is
// 255 - k - c (255 - k) / 255 with the product rounded to nearest.
static void rgb_from_inverted_cmyk(unsigned char *rgb, const unsigned char *cmyk, int width)
{
    for (int x = 0; x < width; x++) {
        unsigned white = cmyk[4 * x + 3];
        for (int c = 0; c < 3; c++) {
            unsigned t = (255u - cmyk[4 * x + c]) * white + 128;
            rgb[3 * x + c] = (unsigned char)(white - ((t + (t >> 8)) >> 8));
        }
    }
}

// Whether an end marker follows in what has not been read yet. Behind it may be anything.
static bool has_end(const struct jpeg_source_mgr *source)
{
    const JOCTET *first = source->next_input_byte;
    size_t left = source->bytes_in_buffer;
    const JOCTET *at;
    while (left > 1 && (at = memrchr(first, 0xFF, left - 1))) {
        if (at[1] == JPEG_EOI) return true;
        left = (size_t)(at - first) + 1;
    }
    return false;
}

// A Huffman table as jpeg_plain.h has it.
static bool take_code(vt_jpeg_code *code, JHUFF_TBL *const tables[NUM_HUFF_TBLS], int which)
{
    if (which < 0 || which >= NUM_HUFF_TBLS || !tables[which]) return false;
    *code = (vt_jpeg_code){.counts = tables[which]->bits, .symbols = tables[which]->huffval};
    return true;
}

// Whether the header tells of a picture of the plain kind. Before jpeg_start_decompress.
static bool take_scan(vt_jpeg_scan *scan, const jpeg_reader *r)
{
    const struct jpeg_decompress_struct *j = &r->jpeg;
    const int n = j->num_components;
    if (j->data_precision != BITS_IN_JSAMPLE || j->progressive_mode || j->arith_code) return false;
    if (j->restart_interval || j->comps_in_scan != n || j->Ss != 0 || j->Se != DCTSIZE2 - 1)
        return false;
    if (j->Ah != 0 || j->Al != 0) return false;
    if (!(n == 1 && j->jpeg_color_space == JCS_GRAYSCALE) &&
        !(n == VT_JPEG_MOST_COMPONENTS && j->jpeg_color_space == JCS_YCbCr))
        return false;
    *scan = (vt_jpeg_scan){.width = (int)j->image_width,
                           .height = (int)j->image_height,
                           .components = n,
                           .data = r->source.next_input_byte,
                           .bytes = r->source.bytes_in_buffer};
    for (int i = 0; i < n; i++) {
        const jpeg_component_info *info = j->cur_comp_info[i];
        const int q = info->quant_tbl_no;
        if (info != &j->comp_info[i] || info->h_samp_factor != 1 || info->v_samp_factor != 1)
            return false;
        if (q < 0 || q >= NUM_QUANT_TBLS || !j->quant_tbl_ptrs[q]) return false;
        vt_jpeg_component *c = &scan->component[i];
        c->quantizer = j->quant_tbl_ptrs[q]->quantval;
        if (!take_code(&c->dc, j->dc_huff_tbl_ptrs, info->dc_tbl_no) ||
            !take_code(&c->ac, j->ac_huff_tbl_ptrs, info->ac_tbl_no))
            return false;
    }
    return true;
}

// Before jpeg_start_decompress.
static bool can_be_cut(const jpeg_reader *r)
{
    const struct jpeg_decompress_struct *jpeg = &r->jpeg;
    const jpeg_component_info *info = jpeg->comp_info;
    int n = jpeg->num_components, h = info[0].h_samp_factor, v = info[0].v_samp_factor;
    bool usual = n == 1 ? h == 1 && v == 1 : n == 3 && h <= 2 && v <= 2;
    for (int c = 1; c < n; c++) {
        usual = usual && info[c].h_samp_factor == 1 && info[c].v_samp_factor == 1;
    }
    return usual && has_end(&r->source);
}

// May leave by longjmp. image = the box, of the rows up to `last` and the columns that libjpeg puts
// out, which begin at `left`. All rows go through one line: into an aligned row libjpeg-turbo's
// colour conversion writes past the caches, and reading that back costs more than a copy.
static void take_rows(j_decompress_ptr jpeg, vt_image *image, const int box[4], int left, int last)
{
    size_t channels = (size_t)jpeg->output_components, bytes = channels * jpeg->output_width;
    JSAMPROW line = jpeg->mem->alloc_large((j_common_ptr)jpeg, JPOOL_IMAGE, bytes + 1);
    line++; // not aligned
    const unsigned char *from = line + (size_t)(box[0] - left) * channels;
    while ((int)jpeg->output_scanline < last) {
        int y = (int)jpeg->output_scanline - box[1];
        jpeg_read_scanlines(jpeg, &line, 1);
        if (y < 0 || y >= box[3]) continue;
        unsigned char *out = vt_image_row(image, y);
        if (channels == 4)
            rgb_from_inverted_cmyk(out, from, box[2]);
        else
            memcpy(out, from, 3 * (size_t)box[2]);
    }
}

// Whether the scans that were read give every coefficient to its last bit. Of several scans only
// progressive ones tell.
static bool has_all_scans(const struct jpeg_decompress_struct *jpeg)
{
    if (!jpeg->progressive_mode || !jpeg->coef_bits) return false;
    for (int c = 0; c < jpeg->num_components; c++) {
        for (int k = 0; k < DCTSIZE2; k++)
            if (jpeg->coef_bits[c][k] != 0) return false; // bits to come; below 0: all of them
    }
    return true;
}

// May leave by longjmp.
static vt_status read_pixels(const vt_image_reader *reader, jpeg_reader *r, vt_image *image,
                             const int box[4], int shrink)
{
    j_decompress_ptr jpeg = &r->jpeg;
    jpeg->out_color_space = jpeg->num_components == 4 ? JCS_CMYK : JCS_RGB;
    jpeg->scale_num = (unsigned)(DCTSIZE / shrink);
    jpeg->scale_denom = DCTSIZE;
    bool one_scan = !jpeg_has_multiple_scans(jpeg) && !jpeg->arith_code;
    bool cut = one_scan && can_be_cut(r);
    jpeg_start_decompress(jpeg);
    int left = 0, last = (int)jpeg->output_height;
    if (cut) last = box[1] + box[3];
    if (cut && shrink == 1) {
        int right = box[0] + box[2] + MARGIN;
        JDIMENSION first = (JDIMENSION)(box[0] > MARGIN ? box[0] - MARGIN : 0), width;
        if (right > (int)jpeg->output_width) right = (int)jpeg->output_width;
        width = (JDIMENSION)right - first;
        if (width < jpeg->output_width) jpeg_crop_scanline(jpeg, &first, &width);
        left = (int)first;
        if (box[1] > 0) jpeg_skip_scanlines(jpeg, (JDIMENSION)box[1]);
    }
    take_rows(jpeg, image, box, left, last);
    // An arithmetic decoder does not notice that it has run out of data.
    bool whole = !r->starved && !jpeg->arith_code && (one_scan || has_all_scans(jpeg));
    VT_REQUIRE(!r->ended || whole, VT_ERR_FORMAT, "%s: truncated JPEG", reader->name);
    return VT_OK;
}

static vt_status jpeg_decode(vt_image_reader *reader, vt_image *image, const int box[4], int shrink)
{
    jpeg_reader *r = reader->state;
    vt_jpeg_scan scan;
    if (shrink == 1 && take_scan(&scan, r) && vt_jpeg_decode_plain(image, &scan, box)) return VT_OK;
    if (setjmp(r->failed) == 0) return read_pixels(reader, r, image, box, shrink);
    return fail_jpeg(reader);
}

const vt_image_codec vt_image_jpeg = {
    .recognise = jpeg_recognise,
    .open = jpeg_open,
    .decode = jpeg_decode,
    .close = jpeg_close,
    .most_shrink = DCTSIZE,
};
