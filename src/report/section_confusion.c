// Which classes are taken for which, and the pictures that the model is most wrong about.
#include "sections.h"

#include "vitrain/report/html.h"
#include "vitrain/report/sheet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MATRIX_MOST = 20, PAIRS_MOST = 15, WORST = 24, THUMB_PX = 80, NAME_BYTES = 64 };

typedef struct pair {
    int64_t label, predicted, n;
} pair;

static const char *class_name(const vt_report *r, int64_t label)
{
    return r->material->classes.names[label];
}

// ---- pairs ----

static int by_cell(const void *a, const void *b)
{
    const pair *x = a, *y = b;
    if (x->label != y->label) return x->label < y->label ? -1 : 1;
    return (x->predicted > y->predicted) - (x->predicted < y->predicted);
}

static int by_number(const void *a, const void *b)
{
    const pair *x = a, *y = b;
    return x->n != y->n ? (x->n < y->n ? 1 : -1) : by_cell(a, b);
}

// What was confused, most often first; (*count) malloc'd. NULL: out of memory.
static pair *confused_pairs(const vt_predictions *said, int *count)
{
    pair *pairs = malloc((size_t)(said->n + 1) * sizeof *pairs);
    int n = 0, kept = 0;
    if (!pairs) return NULL;
    for (int64_t i = 0; i < said->n; i++)
        if (said->label[i] != said->predicted[i])
            pairs[n++] = (pair){said->label[i], said->predicted[i], 1};
    qsort(pairs, (size_t)n, sizeof *pairs, by_cell);
    for (int i = 0; i < n; i++) {
        if (kept && by_cell(&pairs[kept - 1], &pairs[i]) == 0)
            pairs[kept - 1].n++;
        else
            pairs[kept++] = pairs[i];
    }
    qsort(pairs, (size_t)kept, sizeof *pairs, by_number);
    *count = kept;
    return pairs;
}

static int64_t images_of(const vt_predictions *said, int64_t label)
{
    int64_t n = 0;
    for (int64_t i = 0; i < said->n; i++) n += said->label[i] == label;
    return n;
}

static vt_status write_pairs(const vt_report *r)
{
    const vt_predictions *said = &r->material->said;
    FILE *page = r->page;
    int n;
    pair *pairs = confused_pairs(said, &n);
    VT_REQUIRE(pairs, VT_ERR_MEMORY, "out of memory");
    fputs("<h3>Most confused</h3>\n", page);
    if (n == 0) fputs("<p>Nothing was confused.</p>\n", page);
    if (n > 0)
        fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
              "aria-label=\"table\"><table><thead><tr><th>is</th><th>taken for</th>"
              "<th class=\"num\">images</th><th class=\"num\">of its "
              "class</th></tr></thead><tbody>\n",
              page);
    for (int i = 0; i < n && i < PAIRS_MOST; i++) {
        fputs("<tr><td>", page);
        vt_html_text(page, class_name(r, pairs[i].label));
        fputs("</td><td>", page);
        vt_html_text(page, class_name(r, pairs[i].predicted));
        fprintf(page, "</td><td class=\"num\">%lld</td><td class=\"num\">%.1f%%</td></tr>\n",
                (long long)pairs[i].n,
                100.0 * (double)pairs[i].n / (double)images_of(said, pairs[i].label));
    }
    if (n > 0) fputs("</tbody></table></div>\n", page);
    free(pairs);
    return VT_OK;
}

// ---- the matrix ----

static void write_row(const vt_report *r, const int64_t *counts, int label, int K)
{
    FILE *page = r->page;
    int64_t all = 0;
    for (int k = 0; k < K; k++) all += counts[k];
    fputs("<tr><th scope=\"row\">", page);
    vt_html_text(page, class_name(r, label));
    fputs("</th>", page);
    for (int k = 0; k < K; k++) {
        const double share = all ? (double)counts[k] / (double)all : 0,
                     shade = sqrt(share); // else all but the diagonal is too faint to see
        fprintf(page, "<td%s style=\"--v:%.3f\">", k == label ? " class=\"right\"" : "", shade);
        if (counts[k]) fprintf(page, "%lld", (long long)counts[k]);
        fputs("</td>", page);
    }
    fprintf(page, "<td class=\"num all\">%.1f%%</td></tr>\n",
            all ? 100.0 * (double)counts[label] / (double)all : 0);
}

// Columns of long names are headed upright, of short ones as usual.
static bool has_long_names(const vt_report *r)
{
    for (int k = 0; k < r->material->classes.count; k++)
        if (strlen(class_name(r, k)) > 2) return true;
    return false;
}

