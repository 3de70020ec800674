// Definitions: what lies over what, the plan, the grid. Results: numbers and verdicts of made-up
// runs.
#include "folder.h"

#include "vitrain/train/experiment.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BASE                                                                            \
    "\"base\": {\"model\": {\"name\": \"vit\", \"image_size\": 16, \"patch_size\": 8, " \
    "\"embed_dim\": 16, \"depth\": 2, \"num_heads\": 2}, "                              \
    "\"data\": {\"train\": \"t\", \"val\": \"v\"}, \"optim\": {\"lr\": 1}, "            \
    "\"mix\": {\"prob\": 0.1, \"mixup\": 0.1, \"cutmix\": 0.1, \"smoothing\": 0.01}}"

static void load(vt_experiment *e, const char *text, const char *const *sets, int n)
{
    const char *path = in_folder("e.json");
    put_file(path, text, strlen(text));
    if (vt_experiment_load(e, path, in_folder("out"), sets, n) != VT_OK)
        fail_msg("%s", vt_error_message());
}

static void test_layers(void **state)
{
    (void)state;
    vt_experiment e;
    const char *const sets[] = {"mix.mixup=0.3", "mix.cutmix=0.3"};
    load(&e,
         "{" BASE ", \"set\": {\"mix.prob\": 0.2, \"mix\": {\"mixup\": 0.2, \"cutmix\": 0.2}},"
         " \"arms\": {\"a\": {\"set\": {\"mix.cutmix\": 0.4, \"data.val\": \"w\"}}, \"b\": {}}}",
         sets, 2);
    const vt_config *a = &e.arms[0].config, *b = &e.arms[1].config;
    assert_true(a->smoothing == 0.01); // the base
    assert_true(a->mix.prob == 0.2);   // set, over it
    assert_true(a->mix.mixup == 0.3);  // --set, over that
    assert_true(a->mix.cutmix == 0.4); // the arm, over all
    assert_true(b->mix.cutmix == 0.3);
    assert_string_equal(a->data.val, in_folder("w")); // beside the definition
    assert_string_equal(b->data.train, in_folder("t"));
    vt_experiment_free(&e);
    vt_experiment_free(&e);
}

static void test_plan(void **state)
{
    (void)state;
    vt_experiment e;
    load(&e,
         "{" BASE ", \"arms\": {\"a\": {\"seeds\": 4}, \"b c\": {}, \"d\": {\"seeds\": [2, 9]}},"
         " \"seeds\": 2, \"baseline\": \"b c\"}",
         NULL, 0);
    const char *const want[] = {"a/seed0", "b-c/seed0", "a/seed2", "d/seed2",
                                "a/seed1", "b-c/seed1", "d/seed9", "a/seed3"};
    assert_int_equal(e.baseline, 1);
    assert_int_equal(e.n_runs, 8);
    for (int i = 0; i < e.n_runs; i++)
        assert_string_equal(e.runs[i].folder + strlen(e.output) + 1, want[i]);
    if (vt_experiment_look(&e) != VT_OK) fail_msg("%s", vt_error_message());
    assert_int_equal(vt_experiment_count(&e, VT_RUN_NOT_BEGUN), 8);
    vt_experiment_free(&e);
}

static void test_grid(void **state)
{
    (void)state;
    vt_experiment e;
    load(&e,
         "{" BASE ", \"grid\": {\"label.rule\": [\"area\", \"tl-align\"], \"mix.prob\": [0.5, 1],"
         " \"how\": {\"x\": {\"mix.mixup\": 0}, \"y\": {\"mix\": {\"cutmix\": 0}}}}, \"seeds\": "
         "[5]}",
         NULL, 0);
    assert_int_equal(e.n_arms, 8);
    assert_string_equal(e.arms[0].name, "label.rule=area mix.prob=0.5 how=x");
    assert_string_equal(e.arms[5].name, "label.rule=tl-align mix.prob=0.5 how=y");
    const vt_config *c = &e.arms[5].config;
    assert_string_equal(c->label_rule, "tl-align");
    assert_true(c->mix.prob == 0.5 && c->mix.cutmix == 0 && c->mix.mixup == 0.1);
    assert_int_equal(e.runs[0].seed, 5);
    vt_experiment_free(&e);
}

