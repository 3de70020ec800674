// timm 0.4.12's rand_augment_transform and AugmentOp; colour jitter; three-augment. "Increasing"
// concerns seven operations whose plain variant has the strength of its effect fall with the
// magnitude (Posterize, Solarize) or pass through none at all (Color, Contrast, Brightness,
// Sharpness).
#include "vitrain/data/augment_rand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MAGNITUDE 10.0

enum { WEIGHTED = 13 }; // operations with a weight

// timm's weights number 0: relative probabilities.
static const double weights[VT_RAND_OPS] = {
    [VT_OP_ROTATE] = 0.3,         [VT_OP_SHEAR_X] = 0.2,         [VT_OP_SHEAR_Y] = 0.2,
    [VT_OP_TRANSLATE_X] = 0.1,    [VT_OP_TRANSLATE_Y] = 0.1,     [VT_OP_COLOR] = 0.025,
    [VT_OP_SHARPNESS] = 0.025,    [VT_OP_AUTO_CONTRAST] = 0.025, [VT_OP_SOLARIZE] = 0.005,
    [VT_OP_SOLARIZE_ADD] = 0.005, [VT_OP_CONTRAST] = 0.005,      [VT_OP_BRIGHTNESS] = 0.005,
    [VT_OP_EQUALIZE] = 0.005,     [VT_OP_POSTERIZE] = 0,         [VT_OP_INVERT] = 0,
};

// ---- the policy string ----

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

// Digits with at most one point among them, up to the section's end; -1 if it is something else.
static double read_number(const char *text, size_t length, bool *whole)
{
    char copy[32];
    size_t points = 0;
    *whole = true;
    if (length == 0 || length >= sizeof copy || !is_digit(text[0])) return -1;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.')
            points++;
        else if (!is_digit(text[i]))
            return -1;
    }
    if (points > 1) return -1;
    *whole = points == 0;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return strtod(copy, NULL);
}

typedef enum policy_key { KEY_M, KEY_N, KEY_MSTD, KEY_INC, KEY_W, KEY_P, KEYS } policy_key;

static const struct {
    const char *name, *takes;
    double low, high;
    bool whole;
} keys[KEYS] = {
    [KEY_M] = {"m", "an integer from 0 to 100", 0, 100, true},
    [KEY_N] = {"n", "an integer from 0 to 16", 0, VT_MOST_OP_CALLS, true},
    [KEY_MSTD] = {"mstd", "a number from 0 to 100", 0, 100, false},
    [KEY_INC] = {"inc", "1 (leave it out for the plain operations)", 1, 1, true},
    [KEY_W] = {"w", "0 (the only set of weights)", 0, 0, true},
    [KEY_P] = {"p", "a number from 0 to 1", 0, 1, false},
};

static void set(vt_rand_augment *out, policy_key key, double value)
{
    switch (key) {
    case KEY_M: out->magnitude = value; break;
    case KEY_N: out->operations = (int)value; break;
    case KEY_MSTD: out->deviation = value; break;
    case KEY_INC: out->increasing = true; break;
    case KEY_W: out->weighted = true; break;
    default: out->probability = value; break; // KEY_P
    }
}

static vt_status read_section(vt_rand_augment *out, const char *section, size_t length,
                              unsigned *seen)
{
    const int shown = (int)length;
    size_t letters = 0;
    while (letters < length && !is_digit(section[letters])) letters++;
    int key = 0;
    while (key < KEYS &&
           (strlen(keys[key].name) != letters || memcmp(keys[key].name, section, letters) != 0))
        key++;
    VT_REQUIRE(key < KEYS, VT_ERR_CONFIG,
               "%s: unknown section \"%.*s\"; expected m, n, mstd, inc, w or p and a number",
               out->policy, shown, section);
    VT_REQUIRE(!(*seen & 1u << key), VT_ERR_CONFIG, "%s: %s is given twice", out->policy,
               keys[key].name);
    *seen |= 1u << key;
    bool whole;
    double value = read_number(section + letters, length - letters, &whole);
    VT_REQUIRE(value >= keys[key].low && value <= keys[key].high && (whole || !keys[key].whole),
               VT_ERR_CONFIG, "%s: %s: expected %s, got \"%.*s\"", out->policy, keys[key].name,
               keys[key].takes, (int)(length - letters), section + letters);
    set(out, (policy_key)key, value);
    return VT_OK;
}

vt_status vt_rand_augment_parse(vt_rand_augment *out, const char *policy)
{
    vt_rand_augment read = {.operations = 2, .magnitude = MAX_MAGNITUDE, .probability = 0.5};
    unsigned seen = 0;
    const size_t bytes = strlen(policy);
    VT_REQUIRE(bytes < sizeof read.policy, VT_ERR_CONFIG,
               "a policy of %zu characters; expected at most %zu", bytes, sizeof read.policy - 1);
    memcpy(read.policy, policy, bytes + 1);
    const char *section = strchr(policy, '-');
    const size_t name = section ? (size_t)(section - policy) : bytes;
    VT_REQUIRE(name == 4 && memcmp(policy, "rand", 4) == 0, VT_ERR_CONFIG,
               "%s: unknown policy \"%.*s\"; expected rand, as in rand-m9-mstd0.5-inc1", policy,
               (int)name, policy);
    while (section) {
        const char *first = section + 1, *next = strchr(first, '-');
        VT_TRY(read_section(&read, first, next ? (size_t)(next - first) : strlen(first), &seen));
        section = next;
    }
    VT_REQUIRE(!read.weighted || read.operations <= WEIGHTED, VT_ERR_CONFIG,
               "%s: n: expected at most %d with w0, none of which comes twice, got %d", policy,
               WEIGHTED, read.operations);
    *out = read;
    return VT_OK;
}

