// json.c: what is accepted, what is refused and where, numbers to the last bit.
#include "vitrain/io/json.h"

#include "folder.h"

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

static vt_json *parsed(const char *text)
{
    vt_json *root = NULL;
    vt_status status = vt_json_parse(&root, text, strlen(text), "doc");
    if (status != VT_OK) fail_msg("%s: %s", text, vt_error_message());
    return root;
}

static void test_views(void **state)
{
    (void)state;
    vt_json *root = parsed(" {\"n\": -1.5e2, \"s\": \"a\\u00e9\\n\", \"t\": true, \"f\": false,"
                           " \"z\": null, \"a\": [1, [], {\"n\": 0}], \"N\": 3} \r\n\t");
    assert_int_equal(vt_json_type_of(root), VT_JSON_OBJECT);
    assert_int_equal(vt_json_size(root), 7);
    assert_true(vt_json_number(vt_json_get(root, "n")) == -150);
    assert_true(vt_json_number(vt_json_get(root, "N")) == 3); // keys are case-sensitive
    assert_string_equal(vt_json_string(vt_json_get(root, "s")), "a\xc3\xa9\n");
    assert_true(vt_json_bool(vt_json_get(root, "t")));
    assert_false(vt_json_bool(vt_json_get(root, "f")));
    assert_int_equal(vt_json_type_of(vt_json_get(root, "z")), VT_JSON_NULL);
    const vt_json *array = vt_json_get(root, "a");
    assert_int_equal(vt_json_type_of(array), VT_JSON_ARRAY);
    assert_int_equal(vt_json_size(array), 3);
    assert_null(vt_json_key(vt_json_first(array)));
    assert_null(vt_json_first(vt_json_next(vt_json_first(array))));
    assert_string_equal(vt_json_key(array), "a");
    assert_null(vt_json_next(vt_json_next(vt_json_next(vt_json_first(array)))));
    assert_null(vt_json_get(root, "absent"));
    assert_string_equal(vt_json_type_name(VT_JSON_ARRAY), "an array");
    vt_json_destroy(root);
    vt_json_destroy(NULL);
}

// Every text is refused at the place that stands beside it.
static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"", "doc:1:1: "},
        {"  \n ", "doc:2:2: "},
        {"{\"a\": 1,\n \"b\" 2}", "doc:2:6: "},
        {"{\"a\": 1\n \"b\": 2}", "doc:2:2: "},
        {"{\"a\": 1,}", "doc:1:9: expected a key"},
        {"[1, 2,]", "doc:1:7: "},
        {"[1, 2", "doc:1:6: "},
        {"{\"a\": tru}", "doc:1:7: "},
        {"{'a': 1}", "doc:1:2: expected a key"},
        {"[1] 2", "doc:1:5: "},
        {"{}\n{}", "doc:2:1: "},
        {"nul", "doc:1:1: "},
        {"{\"a\": \"b\n\"}", "doc:1:9: control character"},
        {"{\"a\": \"b", "doc:1:7: "},
        {"\"\\u0000\"", "doc:1:2: NUL"},
        {"[01]", "doc:1:2: not a number"},
        {"[1.]", "doc:1:2: not a number"},
        {"[.5]", "doc:1:2: "},
        {"[-]", "doc:1:2: not a number"},
        {"[1e]", "doc:1:2: not a number"},
        {"[0x10]", "doc:1:3: "},
        {"[1e400]", "doc:1:2: a number too large"},
        {"[NaN]", "doc:1:2: "},
        {"[1,\v2]", "doc:1:4: control character"},
        {"{\"a\": 1,\n \"b\": {\"a\": 2},\n \"a\" : 3}", "doc:3:2: this key"},
        {"{\"x\": [\"a\", {\"b\": 1, \"c\": \"b\", \"b\": 2}], \"x2\": 0}", "doc:1:32: this key"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_json *root = NULL;
        const char *text = cases[i].text, *place = cases[i].place;
        assert_int_equal(vt_json_parse(&root, text, strlen(text), "doc"), VT_ERR_FORMAT);
        assert_null(root);
        if (strncmp(vt_error_message(), place, strlen(place)) != 0) {
            fail_msg("%s: expected %s, got %s", text, place, vt_error_message());
        }
    }
    vt_json *root = NULL;
    assert_int_equal(vt_json_parse(&root, "1\0", 2, "doc"), VT_ERR_FORMAT);
    assert_non_null(strstr(vt_error_message(), "doc:1:2: NUL"));
}

static void test_nesting(void **state)
{
    (void)state;
    enum { DEEP = 200000 };
    char *text = malloc(DEEP);
    memset(text, '[', DEEP);
    vt_json *root = NULL;
    assert_int_equal(vt_json_parse(&root, text, DEEP, "doc"), VT_ERR_FORMAT);
    assert_non_null(strstr(vt_error_message(), "doc:1:65: nested deeper than 64"));
    memset(text + 64, ']', 64);
    assert_int_equal(vt_json_parse(&root, text, 128, "doc"), VT_OK);
    vt_json_destroy(root);
    free(text);
}

// No prefix and no change of one byte of a valid text may do harm. The text has no terminator.
static void test_mutations(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\": [1, -2.5e-3, {\"b\\u00e9\": null}], \"c\": \"\\\"\", \"d\":true}";
    enum { BYTES = sizeof text - 1 };
    for (size_t n = 0; n <= BYTES; n++) {
        char *exact = malloc(n ? n : 1);
        memcpy(exact, text, n);
        vt_json *root = NULL;
        assert_int_equal(vt_json_parse(&root, exact, n, "doc"), n < BYTES ? VT_ERR_FORMAT : VT_OK);
        vt_json_destroy(root);
        for (size_t at = 0; at < n && n == BYTES; at++) {
            for (int c = 0; c < 256; c++) {
                exact[at] = (char)c;
                root = NULL;
                vt_status status = vt_json_parse(&root, exact, n, "doc");
                assert_true((status == VT_OK) == (root != NULL));
                vt_json_destroy(root);
            }
            exact[at] = text[at];
        }
        free(exact);
    }
}

