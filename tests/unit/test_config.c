// The configuration: layers, presets, and what keys of a few forms are read as.
#include "config_text.h"
#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void test_defaults(void **state)
{
    (void)state;
    vt_config c;
    load_config(&c, "{" SMALL "}}", NULL, 0);
    assert_string_equal(c.model.family, "vit");
    assert_true(c.model.mlp_ratio == 4 && c.model.drop_path == 0.1 && c.model.qkv_bias);
    assert_int_equal(c.model.num_classes, 1000); // no data to follow
    assert_true(c.classes_given);
    assert_null(c.data.train);
    assert_true(c.data.augment.crop == VT_CROP_RRC && c.data.augment.flip == 0.5);
    assert_true(c.data.augment.scale[0] == 0.08 && c.data.augment.ratio[1] == 4.0 / 3);
    assert_int_equal(c.data.augment.height, 28);
    assert_int_equal(c.data.augment.channels, 3);
    assert_int_equal(c.data.max_pixels, 178956970);
    assert_true(c.mix.cutmix == 1 && c.mix.mixup == 0 && c.mix.prob == 1 && !c.mix.has_minmax);
    assert_true(c.mix.grid == VT_MIX_TOKEN && c.mix.box == VT_BOX_EXACT && c.smoothing == 0.1);
    assert_string_equal(c.label_rule, "tl-align");
    assert_true(c.optim.lr == 5e-4 && c.optim.lr_base_batch == 512 && c.optim.clip_norm == 0);
    assert_true(c.optim.betas[1] == 0.999 && c.schedule.compat == VT_SCHEDULE_EXACT);
    assert_int_equal(c.train.epochs * c.train.batch_size * c.train.accumulate, 300 * 1024);
    assert_int_equal(c.train.precision, VT_PRECISION_AUTO);
    assert_string_equal(c.train.resume, "auto");
    assert_non_null(strstr(c.output, "/runs/c"));
    vt_config_free(&c);
    vt_config_free(&c);
}

static void test_preset(void **state)
{
    (void)state;
    vt_config c;
    const char *const sets[] = {"model.name=vit_tiny_patch16_224", "model.image_size=[32, 64]"};
    load_config(&c, "{\"model\": {\"name\": \"deit_base_patch16_224\", \"depth\": 3}}", sets, 2);
    assert_string_equal(c.model.name, "vit_tiny_patch16_224");
    assert_int_equal(c.model.embed_dim, 192);
    assert_int_equal(c.model.depth, 3);
    assert_int_equal(c.model.image_height, 32);
    assert_int_equal(c.model.image_width, 64);
    assert_true(c.data.augment.mean[0] == 0.5 && c.data.augment.crop_pct == 0.9);
    vt_config_free(&c);
    load_config(&c, "{\"model\": {\"name\": \"deit3_medium_patch16_224\"}}", NULL, 0);
    assert_true(c.model.embed_dim == 512 && c.model.num_heads == 8 && c.model.no_embed_class);
    assert_true(c.model.layer_scale == 1e-4 && c.data.augment.crop_pct == 1);
    vt_config_free(&c);
    load_config(&c, "{\"model\": {\"name\": \"deit_base_distilled_patch16_384\"}}", NULL, 0);
    assert_true(c.model.image_width == 384 && c.model.distilled && c.data.augment.crop_pct == 1);
    assert_true(c.model.layer_scale == 0 && !c.model.no_embed_class);
    vt_config_free(&c);
    load_config(&c, "{\"model\": {\"name\": \"deit_tiny_distilled_patch16_224\"}}", NULL, 0);
    assert_true(c.model.distilled && c.data.augment.mean[0] == 0.485);
    assert_true(c.data.augment.crop_pct == 0.875);
    vt_config_free(&c);
}