// ---- drawing ----

static vt_image_op draw_weighted(bool *taken, vt_rng *rng)
{
    double sum = 0;
    for (int i = 0; i < VT_RAND_OPS; i++) sum += taken[i] ? 0 : weights[i];
    double place = sum * vt_rng_uniform(rng);
    int last = -1;
    for (int i = 0; i < VT_RAND_OPS; i++) {
        if (taken[i] || weights[i] == 0) continue;
        last = i;
        if ((place -= weights[i]) < 0) break;
    }
    taken[last] = true;
    return (vt_image_op)last;
}

static double draw_sign(vt_rng *rng, double v)
{
    return vt_rng_uniform(rng) < 0.5 ? -v : v;
}

// timm's _*_level_to_arg; int() cuts off.
static double argument_of(vt_image_op op, double magnitude, bool increasing, vt_rng *rng)
{
    const double level = magnitude / MAX_MAGNITUDE;
    switch (op) {
    case VT_OP_ROTATE: return draw_sign(rng, level * 30);
    case VT_OP_POSTERIZE: return increasing ? 4 - trunc(level * 4) : trunc(level * 4);
    case VT_OP_SOLARIZE: return increasing ? 256 - trunc(level * 256) : trunc(level * 256);
    case VT_OP_SOLARIZE_ADD: return trunc(level * 110);
    case VT_OP_COLOR:
    case VT_OP_CONTRAST:
    case VT_OP_BRIGHTNESS:
    case VT_OP_SHARPNESS: return increasing ? 1 + draw_sign(rng, level * 0.9) : level * 1.8 + 0.1;
    case VT_OP_SHEAR_X:
    case VT_OP_SHEAR_Y: return draw_sign(rng, level * 0.3);
    case VT_OP_TRANSLATE_X:
    case VT_OP_TRANSLATE_Y: return draw_sign(rng, level * 0.45);
    default: return 0;
    }
}

static bool moves_pixels(vt_image_op op)
{
    return op == VT_OP_ROTATE || op >= VT_OP_SHEAR_X;
}

vt_filter vt_filter_draw(const vt_filter filters[2], vt_rng *rng)
{
    return filters[0] == filters[1] ? filters[0] : filters[vt_rng_below(rng, 2)];
}

int vt_rand_augment_draw(vt_op_call *calls, const vt_rand_augment *policy,
                         const vt_filter filters[2], vt_rng *rng)
{
    vt_image_op ops[VT_MOST_OP_CALLS];
    bool taken[VT_RAND_OPS] = {false};
    int n = 0;
    for (int i = 0; i < policy->operations; i++)
        ops[i] = policy->weighted ? draw_weighted(taken, rng)
                                  : (vt_image_op)vt_rng_below(rng, VT_RAND_OPS);
    for (int i = 0; i < policy->operations; i++) {
        if (vt_rng_uniform(rng) >= policy->probability) continue;
        double magnitude = policy->magnitude;
        if (policy->deviation > 0) magnitude += policy->deviation * vt_rng_normal(rng);
        magnitude = fmin(fmax(magnitude, 0), MAX_MAGNITUDE);
        vt_op_call *call = &calls[n++];
        call->op = ops[i];
        call->argument = argument_of(ops[i], magnitude, policy->increasing, rng);
        call->filter = moves_pixels(ops[i]) ? vt_filter_draw(filters, rng) : filters[0];
    }
    return n;
}

int vt_color_jitter_draw(vt_op_call *calls, const double strength[VT_JITTERS], vt_rng *rng)
{
    static const vt_image_op ops[VT_JITTERS] = {VT_OP_BRIGHTNESS, VT_OP_CONTRAST, VT_OP_COLOR,
                                                VT_OP_HUE};
    uint32_t order[VT_JITTERS], which[VT_JITTERS], n = 0;
    for (uint32_t i = 0; i < VT_JITTERS; i++)
        if (strength[i] > 0) which[n++] = i;
    if (n == 0) return 0;
    vt_rng_permutation(rng, n, order);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t k = which[order[i]];
        const double s = strength[k];
        calls[i] = (vt_op_call){.op = ops[k]};
        calls[i].argument = ops[k] == VT_OP_HUE ? vt_rng_range(rng, -s, s)
                                                : vt_rng_range(rng, fmax(0, 1 - s), 1 + s);
    }
    return (int)n;
}

vt_op_call vt_three_augment_draw(vt_rng *rng)
{
    switch (vt_rng_below(rng, 3)) {
    case 0: return (vt_op_call){.op = VT_OP_COLOR, .argument = 0}; // grey
    case 1: return (vt_op_call){.op = VT_OP_SOLARIZE, .argument = 128};
    default:
        return (vt_op_call){VT_OP_GAUSSIAN_BLUR, vt_rng_range(rng, 0.1, 2), VT_FILTER_BILINEAR};
    }
}
