// The suggestion for a misspelt name, plurals, and texts that are no UTF-8.
#include "vitrain/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char *const names[] = {"area", "tl-align",      NULL,
                                    "lr",   "lr_base_batch", "weight_decay"};

static const char *nearest(const char *word)
{
    return vt_nearest_name(word, names, sizeof names / sizeof *names);
}

static void finds_the_near_name(void **state)
{
    (void)state;
    assert_string_equal(nearest("tlalign"), "tl-align");
    assert_string_equal(nearest("TL-Align"), "tl-align");
    assert_string_equal(nearest("tl-algin"), "tl-align");
    assert_string_equal(nearest("are"), "area");
    assert_string_equal(nearest("lf"), "lr");
    assert_string_equal(nearest("lr_basebatch"), "lr_base_batch");
    assert_string_equal(nearest("wieght_decay"), "weight_decay");
}

static void far_names_are_no_suggestion(void **state)
{
    (void)state;
    char longer[4096];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_null(nearest(""));
    assert_null(nearest("momentum"));
    assert_null(nearest(longer));
    assert_null(vt_nearest_name("lr", NULL, 0));
}

static void bad_bytes_become_replacements(void **state)
{
    (void)state;
    static const struct {
        const char *text, *valid;
    } cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\xB8", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\xB8"},
        {"caf\xE9.png", "caf\xEF\xBF\xBD.png"},
        {"\xE2\x82", "\xEF\xBF\xBD\xEF\xBF\xBD"},                 // cut off
        {"\xC0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},                 // overlong
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, // a surrogate
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE9 \xC3\xA9", "\xEF\xBF\xBD \xC3\xA9"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *valid = vt_text_utf8(cases[i].text);
        assert_string_equal(valid, cases[i].valid);
        free(valid);
    }
}

static void plurals(void **state)
{
    (void)state;
    assert_string_equal(vt_plural(0), "s");
    assert_string_equal(vt_plural(1), "");
    assert_string_equal(vt_plural(2), "s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_near_name),
        cmocka_unit_test(far_names_are_no_suggestion),
        cmocka_unit_test(bad_bytes_become_replacements),
        cmocka_unit_test(plurals),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
