// The resolved configuration: it loads to itself, and tells what makes two runs different. The
// shipped files and the reference in the README.
#include "config_text.h"
#include "folder.h"

#include "vitrain/io/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const sets[] = {
        "model.image_size=[28, 32]",
        "model.num_classes=7",
        "data.train=t",
        "data.workers=0",
        "mix.cutmix_minmax=[0, 0.5]",
        "mix.mode=elem",
        "optim.lr_base_batch=null",
        "optim.lr=0.1234567890123456",
        "optim.name=sgd",
        "optim.clip_norm=1",
        "train.seed=7",
        "train.freeze=[\"head.bias\"]",
        "train.freeze=[\"patch_embed.*\", \"blocks.[0-5].*\"]",
        "train.resume=never",
        "schedule.compat=deit",
        "data.interpolation=bilinear",
        "data.augment=deit",
        "data.augment.aa=rand-m7-n3-p0.25-w0",
        "data.augment.interpolation=random",
    };
    vt_config a, b;
    load_config(&a, "{" SMALL "}}", sets, COUNT(sets));
    char *once = resolved(&a);
    load_config(&b, once, NULL, 0);
    char *twice = resolved(&b);
    assert_string_equal(once, twice);
    assert_true(b.optim.lr == 0.1234567890123456 && b.optim.lr_base_batch == 0);
    assert_true(b.mix.has_minmax && b.mix.mode == VT_MIX_ELEM);
    assert_true(b.data.augment.filter == VT_FILTER_BILINEAR && b.train.seed == 7);
    assert_true(b.data.augment.aa.operations == 3 && b.data.augment.aa.weighted);
    assert_true(b.data.augment.erase.area[1] == 1.0 / 3);
    assert_int_equal(b.train.freeze.count, 2);
    assert_string_equal(b.train.freeze.text[1], "blocks.[0-5].*");
    free(once);
    free(twice);
    vt_config_free(&a);
    vt_config_free(&b);
}

static const char *difference(const char *text, const char *set, bool same_data)
{
    vt_config a, b;
    load_config(&a, text, NULL, 0);
    load_config(&b, text, &set, 1);
    vt_json *x = vt_config_json(&a), *y = vt_config_json(&b);
    const char *key = vt_config_difference(x, y, same_data);
    vt_json_destroy(x);
    vt_json_destroy(y);
    vt_config_free(&a);
    vt_config_free(&b);
    return key;
}

static void test_difference(void **state)
{
    (void)state;
    const char *text = "{" SMALL "}}";
    static const char *const fixed[][2] = {
        {"model.drop=0.5", "model.drop"},
        {"data.augment.flip=0", "data.augment.flip"},
        {"data.augment.aa=rand", "data.augment.aa"},
        {"data.augment=deit", "data.augment.interpolation"},
        {"mix.cutmix_minmax=[0,1]", "mix.cutmix_minmax"},
        {"data.repeated_aug=3", "data.repeated_aug"},
        {"label.rule=area", "label.rule"},
        {"optim.lr=1", "optim.lr"},
        {"train.batch_size=1", "train.batch_size"},
        {"train.ema_decay=0.9", "train.ema_decay"},
        {"train.freeze=[\"head.*\"]", "train.freeze"},
        {"train.loss=bce", "train.loss"},
        {"distill.tau=2", "distill.tau"},
    };
    static const char *const free_to_change[] = {
        "train.epochs=400",  "train.threads=1",    "data.workers=0",     "output=x",
        "train.log_every=1", "optim.lr=0.0005",    "data.augment=light", "train.precision=fp32",
        "mix.prob=1.0",      "train.resume=never",
    };
    for (int i = 0; i < COUNT(fixed); i++)
        assert_string_equal(difference(text, fixed[i][0], true), fixed[i][1]);
    for (int i = 0; i < COUNT(free_to_change); i++)
        assert_null(difference(text, free_to_change[i], false));
    const char *counted = "{" SMALL ", \"num_classes\": 3}}";
    static const char *const places[][2] = {{"data.train=x", "data.train"},
                                            {"data.val=x", "data.val"},
                                            {"data.format=idx", "data.format"},
                                            {"data.class_map=x", "data.class_map"}};
    for (int i = 0; i < COUNT(places); i++) {
        assert_string_equal(difference(counted, places[i][0], false), places[i][1]);
        assert_null(difference(counted, places[i][0], true));
    }
    assert_null(difference("{" SMALL
                           ", \"num_classes\": 3}, \"data\": {\"train\": \"/\xEF\xBF\xBD\"}}",
                           "data.train=/\xE9", false)); // as a state has it in its metadata
}

