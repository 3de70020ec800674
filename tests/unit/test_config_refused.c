// The configuration: every kind of refusal.
#include "config_text.h"
#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

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
        {"lr=1", VT_ERR_CONFIG, "unknown key \"lr\"; did you mean \"optim.lr\"?"},
        {"train.lr=1", VT_ERR_CONFIG, "did you mean \"optim.lr\"?"},
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
        {"model.mlp_ratio=0.01", VT_ERR_CONFIG,
         "model.mlp_ratio: expected an MLP at least 1 wide, so a number >= 0.0156 for "
         "model.embed_dim 64, got 0.01"},
        {"model.mlp_ratio=65", VT_ERR_CONFIG, "expected a number > 0 and <= 64, got 65"},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_files),
    };
    return cmocka_run_group_tests_name("config_refused", tests, folder_make, folder_remove);
}
