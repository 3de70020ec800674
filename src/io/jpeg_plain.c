// The plain kind of JPEG: Huffman codes to coefficients; jpeg_samples.c makes pixels of them.
//
// Three quarters of libjpeg's time for a picture of ImageNet's go to the codes, one string of bits
// after the other. Here
// - the zeros that are stuffed behind each FF are taken out first, so that the next 56 bits can be
//   had without looking at them;
// - a table, looked up with the next bits, yields code and value at once where both fit, as most
//   do;
// - of the blocks above and beside the wanted ones only the lengths are read, several symbols at
//   once.
//
// Measured on 51 such pictures of ImageNet's (97 KB and 500 x 375 px on the mean), random parts of
// them, one core of a Zen 2: 0.62 ms each, libjpeg 0.84. With tables of 10 or 12 bits instead of 11
// it is 0.03 and 0.02 more; refilling before every symbol instead of every third, 0.05; skipping
// one symbol at a time, 0.045. libjpeg's transform costs what this one does; its other settings
// (the faster transform, plain upsampling, scaling by M/8 without vectors) have little to gain
// from, because the codes remain.
#include "vitrain/io/jpeg_plain.h"

#include <stdlib.h>
#include <string.h>

enum {
    SIDE = VT_JPEG_BLOCK,
    BLOCK = SIDE * SIDE,
    LOOK = 11,
    PER_REFILL = 3, // symbols
    LONGEST_CODE = 16,
    MOST_SYMBOLS = 256,
    END_OF_BLOCK = 2 * BLOCK, // a step that no run makes
    NOWHERE = BLOCK,          // the place of what lies outside
    PLACES = 3 * BLOCK,       // that steps can lead to
    SPARE_BYTES = 512,        // more than a block's codes can take: 64 of 31 bits, and a look ahead
    LAST_SPARSE = 9,          // coefficients 0 to 9 lie in the upper left 4 x 4
    MOST_DC = INT16_MAX,
};

// What the next LOOK bits begin with. bits = 0: a value that does not fit (in `value`: the code's
// length and, in the low four bits, the value's), or a code that does not (0).
typedef struct entry {
    int16_t value;
    uint8_t step; // to the place of this coefficient from that of the last
    uint8_t bits; // of code and value
} entry;

// All the symbols that the bits hold as a whole, up to the end of a block.
typedef struct skip {
    uint8_t step, bits;
} skip;

typedef struct table {
    entry entries[1 << LOOK];
    skip skips[1 << LOOK];           // AC only
    uint32_t ends[LONGEST_CODE + 2]; // first code that is longer, as LONGEST_CODE bits
    int offset[LONGEST_CODE + 1];    // of a code of that length, to its symbol
    const uint8_t *symbols;
    bool dc;
} table;

typedef struct bits {
    const unsigned char *next;
    uint64_t window; // `count` bits that are next, from the top, and some of those behind them
    unsigned count;
} bits;

typedef struct component {
    const table *dc, *ac;
    int32_t quantizer[PLACES]; // in the order of coding
    int last_dc;
    unsigned char *samples; // (8, stride)
} component;

typedef struct decoder {
    bits in;
    const unsigned char *end; // of the data; SPARE_BYTES zeros follow
    int components;
    size_t stride;
    component component[VT_JPEG_MOST_COMPONENTS];
    table tables[2 * VT_JPEG_MOST_COMPONENTS];
    uint8_t places[PLACES]; // in the block, of all that steps can lead to
} decoder;

// Where the coefficients lie in a block, in the order of coding: along the diagonals, to and fro.
static const uint8_t in_order[BLOCK] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

// ---- tables ----

// A value of `size` bits: the lower half of them stands for negative ones.
static inline int value_of(unsigned raw, unsigned size)
{
    return size && raw < 1u << (size - 1) ? (int)raw - (1 << size) + 1 : (int)raw;
}

static unsigned step_of(const table *t, unsigned symbol)
{
    const unsigned run = symbol >> 4, size = symbol & 15;
    return t->dc ? 0 : size || run == 15 ? run + 1 : END_OF_BLOCK;
}

