// The suggestion for a misspelt name.
#include "vitrain/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_near_name),
        cmocka_unit_test(far_names_are_no_suggestion),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