static double through_text(double value)
{
    vt_json *object = vt_json_new_object();
    vt_json_add_number(object, "value", value);
    char *text = vt_json_text(object, false);
    assert_null(strchr(text, ','));
    vt_json *back = parsed(text);
    double got = vt_json_number(vt_json_first(back));
    vt_json_destroy(object);
    vt_json_destroy(back);
    free(text);
    return got;
}

static void test_numbers_round_trip(void **state)
{
    (void)state;
    static const double values[] = {0,     -0.0,  1,      0.1,         1 / 3.0,
                                    5e-4,  1e22,  -1e300, 0x1p-1074,   0x1.fffffffffffffp1023,
                                    1e-05, 1e100, 0.3,    0.1 + 0.2,   9007199254740993.0,
                                    255,   -7,    1e15,   2147483648., 3.141592653589793};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        double got = through_text(values[i]);
        assert_memory_equal(&got, &values[i], sizeof got);
    }
    uint64_t bits = 1;
    for (int i = 0; i < 2000; i++) {
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        double value, got;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        got = through_text(value);
        assert_memory_equal(&got, &value, sizeof got);
    }
    static const char *const commas[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE"};
    bool set = false;
    for (int i = 0; i < 3 && !set; i++) set = setlocale(LC_NUMERIC, commas[i]) != NULL;
    if (set) assert_true(through_text(1.5) == 1.5);
    setlocale(LC_NUMERIC, "C");
}

static void test_text(void **state)
{
    (void)state;
    vt_json *root = vt_json_new_object();
    vt_json *betas = vt_json_add_array(root, "betas");
    vt_json_add_number(betas, NULL, 0.9);
    vt_json_add_number(betas, NULL, 0.999);
    vt_json *inner = vt_json_add_object(root, "in\"ner");
    vt_json_add_string(inner, "s", "tab\t, \x01, \xc3\xa9, \\");
    vt_json_add_bool(inner, "b", false);
    vt_json_add_null(inner, "z");
    vt_json_add_number(inner, "nan", NAN);
    vt_json_add_object(inner, "none");
    vt_json_add_number(root, "big", 1e6);
    vt_json_put_copy(root, "betas", vt_json_get(inner, "b")); // takes the old one's place
    vt_json *list = parsed("[]"), *copy = vt_json_new_copy(list);
    vt_json_put_copy(root, "copy", copy);
    vt_json_destroy(copy);
    vt_json_destroy(list);

    char *text = vt_json_text(root, false);
    assert_string_equal(text,
                        "{\"betas\": false, \"in\\\"ner\": {\"s\": \"tab\\t, \\u0001, \xc3\xa9, "
                        "\\\\\", \"b\": false, \"z\": null, \"nan\": null, \"none\": {}}, "
                        "\"big\": 1000000, \"copy\": []}");
    vt_json *back = parsed(text);
    char *again = vt_json_text(back, false);
    assert_string_equal(text, again);
    free(text), free(again);
    vt_json_destroy(back);
    vt_json_destroy(root);

    root = parsed("{\"a\":[1,2],\"b\":{\"c\":[]},\"d\":[{\"e\":1},2]}");
    text = vt_json_text(root, true);
    assert_string_equal(text, "{\n  \"a\": [1, 2],\n  \"b\": {\n    \"c\": []\n  },\n"
                              "  \"d\": [\n    {\n      \"e\": 1\n    },\n    2\n  ]\n}");
    free(text);
    vt_json_destroy(root);
    assert_null(vt_json_text(NULL, false));
}

static int allocations_left;

static void *scarce(size_t bytes)
{
    return allocations_left-- > 0 ? malloc(bytes) : NULL;
}

// Wherever memory runs out, there is no text, rather than one that lacks something.
static void test_out_of_memory(void **state)
{
    (void)state;
    char *text = NULL;
    for (int most = 0; !text; most++) {
        assert_true(most < 100);
        allocations_left = most;
        cJSON_InitHooks(&(cJSON_Hooks){scarce, free});
        vt_json *root = vt_json_new_object(), *inner = vt_json_add_object(root, "inner");
        vt_json_add_number(vt_json_add_array(inner, "list"), NULL, 1);
        vt_json_put_copy(root, "inner", inner ? vt_json_first(inner) : NULL);
        vt_json_add_string(root, "last", "text");
        cJSON_InitHooks(NULL);
        text = vt_json_text(root, false);
        vt_json_destroy(root);
    }
    assert_string_equal(text, "{\"inner\": [1], \"last\": \"text\"}");
    free(text);
}

static void test_read(void **state)
{
    (void)state;
    vt_json *root = NULL;
    const char *path = in_folder("a.json");
    assert_int_equal(vt_json_read(&root, path, 100), VT_ERR_IO);
    put_file(path, "{\"a\": 1}", 8);
    assert_int_equal(vt_json_read(&root, path, 7), VT_ERR_FORMAT);
    assert_int_equal(vt_json_read(&root, path, 8), VT_OK);
    vt_json_destroy(root);
    put_file(path, "{\"a\" 1}", 7);
    assert_int_equal(vt_json_read(&root, path, 100), VT_ERR_FORMAT);
    assert_non_null(strstr(vt_error_message(), "a.json:1:6: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_nesting), cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_text),    cmocka_unit_test(test_numbers_round_trip),
        cmocka_unit_test(test_read),    cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
