// The configuration: layers, every kind of refusal, and that the resolved form loads to itself.
#include "folder.h"

#include "vitrain/io/file.h"
#include "vitrain/train/config.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static const char *write_config(const char *text)
{
    const char *path = in_folder("c.json");
    put_file(path, text, strlen(text));
    return path;
}

static void load(vt_config *config, const char *text, const char *const *sets, int n)
{
    const char *path = text ? write_config(text) : NULL;
    if (vt_config_load(config, path, sets, n) != VT_OK) fail_msg("%s", vt_error_message());
}

static char *resolved(const vt_config *config)
{
    vt_json *json = vt_config_json(config);
    char *text = vt_json_text(json, true);
    vt_json_destroy(json);
    assert_non_null(text);
    return text;
}

#define SMALL                                                                               \
    "\"model\": {\"name\": \"vit\", \"image_size\": 28, \"patch_size\": 4, \"embed_dim\": " \
    "64, \"depth\": 4, \"num_heads\": 4"

static void test_defaults(void **state)
{
    (void)state;
    vt_config c;
    load(&c, "{" SMALL "}}", NULL, 0);
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
    load(&c, "{\"model\": {\"name\": \"deit_base_patch16_224\", \"depth\": 3}}", sets, 2);
    assert_string_equal(c.model.name, "vit_tiny_patch16_224");
    assert_int_equal(c.model.embed_dim, 192);
    assert_int_equal(c.model.depth, 3);
    assert_int_equal(c.model.image_height, 32);
    assert_int_equal(c.model.image_width, 64);
    assert_true(c.data.augment.mean[0] == 0.5 && c.data.augment.crop_pct == 0.9);
    vt_config_free(&c);
    load(&c, "{\"model\": {\"name\": \"deit3_medium_patch16_224\"}}", NULL, 0);
    assert_true(c.model.embed_dim == 512 && c.model.num_heads == 8 && c.model.no_embed_class);
    assert_true(c.model.layer_scale == 1e-4 && c.data.augment.crop_pct == 1);
    vt_config_free(&c);
    load(&c, "{\"model\": {\"name\": \"deit_base_distilled_patch16_384\"}}", NULL, 0);
    assert_true(c.model.image_width == 384 && c.model.distilled && c.data.augment.crop_pct == 1);
    assert_true(c.model.layer_scale == 0 && !c.model.no_embed_class);
    vt_config_free(&c);
    load(&c, "{\"model\": {\"name\": \"deit_tiny_distilled_patch16_224\"}}", NULL, 0);
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
    load(&c,
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
    load(&c, "{" SMALL "}, \"data\": {\"augment\": {\"crop\": \"pad\"}}}", NULL, 0);
    assert_true(c.data.augment.crop == VT_CROP_PAD && c.data.augment.pad == 4);
    assert_true(c.data.augment.flip == 0.5);
    vt_config_free(&c);
    load(&c, "{" SMALL "}, \"data\": {\"augment\": {\"crop\": \"pad\"}}}", sets, 3);
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
    load(&c, text, sets, 3);
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
    load(&c, text, three, 2);
    assert_true(a->three_augment && a->color_jitter[0] == 0.3 && a->color_jitter[3] == 0 &&
                !a->aa.policy[0]);
    assert_true(a->crop == VT_CROP_SIMPLE && a->pad == 4 && a->flip == 0.5);
    assert_true(a->erase.probability == 0 && a->interpolation == VT_TRAIN_FILTER_BICUBIC);
    vt_config_free(&c);
    load(&c, text, sets, 4);
    assert_true(a->crop == VT_CROP_PAD && a->pad == 4 && a->flip == 0.5 && !a->aa.policy[0]);
    assert_true(a->erase.probability == 0 && a->erase.count == 1);
    vt_config_free(&c);
    load(&c, text, sets, 5);
    assert_true(a->crop == VT_CROP_NONE && a->flip == 0 && !a->aa.policy[0]);
    vt_config_free(&c);
    load(&c, text, sets, 6);
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
        load(&c, "{" SMALL "}}", &cases[i].set, 1);
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

// One key each, as an override on a configuration that is fine: what has to be in the message.
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        vt_status status;
        const char *message;
    } wrong[] = {
        {"optim.lr=abc", VT_ERR_CONFIG, "--set: optim.lr: expected a number > 0, got \"abc\""},
        {"optim.lr=0", VT_ERR_CONFIG, "optim.lr"},
        {"optim.lr=null", VT_ERR_CONFIG, "optim.lr"},
        {"optim.lr=true", VT_ERR_CONFIG, "optim.lr"},
        {"optim.lrr=1", VT_ERR_CONFIG, "unknown key \"optim.lrr\"; did you mean \"optim.lr\"?"},
        {"optin.lr=1", VT_ERR_CONFIG, "did you mean \"optim.lr\"?"},
        {"zzzzzzzzzzzzzzzz=1", VT_ERR_CONFIG, "unknown key \"zzzzzzzzzzzzzzzz\""},
        {"=1", VT_ERR_CONFIG, "expected an object, got 1"},
        {"optim", VT_ERR_CONFIG, "--set optim: expected KEY=VALUE"},
        {"optim=3", VT_ERR_CONFIG, "optim: expected an object, got 3"},
        {"data.augment={\"flop\": 1}", VT_ERR_CONFIG, "unknown key \"data.augment.flop\""},
        {"data.augment=heavy", VT_ERR_CONFIG,
         "expected \"none\", \"light\", \"deit\", \"deit3\", \"cifar\" or an object"},
        {"data.augment=null", VT_ERR_CONFIG, "got null"},
        {"data.augment.aa=rand-m9-x1", VT_ERR_CONFIG,
         "--set: data.augment.aa: rand-m9-x1: unknown section \"x1\"; expected m, n, mstd, inc, w"},
        {"data.augment.aa=original", VT_ERR_CONFIG, "unknown policy \"original\""},
        {"data.augment.aa=9", VT_ERR_CONFIG,
         "data.augment.aa: expected a policy such as \"rand-m9-mstd0.5-inc1\" or null, got 9"},
        {"data.augment.color_jitter=-1", VT_ERR_CONFIG,
         "expected a number or [brightness, contrast, saturation, hue], >= 0, got -1"},
        {"data.augment.color_jitter=[0.4,0.4]", VT_ERR_CONFIG, "data.augment.color_jitter"},
        {"data.augment.color_jitter=[0.4,0.4,0.4,0.51]", VT_ERR_CONFIG,
         "got [0.4, 0.4, 0.4, 0.51]"},
        {"data.augment.color_jitter=[0.4,0.4,0.4,-0.1]", VT_ERR_CONFIG, "color_jitter"},
        {"data.augment.color_jitter=[0.4,0.4,0.4,0.1,0]", VT_ERR_CONFIG, "color_jitter"},
        {"data.augment.color_jitter=[]", VT_ERR_CONFIG, "color_jitter"},
        {"data.augment.color_jitter=true", VT_ERR_CONFIG, "color_jitter"},
        {"data.augment.reprob=2", VT_ERR_CONFIG, "data.augment.reprob"},
        {"data.augment.remode=noise", VT_ERR_CONFIG, "\"const\", \"rand\" or \"pixel\""},
        {"data.augment.recount=0", VT_ERR_CONFIG, "data.augment.recount"},
        {"data.augment.rearea=[0,0.1]", VT_ERR_CONFIG, "data.augment.rearea"},
        {"data.augment.reaspect=[3,1]", VT_ERR_CONFIG, "data.augment.reaspect"},
        {"data.augment.interpolation=nearest", VT_ERR_CONFIG, "\"bicubic\" or \"random\""},
        {"data.augment.scale=[0,1]", VT_ERR_CONFIG, "data.augment.scale"},
        {"data.augment.ratio=[2,1]", VT_ERR_CONFIG, "the first not above the second"},
        {"data.augment.flip=1.01", VT_ERR_CONFIG, "expected a number from 0 to 1, got 1.01"},
        {"data.mean=[0.5]", VT_ERR_CONFIG, "data.mean: expected 3 numbers (model.in_chans), got 1"},
        {"data.mean=[]", VT_ERR_CONFIG, "data.mean"},
        {"data.std=[1,1,0]", VT_ERR_CONFIG, "data.std"},
        {"data.std=[1,1,1,1]", VT_ERR_CONFIG, "data.std"},
        {"data.crop_pct=0", VT_ERR_CONFIG, "data.crop_pct"},
        {"data.train=3", VT_ERR_CONFIG, "expected a path or null, got 3"},
        {"data.train=\"\"", VT_ERR_CONFIG, "expected a path or null, got \"\""},
        {"data.format=tar", VT_ERR_CONFIG, "data.format: expected \"auto\""},
        {"data.decode=draft", VT_ERR_CONFIG, "expected \"exact\" or \"fast\", got \"draft\""},
        {"data.repeated_aug=0", VT_ERR_CONFIG, "data.repeated_aug: expected an integer from 1 to"},
        {"mix.cutmix_minmax=[0.5,0.5]", VT_ERR_CONFIG, "mix.cutmix_minmax"},
        {"mix.cutmix_minmax=[0.5,1.5]", VT_ERR_CONFIG, "mix.cutmix_minmax"},
        {"mix.cutmix_minmax=0.5", VT_ERR_CONFIG, "mix.cutmix_minmax"},
        {"mix.mode=triple", VT_ERR_CONFIG, "\"batch\", \"pair\" or \"elem\""},
        {"mix.correct_lam=1", VT_ERR_CONFIG, "expected true or false, got 1"},
        {"mix.smoothing=1", VT_ERR_CONFIG, "mix.smoothing"},
        {"label.rule=tlalign", VT_ERR_CONFIG, "label.rule: expected"},
        {"optim.name=adam", VT_ERR_CONFIG, "\"adamw\", \"sgd\" or \"lamb\""},
        {"optim.betas=[0.9,1]", VT_ERR_CONFIG, "optim.betas"},
        {"optim.betas=[0.9]", VT_ERR_CONFIG, "optim.betas"},
        {"optim.clip_norm=0", VT_ERR_CONFIG, "expected a number > 0 or null, got 0"},
        {"train.epochs=0", VT_ERR_CONFIG, "train.epochs: expected an integer >= 1, got 0"},
        {"train.epochs=1.5", VT_ERR_CONFIG, "got 1.5"},
        {"train.epochs=3e9", VT_ERR_CONFIG, "train.epochs"},
        {"train.seed=-1", VT_ERR_CONFIG, "train.seed"},
        {"train.seed=1e17", VT_ERR_CONFIG, "train.seed"},
        {"model.init_values=0", VT_ERR_CONFIG, "model.init_values: expected a number > 0 or null"},
        {"model.no_embed_class=1", VT_ERR_CONFIG, "model.no_embed_class: expected true or false"},
        {"model.drop_path_rule=cosine", VT_ERR_CONFIG, "\"linear\" or \"constant\""},
        {"distill.type=hard", VT_ERR_CONFIG, "distill.teacher: expected a path"},
        {"distill={\"type\":\"soft\",\"teacher\":\"t\"}", VT_ERR_CONFIG,
         "model.distilled: expected true"},
        {"distill.type=softest", VT_ERR_CONFIG, "\"none\", \"soft\" or \"hard\""},
        {"distill.model=resnet50", VT_ERR_CONFIG, "distill.model: expected"},
        {"distill.alpha=1.1", VT_ERR_CONFIG, "distill.alpha: expected a number from 0 to 1"},
        {"distill.tau=0", VT_ERR_CONFIG, "distill.tau: expected a number > 0"},
        {"train.loss=mse", VT_ERR_CONFIG, "train.loss: expected \"cross-entropy\" or \"bce\""},
        {"train={\"loss\":\"bce\",\"bce_target\":\"binary\"}", VT_ERR_CONFIG,
         "mix.smoothing: expected 0 with train.bce_target \"binary\""},
        {"train.precision=fp64", VT_ERR_CONFIG, "train.precision"},
        {"train.recompute=all", VT_ERR_CONFIG, "\"none\", \"gelu\" or \"block\""},
        {"train.freeze=head.*", VT_ERR_CONFIG, "train.freeze: expected a list of patterns"},
        {"train.freeze=[\"head.*\", 3]", VT_ERR_CONFIG, "train.freeze"},
        {"train.freeze=[\"\"]", VT_ERR_CONFIG, "train.freeze"},
        {"train.ema_decay=1", VT_ERR_CONFIG, "train.ema_decay: expected a number >= 0 and < 1"},
        {"train.resume=true", VT_ERR_CONFIG, "\"auto\", \"never\" or a path"},
        {"model.name=resnet", VT_ERR_CONFIG, "model.name: expected \"vit\""},
        {"model.name=swin", VT_ERR_CONFIG, "model.depth: \"swin\" takes no such key"},
        {"model.window_size=7", VT_ERR_CONFIG, "model.window_size: \"vit\" takes no such key"},
        {"model.depths=[2,2]", VT_ERR_CONFIG, "model.depths: \"vit\" takes no such key"},
        {"model.depths=[2,0]", VT_ERR_CONFIG, "expected a list of integers >= 1, got [2, 0]"},
        {"model.depths=[]", VT_ERR_CONFIG, "model.depths"},
        {"model.depths=[1,1,1,1,1,1,1,1,1]", VT_ERR_CONFIG, "model.depths"},
        {"model.num_heads=[2,4]", VT_ERR_CONFIG, "model.num_heads: expected one number"},
        {"model.num_heads=\"two\"", VT_ERR_CONFIG, "an integer or a list of integers, >= 1"},
        {"model.image_size=30", VT_ERR_CONFIG, "model.patch_size"},
        {"model.image_size=[28]", VT_ERR_CONFIG, "model.image_size"},
        {"model.image_size=[28,28.5]", VT_ERR_CONFIG, "model.image_size"},
        {"model.num_heads=5", VT_ERR_CONFIG, "model.num_heads"},
        {"model.num_classes=0", VT_ERR_CONFIG, "model.num_classes"},
        {"model.in_chans=2", VT_ERR_CONFIG, "model.in_chans"},
        {"model.in_chans=1", VT_ERR_CONFIG, "data.mean: expected 1 number (model.in_chans), got 3"},
        {"model={\"pool\":\"avg\",\"distilled\":true}", VT_ERR_CONFIG, "model.pool"},
    };
    const char *path = write_config("{" SMALL "}, \"data\": {\"train\": \"t\"}}");
    for (int i = 0; i < COUNT(wrong); i++) {
        vt_config c;
        vt_status status = vt_config_load(&c, path, &wrong[i].set, 1);
        if (status != wrong[i].status || !strstr(vt_error_message(), wrong[i].message))
            fail_msg("%s: %s, \"%s\"", wrong[i].set, vt_status_name(status), vt_error_message());
        assert_null(c.output); // nothing left to free
    }
}

