// What a report is written with: marks of axes, escaped text, lines of logs, charts.
#include "vitrain/report/html.h"
#include "vitrain/report/plot.h"
#include "vitrain/report/record.h"

#include "folder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// ---- marks ----

static void assert_ticks(double low, double high, double first, double step, int count,
                         int decimals)
{
    const vt_ticks t = vt_ticks_for(low, high, 5, false);
    assert_float_equal(t.first, first, 1e-9 * step);
    assert_float_equal(t.step, step, 1e-9 * step);
    assert_int_equal(t.count, count);
    assert_int_equal(t.decimals, decimals);
}

static void test_ticks(void **state)
{
    (void)state;
    assert_ticks(0, 1, 0, 0.2, 6, 1);
    assert_ticks(0.53, 1.98, 0.5, 0.5, 4, 1);
    assert_ticks(75.15, 99.5, 75, 5, 6, 0);
    assert_ticks(-0.3, 0.41, -0.4, 0.2, 6, 1);
    assert_ticks(0, 0.00199, 0, 0.0005, 5, 4);
    assert_ticks(0, 0, 0, 0.2, 6, 1);
    const vt_ticks whole = vt_ticks_for(1, 3, 6, true);
    assert_float_equal(whole.step, 1, 0);
    assert_int_equal(whole.count, 3);
}