static void test_too_much(void **state)
{
    (void)state;
    vt_experiment e;
    char text[8192] = "{" BASE ", \"grid\": {";
    for (int axis = 0; axis < 9; axis++) {
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s\"k%d\": [0, 1]", axis ? ", " : "", axis);
    }
    strcat(text, "}}");
    const char *path = in_folder("e.json");
    put_file(path, text, strlen(text));
    assert_int_equal(vt_experiment_load(&e, path, NULL, NULL, 0), VT_ERR_CONFIG);
    assert_non_null(strstr(vt_error_message(), "at most 256 combinations"));
    assert_null(e.arms);
}

static void finish(vt_experiment *e, int arm, uint64_t seed, double acc1)
{
    for (int i = 0; i < e->n_runs; i++) {
        vt_experiment_run *run = &e->runs[i];
        if (run->arm != arm || run->seed != seed) continue;
        run->state = VT_RUN_FINISHED;
        run->acc1 = acc1;
        run->acc5 = 90;
        run->loss = 1;
    }
}

// Against base: better by 1, 2, 3 (1..3: t 3.46, no); better by 1, 1.1, 1.2; one seed; none.
static void test_results(void **state)
{
    (void)state;
    vt_experiment e;
    vt_arm_result r[5];
    load(&e,
         "{" BASE ", \"arms\": {\"base\": {\"seeds\": 5}, \"some\": {}, \"sure\": {},"
         " \"one\": {}, \"worse|\": {}}, \"seeds\": [1, 2, 3, 9]}",
         NULL, 0);
    for (uint64_t seed = 0; seed < 5; seed++) finish(&e, 0, seed, 50 + (double)seed);
    for (uint64_t seed = 1; seed < 4; seed++) {
        finish(&e, 1, seed, 50 + 2 * (double)seed);
        finish(&e, 2, seed, 51 + 1.1 * (double)seed);
        finish(&e, 4, seed, 41 + 0.9 * (double)seed);
    }
    finish(&e, 3, 1, 60);
    finish(&e, 3, 9, 70); // the baseline has no such seed
    vt_experiment_results(&e, r);
    assert_true(r[0].acc1.n == 5 && r[0].acc1.mean == 52 && r[0].against.difference.n == 0);
    assert_true(r[1].against.difference.n == 3 && r[1].against.difference.mean == 2);
    assert_string_equal(r[1].verdict, "no difference shown");
    assert_string_equal(r[2].verdict, "better");
    assert_true(r[3].acc1.n == 2 && r[3].against.difference.n == 1);
    assert_string_equal(r[3].verdict, "no verdict");
    assert_string_equal(r[4].verdict, "worse");
    assert_true(fabs(r[4].p_holm - 3 * r[4].against.p) < 1e-12); // the smallest of three
    char *table = vt_experiment_table(&e);
    const char *const parts[] = {
        "| base    | 5 | 52.00 ± 1.58 ",
        "| +2.00      | -0.48 to +4.48 | 3     | 0.074   | 0.074   | no diff",
        "| +9.00      | -              | 1     | -       | -       | one seed ", "| worse\\| | 3 |",
        "not adjusted for the 3 comparisons"};
    for (int i = 0; i < 5; i++)
        if (!strstr(table, parts[i])) fail_msg("no \"%s\" in\n%s", parts[i], table);
    free(table);
    vt_experiment_free(&e);
}