// The entries that begin with a code of `length` bits.
static void enter(table *t, unsigned code, unsigned length, unsigned symbol)
{
    const unsigned size = symbol & 15, room = LOOK - length;
    const uint8_t step = (uint8_t)step_of(t, symbol);
    entry *e = t->entries + (code << room);
    if (size > room) {
        for (unsigned i = 0; i < 1u << room; i++)
            e[i] = (entry){.value = (int16_t)(length << 4 | size), .step = step};
        return;
    }
    for (unsigned raw = 0; raw < 1u << size; raw++) {
        const entry known = {(int16_t)value_of(raw, size), step, (uint8_t)(length + size)};
        for (unsigned i = 0; i < 1u << (room - size); i++) *e++ = known;
    }
}

static void fill_skips(table *t)
{
    enum { ALL = (1 << LOOK) - 1 };
    for (unsigned i = 0; i <= ALL; i++) {
        unsigned step = 0, used = 0;
        while (step < BLOCK) {
            const entry *e = &t->entries[i << used & ALL];
            if (!e->bits || used + e->bits > LOOK) break;
            used += e->bits;
            step += e->step;
        }
        t->skips[i] = (skip){(uint8_t)step, (uint8_t)used};
    }
}

static bool fill_table(table *t, const vt_jpeg_code *code, bool dc)
{
    unsigned next = 0, symbol = 0;
    t->symbols = code->symbols;
    t->dc = dc;
    memset(t->entries, 0, sizeof t->entries);
    for (unsigned length = 1; length <= LONGEST_CODE; length++, next <<= 1) {
        t->offset[length] = (int)symbol - (int)next;
        if (symbol + code->counts[length] > MOST_SYMBOLS) return false;
        if (next + code->counts[length] > 1u << length) return false;
        for (int i = 0; i < code->counts[length]; i++, next++, symbol++) {
            if (dc && code->symbols[symbol] > 15) return false;
            if (length <= LOOK) enter(t, next, length, code->symbols[symbol]);
        }
        t->ends[length] = next << (LONGEST_CODE - length);
    }
    if (!dc) fill_skips(t);
    return true;
}

// ---- bits ----

// At least 56 bits are next.
static inline void refill(bits *in)
{
    uint64_t more;
    memcpy(&more, in->next, sizeof more);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    more = __builtin_bswap64(more);
#endif
    in->window |= more >> in->count;
    in->next += (63 - in->count) >> 3;
    in->count |= 56;
}

// The entry for a window that the table has none for. bits = 0: that is not a code.
static entry look_further(entry e, uint64_t window, const table *t)
{
    unsigned length = (unsigned)e.value >> 4, size = (unsigned)e.value & 15;
    if (e.value == 0) {
        const uint32_t code = (uint32_t)(window >> (64 - LONGEST_CODE));
        for (length = LOOK + 1; length <= LONGEST_CODE && code >= t->ends[length];) length++;
        if (length > LONGEST_CODE) return (entry){0};
        const int at = (int)(code >> (LONGEST_CODE - length)) + t->offset[length];
        const unsigned symbol = t->symbols[at];
        size = symbol & 15;
        e.step = (uint8_t)step_of(t, symbol);
    }
    window <<= length;
    e.value = size ? (int16_t)value_of((unsigned)(window >> (64 - size)), size) : 0;
    e.bits = (uint8_t)(length + size);
    return e;
}

// The next LOOK bits.
static inline unsigned look(const bits *in)
{
    return (unsigned)(in->window >> (64 - LOOK));
}

static inline void consume(bits *in, unsigned n)
{
    in->window <<= n;
    in->count -= n;
}

// bits = 0: not a code. One refill lasts for three: an entry takes LOOK bits at most, and what
// takes more refills for itself and leaves 25.
static inline entry read_entry(bits *in, const table *t)
{
    entry e = t->entries[look(in)];
    if (__builtin_expect(e.bits == 0, 0)) {
        refill(in);
        e = look_further(e, in->window, t);
    }
    consume(in, e.bits);
    return e;
}

// ---- blocks ----