// Whatever the range: it is covered by two marks or more, and not by many.
static void test_ticks_cover(void **state)
{
    (void)state;
    const double ranges[][2] = {{1, 1},     {-5, -5},         {1e-30, 2e-30}, {-1e12, 1e12},
                                {0.1, 0.3}, {2.9999, 3.01},   {NAN, 1},       {INFINITY, -INFINITY},
                                {7, 2},     {1e300, 1.1e300}, {0, 1e-310},    {99.999, 100}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        for (int most = 2; most < 9; most++) {
            const vt_ticks t = vt_ticks_for(ranges[i][0], ranges[i][1], most, false);
            assert_true(t.step > 0 && t.count >= 2 && t.count <= most + 2);
            if (!(ranges[i][0] < ranges[i][1])) continue;
            const double width = ranges[i][1] - ranges[i][0];
            assert_true(vt_tick(&t, 0) <= ranges[i][0] + 1e-6 * width);
            assert_true(vt_tick(&t, t.count - 1) >= ranges[i][1] - 1e-6 * width);
        }
}

// ---- text ----

static char *page_text;
static size_t page_bytes;

static FILE *begin_page(void)
{
    FILE *page = open_memstream(&page_text, &page_bytes);
    assert_non_null(page);
    return page;
}

static void assert_escaped(const char *text, const char *expected)
{
    FILE *page = begin_page();
    vt_html_text(page, text);
    fclose(page);
    assert_string_equal(page_text, expected);
    free(page_text);
}

#define BAD "\xef\xbf\xbd"

static void test_escaping(void **state)
{
    (void)state;
    assert_escaped("<script>alert('x')&\"</script>",
                   "&lt;script&gt;alert(&#39;x&#39;)&amp;&quot;&lt;/script&gt;");
    assert_escaped("a\nb\x7f\x1b", "a" BAD "b" BAD BAD);
    assert_escaped("caf\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x90\xb6",
                   "caf\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x90\xb6");
    assert_escaped("\xff\xc3", BAD BAD);                 // no UTF-8, cut short
    assert_escaped("\xc0\xbc", BAD BAD);                 // a "<" in two bytes
    assert_escaped("\xed\xa0\x80!", BAD BAD BAD "!");    // half of a surrogate pair
    assert_escaped("\xf5\x80\x80\x80", BAD BAD BAD BAD); // beyond U+10FFFF
    assert_escaped("", "");
}

static void test_picture(void **state)
{
    (void)state;
    vt_image image = {0};
    assert_int_equal(vt_image_reserve(&image, 3, 2, 3), VT_OK);
    memset(image.pixels, 9, 18);
    FILE *page = begin_page();
    assert_int_equal(vt_html_picture(page, &image, "a \"b\"", "class=\"c\""), VT_OK);
    fclose(page);
    assert_non_null(strstr(page_text,
                           "<img width=\"3\" height=\"2\" class=\"c\" alt=\"a &quot;b&quot;\" "
                           "src=\"data:image/png;base64,iVBORw0KGgo"));
    free(page_text);
    unsigned char *png;
    size_t bytes;
    vt_image back = {0};
    assert_int_equal(vt_image_encode_png(&png, &bytes, &image), VT_OK);
    assert_int_equal(vt_image_decode(&back, png, bytes, 100, "png"), VT_OK);
    assert_memory_equal(back.pixels, image.pixels, 18);
    free(png);
    vt_image_free(&back);
    vt_image_free(&image);
}

// ---- logs ----

static void test_lines(void **state)
{
    (void)state;
    const char *path = in_folder("log.jsonl");
    vt_lines lines;
    assert_int_equal(vt_lines_read(&lines, path, "epoch"), VT_OK);
    assert_false(lines.found);
    const char text[] = "{\"epoch\": 0, \"a\": 1.5}\n{\"epoch\": 1, \"a\n[3]\n{\"a\": 2}\n"
                        "{\"epoch\": null}\n\n{\"epoch\": 2, \"a\": null}\n{\"epoch\": 3";
    put_file(path, text, sizeof text - 1);
    assert_int_equal(vt_lines_read(&lines, path, "epoch"), VT_OK);
    assert_true(lines.found);
    assert_int_equal(lines.n, 2);
    assert_int_equal(lines.damaged, 5);
    assert_int_equal(lines.first_damaged, 2);
    assert_float_equal(vt_json_number_at(lines.lines[0], "a"), 1.5, 0);
    assert_true(isnan(vt_json_number_at(lines.lines[1], "a")));
    vt_lines_free(&lines);
}

static void test_record(void **state)
{
    (void)state;
    vt_record run;
    assert_int_equal(vt_record_read(&run, in_folder("nowhere")), VT_ERR_IO);
    const char config[] = "{\"train\": {\"epochs\": 3}, \"label\": {\"rule\": \"area\"}}";
    put_file(in_folder("config.json"), config, sizeof config - 1);
    assert_int_equal(vt_record_read(&run, in_folder(".")), VT_OK);
    assert_float_equal(vt_json_number(vt_record_setting(&run, "train.epochs")), 3, 0);
    assert_null(vt_record_setting(&run, "train.epochs.x"));
    assert_null(vt_record_setting(&run, "optim.lr"));
    char *rule = vt_record_setting_text(&run, "label.rule");
    assert_string_equal(rule, "area");
    free(rule);
    vt_record_free(&run);
}

// ---- charts ----

static int count_of(const char *word)
{
    int n = 0;
    for (const char *at = page_text; (at = strstr(at, word)) != NULL; at += strlen(word)) n++;
    return n;
}

static void test_plot(void **state)
{
    (void)state;
    const double x[] = {1, 2, 3, 4}, y[] = {1, NAN, 3, 2}, low[] = {0.5, NAN, 2, 1},
                 high[] = {1.5, NAN, 4, 3};
    const vt_series series[] = {{.name = "<a>", .x = x, .y = y, .low = low, .high = high, .n = 4},
                                {.name = "b", .x = x, .y = x, .n = 1, .colour = 9}};
    vt_plot plot = {.id = "p",
                    .title = "T",
                    .x_label = "epoch",
                    .series = series,
                    .n_series = 2,
                    .whole_x = true,
                    .digits = 2};
    FILE *page = begin_page();
    vt_plot_write(page, &plot);
    fclose(page);
    assert_int_equal(count_of("<title>"), 4); // three points and one
    assert_int_equal(count_of("class=\"band"), 1);
    assert_int_equal(count_of("&lt;a&gt;"), 5); // legend, spoken, three tips
    assert_int_equal(count_of("nan"), 0);
    assert_int_equal(count_of("inf"), 0);
    free(page_text);

    const double rate[] = {4.8e-4};
    const vt_series late = {
        .name = "late", .x = x + 1, .y = y + 1, .low = low + 1, .high = high + 1, .n = 3};
    const vt_series one = {.name = "one", .x = x + 3, .y = rate, .n = 1};
    plot.n_series = 1;
    plot.series = &late;
    page = begin_page();
    vt_plot_write(page, &plot);
    fclose(page);
    assert_int_equal(count_of("class=\"band s0\" d=\"M"), 1); // it begins where there is one
    free(page_text);
    plot.series = &one;
    page = begin_page();
    vt_plot_write(page, &plot);
    fclose(page);
    assert_int_equal(count_of(">4</text>"), 1); // one point, one mark
    assert_int_equal(count_of(">5</text>") + count_of(">3</text>"), 0);
    assert_int_equal(count_of(">4.5e-4</text>"), 1);
    free(page_text);
    plot.n_series = 0;
    page = begin_page();
    vt_plot_write(page, &plot);
    fclose(page);
    assert_int_equal(count_of("No numbers"), 1);
    assert_int_equal(count_of("<svg"), 0);
    free(page_text);
}

static void test_ridges(void **state)
{
    (void)state;
    const double counts[3] = {1, 4, 0}, none[3] = {0};
    const vt_ridge rows[] = {{.label = "layer 0", .tip = "mean", .counts = counts},
                             {.label = "layer 1", .tip = "mean", .counts = none}};
    const vt_ridges ridges = {.id = "r",
                              .title = "T",
                              .x_label = "x",
                              .rows = rows,
                              .n = 2,
                              .bins = 3,
                              .low = -0.5,
                              .high = 0.5};
    FILE *page = begin_page();
    vt_ridges_write(page, &ridges);
    fclose(page);
    assert_int_equal(count_of("class=\"ridge\""), 2);
    assert_int_equal(count_of("nan"), 0);
    free(page_text);
}

static void test_intervals(void **state)
{
    (void)state;
    const vt_interval rows[] = {{"<a>", 0.5, -0.1, 1.1}, {"b", -2, NAN, NAN}};
    FILE *page = begin_page();
    vt_intervals_write(page, "i", "T", "points", rows, 2);
    fclose(page);
    assert_int_equal(count_of("<circle class=\"dot\""), 2);
    assert_int_equal(count_of("<path class=\"line"), 1);
    assert_int_equal(count_of("&lt;a&gt;: +0.50 (-0.10 to +1.10)"), 2);
    assert_int_equal(count_of("nan"), 0);
    free(page_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ticks),     cmocka_unit_test(test_ticks_cover),
        cmocka_unit_test(test_escaping),  cmocka_unit_test(test_picture),
        cmocka_unit_test(test_lines),     cmocka_unit_test(test_record),
        cmocka_unit_test(test_plot),      cmocka_unit_test(test_ridges),
        cmocka_unit_test(test_intervals),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