// A run of a version that did not know a key goes on with the default, and with nothing else.
static void test_difference_of_versions(void **state)
{
    (void)state;
    static const struct {
        const char *set, *member, *difference;
    } cases[] = {
        {"data.repeated_aug=1", "\"repeated_aug\"", NULL},
        {"data.repeated_aug=3", "\"repeated_aug\"", "data.repeated_aug"},
        {"optim.layer_decay=1", "\"layer_decay\"", NULL},
        {"optim.layer_decay=0.75", "\"layer_decay\"", "optim.layer_decay"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_config c;
        load_config(&c, "{" SMALL "}}", &cases[i].set, 1);
        char *text = resolved(&c), *key = strstr(text, cases[i].member);
        vt_json *now = vt_config_json(&c), *old = NULL;
        assert_non_null(key);
        memset(key, ' ', strcspn(key, ",") + 1);
        assert_int_equal(vt_json_parse(&old, text, strlen(text), "old"), VT_OK);
        const char *difference = vt_config_difference(old, now, true);
        if (cases[i].difference)
            assert_string_equal(difference, cases[i].difference);
        else
            assert_null(difference);
        vt_json_destroy(old);
        vt_json_destroy(now);
        free(text);
        vt_config_free(&c);
    }
}

static void load_file(vt_config *config, const char *path)
{
    if (vt_config_load(config, path, NULL, 0) != VT_OK) fail_msg("%s", vt_error_message());
}

// The configurations that come with the project.
static void test_configs(void **state)
{
    (void)state;
    static const char *const sizes[] = {"t", "s", "b"};
    for (int i = 0; i < COUNT(sizes); i++) {
        char path[2][64];
        vt_config c[2];
        snprintf(path[0], sizeof path[0], "configs/deit_%s.json", sizes[i]);
        snprintf(path[1], sizeof path[1], "configs/deit_%s_cutmix.json", sizes[i]);
        for (int k = 0; k < 2; k++) load_file(&c[k], path[k]);
        assert_string_equal(c[0].label_rule, "tl-align");
        assert_string_equal(c[0].data.augment.aa.policy, "rand-m9-mstd0.5-inc1");
        assert_true(c[0].data.augment.erase.probability == 0.25);
        assert_string_equal(c[1].label_rule, "area");
        assert_int_equal(c[0].train.batch_size * c[0].train.accumulate, 1024);
        assert_int_equal(c[0].data.repeated_aug, 3);
        assert_string_not_equal(c[0].output, c[1].output);
        // Twins: the same but for the rule and the folder.
        for (int k = 0; k < 2; k++) {
            free(c[k].output);
            c[k].output = strdup("/o");
        }
        free(c[1].label_rule);
        c[1].label_rule = strdup("tl-align");
        char *a = resolved(&c[0]), *b = resolved(&c[1]);
        assert_string_equal(a, b);
        free(a);
        free(b);
        vt_config_free(&c[0]);
        vt_config_free(&c[1]);
    }
    vt_config third; // DeiT III's published command
    load_file(&third, "configs/deit3_s.json");
    assert_true(third.model.layer_scale == 1e-4 && third.model.no_embed_class);
    assert_true(third.model.drop_path_rule == VT_DROP_PATH_CONSTANT);
    assert_int_equal(third.train.batch_size * third.train.accumulate, 2048);
    assert_true(third.optim.lr == 4e-3 && third.optim.lr_base_batch == 0);
    assert_true(third.data.augment.three_augment && third.data.augment.crop_pct == 1);
    assert_true(third.loss.kind == VT_LOSS_BCE && third.loss.target == VT_BCE_BINARY);
    vt_config_free(&third);
    static const char *const others[] = {"configs/quickstart.json", "configs/imagenette64_vit.json",
                                         "configs/imagenette_finetune.json",
                                         "configs/cifar10_finetune.json"};
    for (int i = 0; i < COUNT(others); i++) {
        vt_config c;
        load_file(&c, others[i]);
        assert_true(c.mix.prob > 0);
        vt_config_free(&c);
    }
}

static void test_reference(void **state)
{
    (void)state;
    vt_config c;
    load_config(&c, "{" SMALL "}}", NULL, 0);
    char *markdown = vt_config_reference(true), *text = vt_config_reference(false);
    assert_non_null(strstr(markdown, "\n| `optim.lr` | a number > 0 | `5e-4` |"));
    assert_non_null(strstr(text, "\n  mix.prob (1)\n"));
    unsigned char *readme; // shows the table as it is
    size_t bytes;
    assert_int_equal(vt_file_read(&readme, &bytes, "README.md", 1 << 20), VT_OK);
    assert_non_null(strstr((char *)readme, markdown));
    free(readme);
    free(markdown);
    free(text);
    vt_config_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_difference),
        cmocka_unit_test(test_difference_of_versions),
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_reference),
    };
    return cmocka_run_group_tests_name("config_resolved", tests, folder_make, folder_remove);
}