static void test_refused_files(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } wrong[] = {
        {"{\"model\": {\"name\": \"vit\",}}", "c.json:1:26"},
        {"[]", "c.json: expected an object, got []"},
        {"{}", "c.json: model.name: missing"},
        {"{\"model\": {}}", "c.json: model.name: missing"},
        {"{\"model\": {\"name\": 3}}", "c.json: model.name: expected"},
        {"{\"model\": {\"name\": \"vit\"}}", "c.json: model.image_size: missing"},
        {"{" SMALL ", \"depth\": 4}}", "c.json:1"},
        {"{" SMALL "}, \"optim\": {\"lr\": \"abc\"}}", "c.json: optim.lr: expected a number > 0"},
        {"{" SMALL "}, \"optim.lr\": 1}", "c.json: unknown key \"optim.lr\"; inside a file"},
    };
    for (int i = 0; i < COUNT(wrong); i++) {
        vt_config c;
        vt_status status = vt_config_load(&c, write_config(wrong[i].text), NULL, 0);
        if (status != VT_ERR_CONFIG || !strstr(vt_error_message(), wrong[i].message))
            fail_msg("%s: %s, \"%s\"", wrong[i].text, vt_status_name(status), vt_error_message());
    }
    vt_config c;
    assert_int_equal(vt_config_load(&c, in_folder("absent.json"), NULL, 0), VT_ERR_IO);
}

