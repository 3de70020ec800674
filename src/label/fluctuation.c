// See the header.
#include "vitrain/label/fluctuation.h"

#include "vitrain/base/threads.h"

#include <math.h>
#include <string.h>

static const double UNIT = 1 << 24;

bool vt_fluctuation_possible(const vt_label *label)
{
    return label->ops->token_share != NULL;
}

void vt_fluctuation_place(vt_fluctuation *f, vt_arena *arena, const vt_label *label, int depth)
{
    f->label = label;
    f->depth = depth;
    f->threads = vt_threads();
    f->layers = VT_ARENA_TAKE(arena, vt_fluctuation_layer, (size_t)f->threads * (size_t)f->depth);
    f->settled = VT_ARENA_TAKE(arena, vt_fluctuation_layer, (size_t)f->depth);
}

static void clear_threads(vt_fluctuation *f)
{
    memset(f->layers, 0, (size_t)f->threads * (size_t)f->depth * sizeof *f->layers);
}

void vt_fluctuation_clear(vt_fluctuation *f)
{
    clear_threads(f);
    memset(f->settled, 0, (size_t)f->depth * sizeof *f->settled);
}

void vt_fluctuation_settle(vt_fluctuation *f)
{
    for (int l = 0; l < f->depth; l++) f->settled[l] = vt_fluctuation_total(f, l);
    clear_threads(f);
}

// Of what the head would read now.
static double head_share(const vt_label *label, int sample)
{
    const vt_token_layout *layout = &label->layout;
    const int N = label->plan->N;
    if (layout->pool == VT_POOL_TOKEN) return (double)label->ops->token_share(label, sample, 0);
    double sum = 0;
    for (int t = 0; t < N; t++)
        sum += (double)label->ops->token_share(label, sample, layout->prefix + t);
    return sum / N;
}

static int bin_of(double difference)
{
    const double bin = floor(difference / VT_FLUCTUATION_WIDTH + 0.5) + VT_FLUCTUATION_BINS / 2;
    return bin < 0 ? 0 : bin >= VT_FLUCTUATION_BINS ? VT_FLUCTUATION_BINS - 1 : (int)bin;
}

static void on_attention(void *self, const vt_attn_view *view)
{
    const vt_fluctuation *f = self;
    if (view->head < view->H - 1) return;
    const double area = (double)f->label->plan->lambda[view->sample];
    if (!(area > 0 && area < 1)) return;
    const double difference = head_share(f->label, view->sample) - area;
    if (!isfinite(difference)) return; // the run is about to stop for that
    const size_t thread = (size_t)vt_thread_index();
    vt_fluctuation_layer *layer = &f->layers[thread * (size_t)f->depth + (size_t)view->layer];
    layer->n++;
    layer->sum += llrint(UNIT * difference);
    layer->sum_abs += llrint(UNIT * fabs(difference));
    layer->sum_squares += llrint(UNIT * difference * difference);
    layer->counts[bin_of(difference)]++;
}

vt_attn_hook vt_fluctuation_hook(vt_fluctuation *f)
{
    return (vt_attn_hook){.self = f, .on_attention = on_attention};
}

vt_fluctuation_layer vt_fluctuation_total(const vt_fluctuation *f, int layer)
{
    vt_fluctuation_layer total = f->settled[layer];
    for (int t = 0; t < f->threads; t++) {
        const vt_fluctuation_layer *one = &f->layers[t * f->depth + layer];
        total.n += one->n;
        total.sum += one->sum;
        total.sum_abs += one->sum_abs;
        total.sum_squares += one->sum_squares;
        for (int b = 0; b < VT_FLUCTUATION_BINS; b++) total.counts[b] += one->counts[b];
    }
    return total;
}

static void add_layer(vt_json *layers, const vt_fluctuation_layer *total)
{
    vt_json *node = vt_json_add_object(layers, NULL);
    const double n = (double)total->n, mean = (double)total->sum / UNIT / n;
    const double variance = (double)total->sum_squares / UNIT / n - mean * mean;
    vt_json_add_number(node, "n", n);
    vt_json_add_number(node, "mean", mean);
    vt_json_add_number(node, "mean_abs", (double)total->sum_abs / UNIT / n);
    vt_json_add_number(node, "sd", sqrt(fmax(variance, 0)));
    vt_json *counts = vt_json_add_array(node, "counts");
    for (int b = 0; b < VT_FLUCTUATION_BINS; b++)
        vt_json_add_number(counts, NULL, (double)total->counts[b]);
}

bool vt_fluctuation_json(const vt_fluctuation *f, vt_json *line)
{
    if (!f->layers || vt_fluctuation_total(f, 0).n == 0) return false;
    vt_json_add_number(line, "bin_width", VT_FLUCTUATION_WIDTH);
    vt_json *layers = vt_json_add_array(line, "layers");
    for (int l = 0; l < f->depth; l++) {
        const vt_fluctuation_layer total = vt_fluctuation_total(f, l);
        add_layer(layers, &total);
    }
    return true;
}

// ---- in a checkpoint ----

// A layer is an array of whole numbers.
enum { NUMBERS = sizeof(vt_fluctuation_layer) / sizeof(int64_t) };

char *vt_fluctuation_text(const vt_fluctuation *f)
{
    vt_json *root = vt_json_new_object(), *layers = vt_json_add_array(root, "layers");
    for (int l = 0; l < f->depth; l++) {
        int64_t numbers[NUMBERS];
        memcpy(numbers, &f->settled[l], sizeof numbers);
        vt_json *layer = vt_json_add_array(layers, NULL);
        for (int i = 0; i < NUMBERS; i++) vt_json_add_number(layer, NULL, (double)numbers[i]);
    }
    char *text = vt_json_text(root, false);
    vt_json_destroy(root);
    return text;
}

static bool read_layer(vt_fluctuation_layer *out, const vt_json *layer)
{
    int64_t numbers[NUMBERS];
    if (vt_json_type_of(layer) != VT_JSON_ARRAY || vt_json_size(layer) != NUMBERS) return false;
    const vt_json *node = vt_json_first(layer);
    for (int i = 0; i < NUMBERS; i++, node = vt_json_next(node)) {
        if (vt_json_type_of(node) != VT_JSON_NUMBER) return false;
        const double value = vt_json_number(node);
        if (!(fabs(value) < 0x1p53)) return false;
        numbers[i] = (int64_t)value;
    }
    memcpy(out, numbers, sizeof numbers);
    return true;
}

vt_status vt_fluctuation_restore(vt_fluctuation *f, const char *text, const char *name)
{
    vt_json *root = NULL;
    vt_fluctuation_clear(f);
    VT_TRY(vt_json_parse(&root, text, strlen(text), name));
    const vt_json *layers = vt_json_get(root, "layers");
    bool fine =
        layers && vt_json_type_of(layers) == VT_JSON_ARRAY && vt_json_size(layers) == f->depth;
    const vt_json *layer = fine ? vt_json_first(layers) : NULL;
    for (int l = 0; fine && l < f->depth; l++, layer = vt_json_next(layer))
        fine = read_layer(&f->settled[l], layer);
    vt_json_destroy(root);
    if (fine) return VT_OK;
    vt_fluctuation_clear(f);
    return vt_fail(VT_ERR_FORMAT, "%s: expected the counts of %d layers", name, f->depth);
}