// Names that Markdown would read otherwise.
static void test_escapes(void **state)
{
    (void)state;
    vt_experiment e;
    load(&e,
         "{" BASE ", \"title\": \"<b>\", \"arms\": {\"<i>a & b\": {}, \"c|*d*`e`\": {},"
         " \"mix.switch_prob=1 _f_ [g] \\\\ ~\": {}}, \"seeds\": 1}",
         NULL, 0);
    e.runs[0].state = VT_RUN_FAILED;
    e.runs[0].error = strdup("<u>");
    char *table = vt_experiment_table(&e);
    const char *const parts[] = {"# \\<b>\n", "| \\<i>a \\& b ", "| c\\|\\*d\\*\\`e\\` ",
                                 "| mix.switch_prob=1 \\_f\\_ \\[g] \\\\ \\~ ",
                                 "- \\<i>a \\& b, seed 0: \\<u>\n"};
    for (int i = 0; i < 5; i++)
        if (!strstr(table, parts[i])) fail_msg("no \"%s\" in\n%s", parts[i], table);
    free(table);
    vt_experiment_free(&e);
}

// Differences that do not vary tell nothing, but that there are none if they are 0.
static void test_no_spread(void **state)
{
    (void)state;
    vt_experiment e;
    vt_arm_result r[3];
    load(&e, "{" BASE ", \"arms\": {\"a\": {}, \"b\": {}, \"c\": {}}, \"seeds\": 2}", NULL, 0);
    for (uint64_t seed = 0; seed < 2; seed++) {
        finish(&e, 0, seed, 50.1 + (double)seed);
        finish(&e, 1, seed, 50.1 + (double)seed);
        finish(&e, 2, seed, 50.3 + (double)seed);
    }
    vt_experiment_results(&e, r);
    assert_string_equal(r[1].verdict, "no difference shown");
    assert_string_equal(r[2].verdict, "no verdict");
    assert_true(isnan(r[1].against.p) && isnan(r[2].against.low));
    vt_experiment_free(&e);
}

static void test_json(void **state)
{
    (void)state;
    vt_experiment e;
    load(&e, "{" BASE ", \"arms\": {\"a\": {\"seeds\": 1}, \"b\": {\"seeds\": 2}}}", NULL, 0);
    finish(&e, 0, 0, 50);
    finish(&e, 1, 0, 51);
    e.runs[2].state = VT_RUN_FAILED;
    e.runs[2].error = strdup("a \"reason\"");
    vt_json *root = vt_experiment_json(&e);
    const vt_json *b = vt_json_next(vt_json_first(vt_json_get(root, "arms")));
    const vt_json *against = vt_json_get(b, "against_baseline");
    assert_false(vt_json_bool(vt_json_get(root, "finished")));
    assert_true(vt_json_number(vt_json_get(b, "acc1_mean")) == 51);
    assert_int_equal(vt_json_type_of(vt_json_get(b, "acc1_sd")), VT_JSON_NULL);
    assert_true(vt_json_number(vt_json_get(against, "mean")) == 1);
    assert_int_equal(vt_json_type_of(vt_json_get(against, "low")), VT_JSON_NULL);
    const vt_json *runs = vt_json_get(root, "runs");
    const vt_json *last = vt_json_next(vt_json_next(vt_json_first(runs)));
    assert_int_equal(vt_json_size(runs), 3);
    assert_string_equal(vt_json_string(vt_json_get(last, "path")), "b/seed1");
    assert_string_equal(vt_json_string(vt_json_get(last, "state")), "failed");
    assert_string_equal(vt_json_string(vt_json_get(last, "error")), "a \"reason\"");
    assert_int_equal(vt_json_type_of(vt_json_get(last, "acc1")), VT_JSON_NULL);
    vt_json_destroy(root);
    vt_experiment_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers),  cmocka_unit_test(test_plan),
        cmocka_unit_test(test_grid),    cmocka_unit_test(test_too_much),
        cmocka_unit_test(test_results), cmocka_unit_test(test_no_spread),
        cmocka_unit_test(test_json),    cmocka_unit_test(test_escapes),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