// Member by member, so that they stay in registers.
static inline bits take_bits(const decoder *d)
{
    return (bits){.next = d->in.next, .window = d->in.window, .count = d->in.count};
}

static inline bool put_bits(decoder *d, const bits *in)
{
    d->in.next = in->next;
    d->in.window = in->window;
    d->in.count = in->count;
    return in->next - in->count / 8 <= d->end;
}

static inline bool read_dc(component *c, bits *in)
{
    refill(in);
    const entry e = read_entry(in, c->dc);
    c->last_dc += e.value;
    return e.bits && c->last_dc <= MOST_DC && c->last_dc >= -MOST_DC;
}

// Whether a block can end with k, the sum of its steps.
static inline bool is_end(unsigned k)
{
    return k == BLOCK - 1 || (k >= END_OF_BLOCK && k < END_OF_BLOCK + BLOCK - 1);
}

static bool skip_block(decoder *d, component *c)
{
    bits in = take_bits(d);
    if (!read_dc(c, &in)) return false;
    unsigned k = 0;
    do {
        refill(&in);
        for (int i = 0; i < PER_REFILL && k < BLOCK - 1; i++) {
            const skip s = c->ac->skips[look(&in)];
            const unsigned next = k + s.step;
            if (s.bits && (next < BLOCK || is_end(next))) {
                consume(&in, s.bits);
                k = next;
                continue;
            }
            const entry e = read_entry(&in, c->ac); // one by one
            if (!e.bits) return false;
            k += e.step;
        }
    } while (k < BLOCK - 1);
    return put_bits(d, &in) && is_end(k);
}

// block: (64 + 1), zeros; out: dequantized. *last: the place of the last coefficient in the order
// of coding.
static inline bool read_block(int32_t *block, int *last, decoder *d, component *c)
{
    bits in = take_bits(d);
    if (!read_dc(c, &in)) return false;
    block[0] = c->last_dc * c->quantizer[0];
    uint32_t extreme = (uint32_t)(block[0] ^ block[0] >> 31);
    unsigned k = 0;
    do {
        refill(&in);
        for (int i = 0; i < PER_REFILL && k < BLOCK - 1; i++) {
            const entry e = read_entry(&in, c->ac);
            if (!e.bits) return false;
            k += e.step;
            const int32_t value = e.value * c->quantizer[k];
            extreme |= (uint32_t)(value ^ value >> 31);
            block[d->places[k]] = value;
        }
    } while (k < BLOCK - 1);
    *last = (int)(k % END_OF_BLOCK);
    return put_bits(d, &in) && is_end(k) && extreme <= VT_JPEG_MOST_COEFFICIENT;
}

static bool decode_block(decoder *d, component *c, unsigned char *samples)
{
    _Alignas(32) int32_t block[BLOCK + 1] = {0};
    int last;
    if (!read_block(block, &last, d, c)) return false;
    if (last > 0) return vt_jpeg_inverse_dct(samples, d->stride, block, last <= LAST_SPARSE);
    const int level = 128 + ((block[0] + 4) >> 3); // what the transform makes of it
    for (int y = 0; y < SIDE; y++)
        memset(samples + (size_t)y * d->stride, level < 0 ? 0 : level > 255 ? 255 : level, SIDE);
    return true;
}

// ---- rows ----

static bool skip_blocks(decoder *d, int n)
{
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < d->components; c++)
            if (!skip_block(d, &d->component[c])) return false;
    }
    return true;
}

static bool decode_blocks(decoder *d, int n)
{
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < d->components; c++) {
            component *at = &d->component[c];
            if (!decode_block(d, at, at->samples + (size_t)i * SIDE)) return false;
        }
    }
    return true;
}

// rgb = n pixels of row y of the blocks, from column x on.
static void put_row(unsigned char *rgb, const decoder *d, int y, int x, int n)
{
    const size_t at = (size_t)y * d->stride + (size_t)x;
    const component *c = d->component;
    if (d->components == 3) {
        vt_jpeg_rgb_from_ycc(rgb, c[0].samples + at, c[1].samples + at, c[2].samples + at, n);
        return;
    }
    const unsigned char *grey = c[0].samples + at;
    for (int i = 0; i < n; i++) rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = grey[i];
}