// What DeiT III trains on has no shares; the shares are there to be had.
static void test_loss(void **state)
{
    (void)state;
    vt_config c;
    const char *const sets[] = {"train.loss=bce", "train.bce_target=binary", "mix.smoothing=0",
                                "label.rule=area"};
    load(&c, "{" SMALL "}}", sets, 1);
    assert_true(c.loss.kind == VT_LOSS_BCE && c.loss.target == VT_BCE_SOFT);
    vt_config_free(&c);
    load(&c, "{" SMALL "}}", sets, 4);
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
    load(&c, "{" SMALL "}}", sets, 4);
    assert_int_equal(c.data.augment.channels, 1);
    assert_true(c.data.augment.mean[0] == 0.3);
    char *text = resolved(&c);
    assert_non_null(strstr(text, "\"mean\": [0.3]"));
    free(text);
    vt_config_free(&c);
}

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
    load(&a, "{" SMALL "}}", sets, COUNT(sets));
    char *once = resolved(&a);
    load(&b, once, NULL, 0);
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

static const char *difference(const char *text, const char *set)
{
    vt_config a, b;
    load(&a, text, NULL, 0);
    load(&b, text, &set, 1);
    vt_json *x = vt_config_json(&a), *y = vt_config_json(&b);
    const char *key = vt_config_difference(x, y);
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
        assert_string_equal(difference(text, fixed[i][0]), fixed[i][1]);
    for (int i = 0; i < COUNT(free_to_change); i++)
        assert_null(difference(text, free_to_change[i]));
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
        load(&c, "{" SMALL "}}", &cases[i].set, 1);
        char *text = resolved(&c), *key = strstr(text, cases[i].member);
        vt_json *now = vt_config_json(&c), *old = NULL;
        assert_non_null(key);
        memset(key, ' ', strcspn(key, ",") + 1);
        assert_int_equal(vt_json_parse(&old, text, strlen(text), "old"), VT_OK);
        const char *difference = vt_config_difference(old, now);
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
    load(&c, "{" SMALL "}}", NULL, 0);
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

// Overrides alone; without a model where a weights file will say what it is.
static void test_no_file(void **state)
{
    (void)state;
    vt_config c;
    const char *const sets[] = {"model.name=deit_tiny_patch16_224", "model.name=no",
                                "train.threads=1"};
    load(&c, NULL, sets, 1);
    assert_int_equal(c.model.embed_dim, 192);
    vt_config_free(&c);
    load(&c, NULL, sets + 2, 1);
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
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_files),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_grey),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_difference_of_versions),
        cmocka_unit_test(test_difference),
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests_name("config", tests, folder_make, folder_remove);
}