static void test_paths(void **state)
{
    (void)state;
    vt_config c;
    char cwd[1024], expected[2048];
    const char *const sets[] = {"data.val=v", "train.resume=r.safetensors"};
    assert_non_null(getcwd(cwd, sizeof cwd));
    load_config(&c,
                "{" SMALL "}, \"data\": {\"train\": \"t\"}, \"train\": {\"init\": \"/w\"},"
                " \"output\": \"o\"}",
                sets, 2);
    assert_string_equal(c.data.train, in_folder("t")); // relative to the file
    snprintf(expected, sizeof expected, "%s/v", cwd);
    assert_string_equal(c.data.val, expected);
    snprintf(expected, sizeof expected, "%s/r.safetensors", cwd);
    assert_string_equal(c.train.resume, expected);
    snprintf(expected, sizeof expected, "%s/o", cwd);
    assert_string_equal(c.output, expected);
    assert_string_equal(c.train.init, "/w");
    assert_false(c.classes_given); // they follow the data
    assert_int_equal(c.model.num_classes, 0);
    vt_config_free(&c);
}

static void test_augment(void **state)
{
    (void)state;
    vt_config c;
    const char *const sets[] = {"data.augment=none", "data.augment.flip=0.25",
                                "data.augment={\"pad\": 8}"};
    load_config(&c, "{" SMALL "}, \"data\": {\"augment\": {\"crop\": \"pad\"}}}", NULL, 0);
    assert_true(c.data.augment.crop == VT_CROP_PAD && c.data.augment.pad == 4);
    assert_true(c.data.augment.flip == 0.5);
    vt_config_free(&c);
    load_config(&c, "{" SMALL "}, \"data\": {\"augment\": {\"crop\": \"pad\"}}}", sets, 3);
    assert_true(c.data.augment.crop == VT_CROP_NONE && c.data.augment.flip == 0.25);
    assert_int_equal(c.data.augment.pad, 8);
    vt_config_free(&c);
}

// A name sets all of data.augment.*, whatever came before; an object single values.
static void test_augment_presets(void **state)
{
    (void)state;
    vt_config c;
    const char *const sets[] = {"data.augment={\"color_jitter\": 0.4, \"scale\": [0.5, 1]}",
                                "data.augment=deit",
                                "data.augment.recount=3",
                                "data.augment=cifar",
                                "data.augment=none",
                                "data.augment=light"};
    const char *text = "{" SMALL "}, \"data\": {\"interpolation\": \"bilinear\"}}";
    const vt_augment_config *a = &c.data.augment;
    load_config(&c, text, sets, 3);
    assert_string_equal(a->aa.policy, "rand-m9-mstd0.5-inc1");
    assert_true(a->aa.magnitude == 9 && a->aa.deviation == 0.5 && a->aa.increasing);
    assert_true(a->crop == VT_CROP_RRC && a->scale[0] == 0.08 && a->flip == 0.5);
    assert_true(a->color_jitter[0] == 0 && a->interpolation == VT_TRAIN_FILTER_BICUBIC);
    assert_true(a->erase.probability == 0.25 && a->erase.mode == VT_ERASE_PIXEL);
    assert_true(a->erase.count == 3 && a->erase.area[0] == 0.02 && a->erase.area[1] == 1.0 / 3);
    assert_true(a->erase.aspect[0] == 0.3 && a->erase.aspect[1] == 1 / 0.3);
    assert_int_equal(a->filter, VT_FILTER_BILINEAR); // not the preset's
    vt_config_free(&c);
    assert_false(a->three_augment);
    const char *const three[] = {"data.augment=deit3", "data.augment.crop=simple"};
    load_config(&c, text, three, 2);
    assert_true(a->three_augment && a->color_jitter[0] == 0.3 && a->color_jitter[3] == 0 &&
                !a->aa.policy[0]);
    assert_true(a->crop == VT_CROP_SIMPLE && a->pad == 4 && a->flip == 0.5);
    assert_true(a->erase.probability == 0 && a->interpolation == VT_TRAIN_FILTER_BICUBIC);
    vt_config_free(&c);
    load_config(&c, text, sets, 4);
    assert_true(a->crop == VT_CROP_PAD && a->pad == 4 && a->flip == 0.5 && !a->aa.policy[0]);
    assert_true(a->erase.probability == 0 && a->erase.count == 1);
    vt_config_free(&c);
    load_config(&c, text, sets, 5);
    assert_true(a->crop == VT_CROP_NONE && a->flip == 0 && !a->aa.policy[0]);
    vt_config_free(&c);
    load_config(&c, text, sets, 6);
    assert_true(a->crop == VT_CROP_RRC && a->flip == 0.5 && !a->aa.policy[0]);
    assert_true(a->interpolation == VT_TRAIN_FILTER_SAME && a->erase.probability == 0);
    vt_config_free(&c);
}

