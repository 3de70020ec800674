// How far attention moves labels: after every layer, the share of its own label that TL-Align gives a
// mixed sample if the head read it there, less the share by area. The paper (arXiv 2210.06455, section
// 3.2) calls that token fluctuation. Counted while training, for next to nothing: the rule carries the
// shares anyway.
//
// Counts and sums are whole numbers, so that it does not matter which thread gets which sample, and when.
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
    vt_fluctuation_layer *layers; // (threads, depth)
} vt_fluctuation;

// Whether a rule carries shares that can be counted.
bool vt_fluctuation_possible(const vt_label *label);
void vt_fluctuation_place(vt_fluctuation *f, vt_arena *arena, const vt_label *label, int depth);
// To be called after the rule's own hook. Counts samples whose share by area is neither 0 nor 1. For
// models with global attention (vt_model_attends_globally); vt_label_begin must have said yes to attention.
vt_attn_hook vt_fluctuation_hook(vt_fluctuation *f);
void vt_fluctuation_clear(vt_fluctuation *f);

// All threads' counts of a layer.
vt_fluctuation_layer vt_fluctuation_total(const vt_fluctuation *f, int layer);

// Adds "bin_width" and "layers" to an object: for each layer n, mean, mean_abs, sd and counts. Nothing if
// nothing was counted; returns whether something was.
bool vt_fluctuation_json(const vt_fluctuation *f, vt_json *line);

#endif