static vt_status write_matrix(const vt_report *r)
{
    const vt_predictions *said = &r->material->said;
    const int K = r->material->classes.count;
    FILE *page = r->page;
    int64_t *counts = calloc((size_t)K * (size_t)K, sizeof *counts);
    VT_REQUIRE(counts, VT_ERR_MEMORY, "out of memory");
    for (int64_t i = 0; i < said->n; i++) counts[said->label[i] * K + said->predicted[i]]++;
    fprintf(
        page,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"table\"><table "
        "class=\"matrix%s\"><caption>Rows: what the "
        "images "
        "are; columns: what they were taken for. The larger the share of its row, the stronger the "
        "shade.</caption><thead><tr>"
        "<td></td>",
        has_long_names(r) ? " long" : "");
    for (int k = 0; k < K; k++) {
        fputs("<th scope=\"col\"><span>", page);
        vt_html_text(page, class_name(r, k));
        fputs("</span></th>", page);
    }
    fputs("<th scope=\"col\" class=\"num all\">right</th></tr></thead><tbody>\n", page);
    for (int k = 0; k < K; k++) write_row(r, counts + k * K, k, K);
    fputs("</tbody></table></div>\n", page);
    free(counts);
    return VT_OK;
}

vt_status vt_section_confusion(const vt_report *r)
{
    const vt_material *m = r->material;
    if (!m) return VT_OK; // of several runs
    vt_status status = VT_OK;
    vt_section_begin(r->page, "confusion", "What is taken for what");
    if (m->said.n == 0) {
        vt_page_missing(r->page, "Not shown: %s.", m->not_said);
    } else {
        if (m->classes.count <= MATRIX_MOST) status = write_matrix(r);
        if (status == VT_OK) status = write_pairs(r);
    }
    vt_section_end(r->page);
    return status;
}

// ---- the worst ----

// worst: (most) out, indices into said, highest loss first; returns how many.
static int find_worst(int64_t *worst, int most, const vt_predictions *said)
{
    int n = 0;
    for (int64_t i = 0; i < said->n; i++) {
        if (said->label[i] == said->predicted[i]) continue;
        int at = n < most ? n++ : most;
        for (; at > 0 && said->loss[i] > said->loss[worst[at - 1]]; at--)
            if (at < most) worst[at] = worst[at - 1];
        if (at < most) worst[at] = i;
    }
    return n;
}

// A sample's picture, its longer side THUMB_PX.
static vt_status thumbnail(vt_image *small, const vt_material *m, int64_t index)
{
    vt_image picture = {0};
    vt_resample_scratch scratch = {0};
    vt_status status = m->val->ops->read(m->val, index, &picture, m->config.data.max_pixels);
    if (status == VT_OK) {
        const int longer = picture.width > picture.height ? picture.width : picture.height;
        const double scale = (double)THUMB_PX / longer,
                     whole[4] = {0, 0, picture.width, picture.height};
        const int width = (int)fmax(1, lrint(picture.width * scale)),
                  height = (int)fmax(1, lrint(picture.height * scale));
        status =
            vt_resample(small, &picture, whole, width, height, NULL, VT_FILTER_BILINEAR, &scratch);
    }
    vt_image_free(&picture);
    vt_resample_free(&scratch);
    return status;
}

static vt_status write_tile(const vt_report *r, int64_t i, vt_image *small)
{
    const vt_material *m = r->material;
    const vt_predictions *said = &m->said;
    const char *is = class_name(r, said->label[i]), *taken = class_name(r, said->predicted[i]);
    FILE *page = r->page;
    char alt[2 * NAME_BYTES + 32];
    fputs("<li>", page);
    vt_status status = said->sample[i] < m->val->count ? thumbnail(small, m, said->sample[i])
                                                       : vt_fail(VT_ERR_DATA, "not there");
    if (status == VT_ERR_MEMORY) return status;
    snprintf(alt, sizeof alt, "%.*s, taken for %.*s", NAME_BYTES, is, NAME_BYTES, taken);
    if (status == VT_OK)
        VT_TRY(vt_html_picture(page, small, alt, "class=\"thumb\""));
    else
        fputs("<span class=\"missing\">cannot be read</span>", page);
    fputs("<p><b>", page);
    vt_html_text(page, is);
    fputs("</b><br>taken for ", page);
    vt_html_text(page, taken);
    fprintf(page, "<br><small>loss %.2f</small></p></li>\n", (double)said->loss[i]);
    return VT_OK;
}

vt_status vt_section_worst(const vt_report *r)
{
    const vt_material *m = r->material;
    if (!m) return VT_OK;
    vt_status status = VT_OK;
    vt_image small = {0};
    vt_section_begin(r->page, "worst", "Most wrong");
    if (m->said.n == 0) {
        vt_page_missing(r->page, "Not shown: %s.", m->not_said);
    } else if (!m->val) {
        vt_page_missing(r->page, "The images are not at hand: %s.", m->no_data);
    } else {
        int64_t worst[WORST];
        const int n = find_worst(worst, WORST, &m->said);
        if (n == 0) fputs("<p>Nothing was wrong.</p>\n", r->page);
        if (n > 0) fputs("<ul class=\"tiles\">\n", r->page);
        for (int i = 0; i < n && status == VT_OK; i++) status = write_tile(r, worst[i], &small);
        if (n > 0) fputs("</ul>\n", r->page);
    }
    vt_section_end(r->page);
    vt_image_free(&small);
    return status;
}
