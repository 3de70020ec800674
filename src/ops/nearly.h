// Elementary functions for results that are rounded to bf16, by up to 2^-8: vectors, wrong by
// 2^-14 at most, in half the instructions of base/vmath.h's. (Least squares with weights for an
// even error; the errors given are before rounding. Estrin's scheme where the next step waits,
// Horner's where not: GELU from the first-level cache takes 9 and 14 cycles a vector on Zen 5,
// forward and backward, not 12 and 19.)
#ifndef OPS_NEARLY_H
#define OPS_NEARLY_H

#include "lanes.h"

#ifndef VT_DOUBLE

// 2^x for x from -127, where it is 0, to 127. Relative error 3e-6.
VT_INLINE vt_vec vt_nearly_exp2(vt_vec x)
{
    const vt_vec magic = (vt_vec){0} + 12582912.0f; // 1.5 x 2^23: x's integer is its lowest bits
    const vt_vec whole = x + magic, r = x - (whole - magic);
    const vt_vec low = 0.6931242f * r + 1, high = 0.05590643f * r + 0.24024099f, r2 = r * r;
    // Exactly 1 for 0: 2^-127 has no bits left.
    const vt_vec p = (0.00958285f * r2 + high) * r2 + low;
    return (vt_vec)((vt_vec_bits)p + ((vt_vec_bits)whole << 23));
}

// x's sign, and the tail Phi(-|x|) as 2^q(-|x|), a polynomial, error 5e-5. Beyond 6, where the tail
// is 1e-9, it is 6's.
typedef struct vt_nearly_normal {
    vt_vec_bits sign;
    vt_vec below; // -|x|, -6 at least
    vt_vec tail;
} vt_nearly_normal;

VT_INLINE vt_nearly_normal vt_nearly_normal_of(vt_vec x)
{
    const vt_vec_bits sign = (vt_vec_bits)x & 0x80000000u;
    const vt_vec t = vt_vec_larger((vt_vec){0} - 6, (vt_vec)((vt_vec_bits)x | 0x80000000u));
    const vt_vec low = 1.1501743f * t + -1.0000647f, middle = 0.051185336f * t + -0.46127191f,
                 high = 6.1110005e-4f * t + 0.0071955658f, t2 = t * t;
    const vt_vec q = (2.2990063e-5f * t2 + high) * (t2 * t2) + (middle * t2 + low);
    return (vt_nearly_normal){sign, t, vt_nearly_exp2(q)};
}

// x Phi(x) = max(x, 0) - |x| Phi(-|x|)
VT_INLINE vt_vec vt_nearly_gelu(vt_vec x, vt_nearly_normal n)
{
    return vt_vec_larger((vt_vec){0}, x) + n.below * n.tail;
}

// Its derivative. For t <= 0, Phi(t) + t phi(t) = Phi(t) L(t), where L is almost a line far out
// (Mills' ratio) and is taken as a polynomial, error 6e-5; for x > 0 it is 1 less that of -x.
VT_INLINE vt_vec vt_nearly_gelu_slope(vt_nearly_normal n)
{
    const vt_vec t = n.below;
    vt_vec p = 0.0012224f * t + 0.01701231f;
    p = p * t + 0.10225062f;
    p = p * t + -0.642174f;
    p = p * t + 0.7964502f;
    p = p * t + 0.9999446f;
    return 0.5f + (vt_vec)((vt_vec_bits)(0.5f - p * n.tail) ^ n.sign);
}

#endif
#endif