// A number, three or four; written back as short as it was meant.
static void test_color_jitter(void **state)
{
    (void)state;
    static const struct {
        const char *set, *written;
        double strength[VT_JITTERS];
    } cases[] = {
        {"data.augment.color_jitter=0.4", "\"color_jitter\": 0.4,", {0.4, 0.4, 0.4, 0}},
        {"data.augment.color_jitter=[0.4,0.3,0.2]",
         "\"color_jitter\": [0.4, 0.3, 0.2],",
         {0.4, 0.3, 0.2, 0}},
        {"data.augment.color_jitter=[0.4,0.4,0.4,0.1]",
         "\"color_jitter\": [0.4, 0.4, 0.4, 0.1],",
         {0.4, 0.4, 0.4, 0.1}},
        {"data.augment.color_jitter=[0,0,0,0.5]",
         "\"color_jitter\": [0, 0, 0, 0.5],",
         {0, 0, 0, 0.5}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_config c;
        load_config(&c, "{" SMALL "}}", &cases[i].set, 1);
        assert_memory_equal(c.data.augment.color_jitter, cases[i].strength,
                            sizeof cases[i].strength);
        vt_json *json = vt_config_json(&c);
        char *text = vt_json_text(json, false);
        assert_non_null(text);
        if (!strstr(text, cases[i].written)) fail_msg("%s: %s", cases[i].set, text);
        free(text);
        vt_json_destroy(json);
        vt_config_free(&c);
    }
}

// What DeiT III trains on has no shares; the shares are there to be had.
static void test_loss(void **state)
{
    (void)state;
    vt_config c;
    const char *const sets[] = {"train.loss=bce", "train.bce_target=binary", "mix.smoothing=0",
                                "label.rule=area"};
    load_config(&c, "{" SMALL "}}", sets, 1);
    assert_true(c.loss.kind == VT_LOSS_BCE && c.loss.target == VT_BCE_SOFT);
    vt_config_free(&c);
    load_config(&c, "{" SMALL "}}", sets, 4);
    assert_true(c.loss.target == VT_BCE_BINARY);
    vt_config_free(&c);
    assert_int_equal(vt_config_load(&c, write_config("{" SMALL "}}"), sets, 3), VT_ERR_CONFIG);
    assert_non_null(strstr(vt_error_message(), "label.rule: expected \"area\""));
}

// Grey data: one number each, and what config.json says of it.
static void test_grey(void **state)
{
    (void)state;
    vt_config c;
    const char *const sets[] = {"model.in_chans=1", "data.mean=[0.3]", "data.std=[0.2]",
                                "data.train=t"};
    load_config(&c, "{" SMALL "}}", sets, 4);
    assert_int_equal(c.data.augment.channels, 1);
    assert_true(c.data.augment.mean[0] == 0.3);
    char *text = resolved(&c);
    assert_non_null(strstr(text, "\"mean\": [0.3]"));
    free(text);
    vt_config_free(&c);
}

// Overrides alone; without a model where a weights file will say what it is.
static void test_no_file(void **state)
{
    (void)state;
    vt_config c;
    const char *const sets[] = {"model.name=deit_tiny_patch16_224", "model.name=no",
                                "train.threads=1"};
    load_config(&c, NULL, sets, 1);
    assert_int_equal(c.model.embed_dim, 192);
    vt_config_free(&c);
    load_config(&c, NULL, sets + 2, 1);
    assert_string_equal(c.model.name, "");
    vt_config_free(&c);
    assert_int_equal(vt_config_load(&c, NULL, sets, 2), VT_ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_preset),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_augment),
        cmocka_unit_test(test_augment_presets),
        cmocka_unit_test(test_color_jitter),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_grey),
        cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests_name("config", tests, folder_make, folder_remove);
}
