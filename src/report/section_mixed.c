// Mixed pictures, layer by layer: where the model looks, whose tokens are whose by now, and the
// label that comes of it beside the one by area.
#include "sections.h"

#include "mixed.h"
#include "vitrain/report/gaze.h"
#include "vitrain/report/html.h"
#include "vitrain/report/sheet.h"

#include <math.h>
#include <stdlib.h>

enum { PICTURE_PX = 128, TILE_PX = 64 };

// What is drawn into, one thing after the other.
typedef struct canvas {
    vt_image small, picture, tile, drawn, shares;
    vt_map_overlay overlay;
    vt_real *patches; // (N)
} canvas;

static void free_canvas(canvas *c)
{
    vt_image *const images[] = {&c->small, &c->picture, &c->tile, &c->drawn, &c->shares};
    for (int i = 0; i < 5; i++) vt_image_free(images[i]);
    vt_map_overlay_free(&c->overlay);
    free(c->patches);
}

// From the partner's orange over white to the own blue, the page's first two colours.
static void share_colour(unsigned char rgb[3], double share)
{
    static const double own[3] = {0, 104, 168}, partner[3] = {193, 79, 0};
    const double s = share < 0 ? 0 : share > 1 ? 1 : share, strength = fabs(2 * s - 1);
    for (int c = 0; c < 3; c++)
        rgb[c] = (unsigned char)lrint(245 + strength * ((s > 0.5 ? own : partner)[c] - 245));
}

// A pixel a patch; the page enlarges it.
static vt_status draw_shares(canvas *c, const vt_mixed *x, int layer, int i)
{
    const vt_real *shares = vt_mixed_shares(x, layer, i) + x->layout.prefix;
    VT_TRY(vt_image_reserve(&c->shares, x->layout.grid_w, x->layout.grid_h, 3));
    for (int t = 0; t < x->plan.N; t++) share_colour(c->shares.pixels + 3 * t, (double)shares[t]);
    return VT_OK;
}

static vt_status write_layer(const vt_report *r, canvas *c, const vt_mixed *x, int layer, int i)
{
    const vt_token_layout *layout = &x->layout;
    const size_t T = (size_t)layout->tokens;
    char alt[96];
    vt_gaze_patches(c->patches, x->recorder.maps[layer] + (size_t)i * T * T, layout);
    VT_TRY(vt_map_overlay_draw(&c->overlay, &c->drawn, &c->tile, c->patches, layout->grid_h,
                               layout->grid_w));
    VT_TRY(draw_shares(c, x, layer, i));
    fputs("<li>", r->page);
    snprintf(alt, sizeof alt, "attention in layer %d", layer);
    VT_TRY(vt_html_picture(r->page, &c->drawn, alt, "class=\"map\""));
    snprintf(alt, sizeof alt, "label shares of the patches after layer %d", layer);
    VT_TRY(vt_html_picture(r->page, &c->shares, alt, "class=\"map cells\""));
    fprintf(r->page, "<p>layer %d<br><b>%.1f%%</b></p></li>\n", layer,
            100 * vt_mixed_head_share(x, layer, i));
    return VT_OK;
}

static void write_label_row(FILE *page, const char *by, double share)
{
    fprintf(
        page,
        "<tr><th scope=\"row\">%s</th><td class=\"num\">%.1f%%</td><td class=\"num\">%.1f%%</td>"
        "<td class=\"bar\" aria-hidden=\"true\"><span><i "
        "style=\"width:%.1f%%\"></i></span></td></tr>\n",
        by, 100 * share, 100 * (1 - share), 100 * share);
}

static void write_labels(const vt_report *r, const vt_mixed *x, int i)
{
    const vt_material *m = r->material;
    const int64_t own = x->samples[i], partner = x->samples[x->plan.partner[i]];
    fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
          "aria-label=\"table\"><table><thead><tr><th>label</th><th class=\"num "
          "own\">",
          r->page);
    vt_html_text(r->page, m->classes.names[m->val->labels[own]]);
    fputs("</th><th class=\"num partner\">", r->page);
    vt_html_text(r->page, m->classes.names[m->val->labels[partner]]);
    fputs("</th><td class=\"bar\"></td></tr></thead><tbody>\n", r->page);
    write_label_row(r->page, "by area", (double)x->plan.lambda[i]);
    write_label_row(r->page, "by TL-Align", (double)x->final_share[i]);
    fputs("</tbody></table></div>\n", r->page);
}

static vt_status write_mixed(const vt_report *r, canvas *c, const vt_mixed *x, int i)
{
    const vt_augment_config *a = &r->material->config.data.augment;
    const size_t pixels = (size_t)a->channels * (size_t)a->height * (size_t)a->width;
    VT_TRY(vt_augment_picture(&c->small, x->images + (size_t)i * pixels, a));
    VT_TRY(vt_enlarge(&c->picture, &c->small, PICTURE_PX));
    VT_TRY(vt_enlarge(&c->tile, &c->small, TILE_PX));
    fputs("<article class=\"mixed\">\n<div class=\"head\">", r->page);
    VT_TRY(vt_html_picture(r->page, &c->picture, "the mixed picture", "class=\"mix\""));
    fputs("<div>", r->page);
    write_labels(r, x, i);
    fputs("</div></div>\n<ul class=\"layers\">\n", r->page);
    for (int l = 0; l < x->depth; l++) VT_TRY(write_layer(r, c, x, l, i));
    fputs("</ul></article>\n", r->page);
    return VT_OK;
}

static vt_status write_all(const vt_report *r, const vt_mixed *x)
{
    canvas c = {.patches = malloc((size_t)x->plan.N * sizeof *c.patches)};
    vt_status status = c.patches ? VT_OK : vt_fail(VT_ERR_MEMORY, "out of memory");
    fputs("<p>Validation pictures, cut into each other as in training. For each layer: above, "
          "where the "
          "output looks (mean over heads); below, whose each patch is by then (<span "
          "class=\"own\">blue</span> the first class, <span class=\"partner\">orange</span> the "
          "second, "
          "pale: both); and the first class's share of what the output holds.</p>\n",
          r->page);
    for (int i = 0; i < VT_MIXED_SHOWN && status == VT_OK; i++) status = write_mixed(r, &c, x, i);
    free_canvas(&c);
    return status;
}

vt_status vt_section_mixed(const vt_report *r)
{
    if (!r->material) return VT_OK; // of several runs
    vt_mixed mixed;
    vt_section_begin(r->page, "mixed", "Mixed pictures, layer by layer");
    vt_status status = vt_mixed_make(&mixed, r->material);
    if (status == VT_OK) {
        status = write_all(r, &mixed);
    } else if (status != VT_ERR_MEMORY) {
        vt_page_missing(r->page, "Not shown: %s.", vt_error_message());
        status = VT_OK;
    }
    vt_mixed_free(&mixed);
    vt_section_end(r->page);
    return status;
}
