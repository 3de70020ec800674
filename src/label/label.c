// What all label rules have in common: choosing one, batches in which nothing is mixed, the target.
#include "vitrain/label/label.h"

#include "vitrain/base/text.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define MAX_RULES 16

static vt_status unknown_rule(const char *rule)
{
    const char *names[MAX_RULES];
    char known[32 * MAX_RULES] = "";
    size_t count = 0, length = 0;
    for (; vt_label_rules[count]; count++) {
        assert(count < MAX_RULES && strlen(vt_label_rules[count]->name) < 30);
        names[count] = vt_label_rules[count]->name;
        length += (size_t)sprintf(known + length, "%s%s", count ? ", " : "", names[count]);
    }
    const char *nearest = vt_nearest_name(rule, names, count);
    return nearest ? vt_fail(VT_ERR_CONFIG, "label.rule: unknown rule \"%s\"; did you mean \"%s\"?",
                             rule, nearest)
                   : vt_fail(VT_ERR_CONFIG, "label.rule: unknown rule \"%s\"; known are %s", rule,
                             known);
}

vt_status vt_label_init(vt_label *label, const char *rule, const vt_token_layout *layout)
{
    for (const vt_label_ops *const *ops = vt_label_rules; *ops; ops++)
        if (strcmp((*ops)->name, rule) == 0) {
            VT_REQUIRE(
                !(*ops)->class_token || layout->pool == VT_POOL_TOKEN, VT_ERR_CONFIG,
                "label.rule: %s follows the class token, which model.pool = \"avg\" does not "
                "read; expected model.pool = \"token\"",
                rule);
            *label = (vt_label){.ops = *ops, .layout = *layout};
            return VT_OK;
        }
    return unknown_rule(rule);
}

void vt_label_place(vt_label *label, vt_arena *arena, int B)
{
    if (label->ops->place) label->ops->place(label, arena, B);
}

bool vt_label_begin(vt_label *label, const vt_mix_plan *plan, vt_attn_hook *hook)
{
    label->plan = plan;
    if (!plan->mixed) return false;
    if (label->ops->begin) label->ops->begin(label);
    *hook = (vt_attn_hook){
        .self = label, .on_attention = label->ops->on_attention, .on_merge = label->ops->on_merge};
    return hook->on_attention != NULL;
}

void vt_label_finish(vt_label *label, vt_real *share, vt_real *share_dist)
{
    if (label->plan->mixed) {
        label->ops->finish(label, share, share_dist);
        return;
    }
    for (int i = 0; i < label->plan->B; i++) {
        share[i] = 1;
        if (share_dist) share_dist[i] = 1;
    }
}

void vt_label_target(vt_real *target, const int32_t *labels, const int32_t *partner,
                     const vt_real *share, double smoothing, int B, int K)
{
    double off = smoothing / K, above = 1 - smoothing; // on = off + above
    for (int i = 0; i < B; i++, target += K) {
        int32_t own = labels[i], other = partner ? labels[partner[i]] : own;
        double left = own == other ? 1 : (double)share[i];
        for (int k = 0; k < K; k++) target[k] = (vt_real)off;
        target[other] = (vt_real)(off + above * (1 - left));
        target[own] = (vt_real)(off + above * left);
    }
}
