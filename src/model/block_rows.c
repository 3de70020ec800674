// A chunk's rows; see the header.
#include "block_rows.h"

#include "vitrain/base/amx.h"
#include "vitrain/base/rng.h"

#include <string.h>

// Rows that the MLP takes at a time: as many as a product likes to have, and whole blocks of what
// is left behind. With AMX, for which the second-level cache is the limit, fewer, whose hidden
// layer stays there: DeiT-S is 4% faster with 104, the 28-px model 2% slower. In fp32 and without
// AMX 104 are 2% slower.
enum { MLP_ROWS = 208, MLP_ROWS_AMX = 104, ROW_MULTIPLE = 32 };

vt_dropout vt_chunk_dropout(const vt_chunk *chunk, double p, int unit, int site)
{
    return (vt_dropout){.p = p,
                        .seed = chunk->pass->seed,
                        .stream =
                            (uint32_t)(VT_STREAM_DROPOUT + 1 + chunk->layer * VT_SITES + site),
                        .step = chunk->pass->step,
                        .sample = (uint32_t)(chunk->first + unit)};
}

int vt_chunk_image(const vt_chunk *chunk, int unit)
{
    const vt_windows *w = chunk->chunks->windows;
    return (chunk->first + unit) / (w ? w->count : 1);
}

// Branch 0 is attention, 1 the MLP.
static vt_real branch_scale(const vt_chunk *chunk, int unit, int branch)
{
    if (!chunk->pass->stochastic) return 1;
    return vt_drop_path_scale(chunk->drop_path, chunk->pass->seed, chunk->pass->step,
                              (uint32_t)vt_chunk_image(chunk, unit),
                              (uint32_t)(2 * chunk->layer + branch));
}

bool vt_chunk_padded(const vt_chunk *chunk)
{
    return chunk->chunks->windows && chunk->chunks->windows->padded;
}

int vt_chunk_rows_before(const vt_chunk *chunk, int unit, int each)
{
    return (int)(vt_rows_before(chunk->chunks, chunk->first + unit, each) -
                 vt_rows_before(chunk->chunks, chunk->first, each));
}

int vt_chunk_tokens(const vt_chunk *chunk, const vt_block_shape *s)
{
    return vt_chunk_rows_before(chunk, chunk->count, s->T);
}

int vt_chunk_rows(const vt_chunk *chunk)
{
    return vt_chunk_rows_before(chunk, chunk->count, chunk->R);
}

// The part of a span that lies in one unit, beginning at its row `at`: (unit, first row in it,
// rows).
typedef struct unit_part {
    int unit, token, rows;
} unit_part;

static unit_part part_at(const vt_chunk *chunk, const vt_span *s, int at)
{
    const int row = s->row + at;
    int unit = row / chunk->R; // or a later one, where some have padding
    while (vt_chunk_rows_before(chunk, unit + 1, chunk->R) <= row) unit++;
    const int token = row - vt_chunk_rows_before(chunk, unit, chunk->R);
    const int left = s->rows - at, rest = vt_chunk_rows_before(chunk, unit + 1, chunk->R) - row;
    return (unit_part){unit, token, left < rest ? left : rest};
}

void vt_span_drop(void *x, vt_elem type, const vt_chunk *chunk, const vt_span *s, double p,
                  int site, int width)
{
    if (!chunk->pass->stochastic || p <= 0) return;
    for (int at = 0; at < s->rows;) {
        const unit_part piece = part_at(chunk, s, at);
        const vt_dropout d = vt_chunk_dropout(chunk, p, piece.unit, site);
        void *rows = vt_at(x, type, (size_t)at * (size_t)width);
        vt_dropout_apply(rows, rows, type, &d, (size_t)piece.token * (size_t)width,
                         (size_t)piece.rows * (size_t)width);
        at += piece.rows;
    }
}

void vt_span_residual(vt_real *out, const vt_real *in, int tokens_in, const vt_real *branch,
                      const vt_chunk *chunk, const vt_span *s, int which, int C)
{
    for (int at = 0; at < s->rows;) {
        const unit_part piece = part_at(chunk, s, at);
        const size_t to = (size_t)at * (size_t)C,
                     from = (size_t)(vt_chunk_rows_before(chunk, piece.unit, tokens_in) +
                                     piece.token) *
                            (size_t)C;
        vt_add_scaled(out + to, in + from, branch_scale(chunk, piece.unit, which), branch + to,
                      (size_t)piece.rows * (size_t)C);
        at += piece.rows;
    }
}