static bool decode_box(decoder *d, vt_image *image, const vt_jpeg_scan *scan, const int box[4])
{
    const int across = (scan->width - 1) / SIDE + 1;
    const int first = box[0] / SIDE, end = (box[0] + box[2] - 1) / SIDE + 1;
    const int top = box[1] / SIDE, bottom = (box[1] + box[3] - 1) / SIDE + 1;
    const size_t row_bytes = 3 * (size_t)box[2];
    for (int row = 0; row < top; row++)
        if (!skip_blocks(d, across)) return false;
    for (int row = top; row < bottom; row++) {
        if (!skip_blocks(d, first) || !decode_blocks(d, end - first)) return false;
        if (row + 1 < bottom && !skip_blocks(d, across - end)) return false;
        for (int i = 0; i < SIDE; i++) {
            const int y = row * SIDE + i - box[1];
            if (y < 0 || y >= box[3]) continue;
            put_row(image->pixels + (size_t)y * row_bytes, d, i, box[0] - first * SIDE, box[2]);
        }
    }
    return true;
}

// ---- all of it ----

// to: the scan's data without what is stuffed behind each FF. *end: its end. False: another marker
// than the picture's end follows, or none.
static bool unstuff(unsigned char *to, const unsigned char **end, const vt_jpeg_scan *scan)
{
    enum { STUFFED = 0x00, END_OF_IMAGE = 0xD9 };
    const unsigned char *from = scan->data, *stop = scan->data + scan->bytes, *mark;
    while ((mark = memchr(from, 0xFF, (size_t)(stop - from))) && stop - mark > 1) {
        const size_t n = (size_t)(mark - from);
        memcpy(to, from, n);
        to += n;
        from = mark + 2;
        if (mark[1] == END_OF_IMAGE) {
            memset(to, 0, SPARE_BYTES);
            *end = to;
            return true;
        }
        if (mark[1] != STUFFED) return false;
        *to++ = 0xFF;
    }
    return false;
}

// Component i's: that of one before, if it has the same code. NULL: not a code.
static const table *find_table(decoder *d, int i, const vt_jpeg_code *code, bool dc)
{
    for (int before = 0; before < i; before++) {
        const component *c = &d->component[before];
        const table *t = dc ? c->dc : c->ac;
        if (t->symbols == code->symbols) return t;
    }
    table *t = &d->tables[2 * i + dc];
    return fill_table(t, code, dc) ? t : NULL;
}

static bool set_up(decoder *d, const vt_jpeg_scan *scan, unsigned char *samples)
{
    d->components = scan->components;
    memcpy(d->places, in_order, sizeof in_order);
    memset(d->places + BLOCK, NOWHERE, sizeof d->places - BLOCK);
    for (int i = 0; i < d->components; i++) {
        const vt_jpeg_component *from = &scan->component[i];
        component *c = &d->component[i];
        c->dc = find_table(d, i, &from->dc, true);
        c->ac = find_table(d, i, &from->ac, false);
        if (!c->dc || !c->ac) return false;
        for (int k = 0; k < BLOCK; k++) c->quantizer[k] = from->quantizer[in_order[k]];
        memset(c->quantizer + BLOCK, 0, (PLACES - BLOCK) * sizeof *c->quantizer);
        c->last_dc = 0;
        c->samples = samples + (size_t)i * SIDE * d->stride;
    }
    return true;
}

bool vt_jpeg_decode_plain(vt_image *image, const vt_jpeg_scan *scan, const int box[4])
{
    const size_t stride = ((size_t)box[2] / SIDE + 2) * SIDE;
    const size_t samples = stride * SIDE * (size_t)scan->components;
    decoder *d = malloc(sizeof *d + samples + scan->bytes + SPARE_BYTES);
    if (!d) return false;
    unsigned char *memory = (unsigned char *)(d + 1), *data = memory + samples;
    d->stride = stride;
    d->in = (bits){.next = data};
    const bool done =
        set_up(d, scan, memory) && unstuff(data, &d->end, scan) && decode_box(d, image, scan, box);
    free(d);
    return done;
}
