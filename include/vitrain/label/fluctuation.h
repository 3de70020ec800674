// How far attention moves labels: after every layer, the share of its own label that TL-Align gives
// a mixed sample if the head read it there, less the share by area. The paper (arXiv 2210.06455,
// section 3.2) calls that token fluctuation. Counted while training, for next to nothing: the rule
// carries the shares anyway.
//
// Counts and sums are whole numbers, so that it does not matter which thread gets which sample, and
// when.
#ifndef VITRAIN_LABEL_FLUCTUATION_H
#define VITRAIN_LABEL_FLUCTUATION_H

#include "vitrain/io/json.h"
#include "vitrain/label/label.h"

// Bins are 0.01 wide, the middle one around 0; the outermost take all that lies beyond.
enum { VT_FLUCTUATION_BINS = 101 };
#define VT_FLUCTUATION_WIDTH 0.01

typedef struct vt_fluctuation_layer {
    int64_t n;                           // samples
    int64_t sum, sum_abs, sum_squares;   // in units of 2^-24
    int64_t counts[VT_FLUCTUATION_BINS]; // of samples
} vt_fluctuation_layer;

typedef struct vt_fluctuation {
    const vt_label *label; // of the batches that are counted
    int depth, threads;
    vt_fluctuation_layer *layers;  // (threads, depth) since it was settled
    vt_fluctuation_layer *settled; // (depth) before
} vt_fluctuation;

// Whether a rule carries shares that can be counted.
bool vt_fluctuation_possible(const vt_label *label);
void vt_fluctuation_place(vt_fluctuation *f, vt_arena *arena, const vt_label *label, int depth);
// To be called after the rule's own hook. Counts samples whose share by area is neither 0 nor 1.
// For models with global attention (vt_model_attends_globally); vt_label_begin must have said yes
// to attention.
vt_attn_hook vt_fluctuation_hook(vt_fluctuation *f);
void vt_fluctuation_clear(vt_fluctuation *f);
// Settles what was counted so far: it is what a checkpoint keeps. What comes after belongs to an
// optimizer step that is not done yet, and is counted again if a run is stopped in it.
void vt_fluctuation_settle(vt_fluctuation *f);

// What is settled, as a text, malloc'd (NULL: out of memory), and back. VT_ERR_FORMAT if it is not
// of as many layers and bins; then nothing is settled. `name` is what messages call the text.
char *vt_fluctuation_text(const vt_fluctuation *f);
vt_status vt_fluctuation_restore(vt_fluctuation *f, const char *text, const char *name);

// All counts of a layer.
vt_fluctuation_layer vt_fluctuation_total(const vt_fluctuation *f, int layer);

// Adds "bin_width" and "layers" to an object: for each layer n, mean, mean_abs, sd and counts.
// Nothing if nothing was counted; returns whether something was.
bool vt_fluctuation_json(const vt_fluctuation *f, vt_json *line);

#endif