void vt_span_residual_backward(void *dbranch, vt_elem type, const vt_real *dx,
                               const vt_span_scale *scale, const vt_chunk *chunk, const vt_span *s,
                               int which, int C)
{
    for (int at = 0; at < s->rows;) {
        const unit_part piece = part_at(chunk, s, at);
        const size_t row = (size_t)at * (size_t)C;
        const vt_real factor = branch_scale(chunk, piece.unit, which);
        void *to = vt_at(dbranch, type, row);
        if (scale)
            vt_channel_scale_backward(to, type, scale->dgamma, factor, dx + row, scale->kept + row,
                                      scale->gamma, piece.rows, C);
        else
            vt_scale(to, type, factor, dx + row, (size_t)piece.rows * (size_t)C);
        at += piece.rows;
    }
}

int vt_mlp_spans(const vt_chunk *chunk, vt_elem type)
{
    const int most = type == VT_BFLOAT && vt_amx() ? MLP_ROWS_AMX : MLP_ROWS;
    return (vt_chunk_rows(chunk) + most - 1) / most;
}

vt_span vt_mlp_span(const vt_chunk *chunk, vt_elem type, int i)
{
    const int rows = vt_chunk_rows(chunk), spans = vt_mlp_spans(chunk, type);
    const int first = vt_share(rows, ROW_MULTIPLE, i, spans);
    return (vt_span){first, vt_share(rows, ROW_MULTIPLE, i + 1, spans) - first};
}

const void *vt_chunk_asking(void *to, const void *rows, const vt_block_shape *s,
                            const vt_chunk *chunk)
{
    if (chunk->R == s->T) return rows;
    const size_t C = (size_t)s->C, R = (size_t)chunk->R, T = (size_t)s->T;
    for (size_t i = 0; i < (size_t)chunk->count; i++)
        memcpy(vt_at(to, s->type, i * R * C), vt_at(rows, s->type, i * T * C),
               R * C * vt_elem_size(s->type));
    return to;
}

void vt_chunk_move(vt_real *rows, vt_real *tokens, const vt_block_shape *s, const vt_chunk *chunk,
                   bool back)
{
    const vt_windows *windows = chunk->chunks->windows;
    const size_t C = (size_t)s->C, T = (size_t)s->T, map = (size_t)windows->starts[windows->count];
    for (int i = chunk->first; i < chunk->first + chunk->count; i++) {
        const int32_t *list = windows->tokens + (size_t)(i % windows->count) * T;
        vt_real *image = tokens + (size_t)(i / windows->count) * map * C;
        for (size_t t = 0; t < T; t++) {
            if (list[t] < 0) continue;
            vt_real *token = image + (size_t)list[t] * C;
            memcpy(back ? token : rows, back ? rows : token, C * sizeof *rows);
            rows += C;
        }
    }
}

void vt_chunk_spread(void *to, const void *from, const vt_block_shape *s, const vt_chunk *chunk)
{
    const vt_windows *windows = chunk->chunks->windows;
    const size_t row = (size_t)s->C * vt_elem_size(s->type);
    const int T = s->T, rows = chunk->count * T;
    const int32_t *tokens = windows->tokens;
    for (int i = 0; i < rows; i++, to = (char *)to + row) {
        const int window = (chunk->first + i / T) % windows->count;
        const bool real = tokens[window * T + i % T] >= 0;
        if (real)
            memcpy(to, from, row);
        else
            memset(to, 0, row);
        if (real) from = (const char *)from + row;
    }
}

void vt_chunk_collect(vt_real *x, const vt_block_shape *s, const vt_chunk *chunk)
{
    const vt_windows *windows = chunk->chunks->windows;
    const size_t C = (size_t)s->C;
    const int T = s->T, rows = chunk->count * T;
    size_t to = 0;
    for (int i = 0; i < rows; i++) {
        const int window = (chunk->first + i / T) % windows->count;
        if (windows->tokens[window * T + i % T] < 0) continue;
        memmove(x + to, x + (size_t)i * C, C * sizeof *x);
        to += C;
    }
}
