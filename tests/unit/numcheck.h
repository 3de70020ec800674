// Numbers in tests: random arrays, errors, gradient checks.
#ifndef VITRAIN_TESTS_NUMCHECK_H
#define VITRAIN_TESTS_NUMCHECK_H

#include "vitrain/base/real.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// cmocka.h is to be included after these.
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

// Fails the test with the recorded message unless the call returns VT_OK.
#define VT_ASSERT_OK(call)                                                  \
    do {                                                                    \
        if ((call) != VT_OK) fail_msg("%s: %s", #call, vt_error_message()); \
    } while (0)

// error < bound; false for NaN too.
#define VT_ASSERT_BELOW(error, bound, what)                                                 \
    do {                                                                                    \
        double vt_error_ = (error), vt_bound_ = (bound);                                    \
        if (!(vt_error_ < vt_bound_))                                                       \
            fail_msg("%s: error %.3g, at most %.3g allowed", (what), vt_error_, vt_bound_); \
    } while (0)

// Spacing of vt_real at 1.
double vt_epsilon(void);

// x[i] normal with this deviation; another key, other numbers.
void vt_fill_normal(vt_real *x, size_t n, double deviation, uint32_t key);

double vt_dot(const vt_real *a, const vt_real *b, size_t n);

// max |a - b| / max |b|; infinite if an element is not finite.
double vt_relative_error(const vt_real *a, const vt_real *b, size_t n);
// max |a - b|; infinite if an element is not finite.
double vt_largest_difference(const vt_real *a, const vt_real *b, size_t n);

// The error of dx as the gradient of loss with respect to x, which is changed and restored:
// max |dx - numeric| / max |numeric|, by 4-point central differences. Only of use in double builds.
double vt_gradient_error(const vt_real *dx, vt_real *x, size_t n, double (*loss)(void *context),
                         void *context);

// What a right gradient stays under, and why: the differences' own error is about h^4 f''''' / 30
// = 3e-14 f''''' from the formula and 1e-16 f / h = 1e-13 f from rounding, over the gradient's
// size: 2e-12 is seen for ops, 2e-10 for models. A wrong term is off by 1e-3 and more.
#define VT_GRADIENT_TOLERANCE 1e-8

// Asserts that dx is the gradient of loss(context) with respect to x.
#define VT_ASSERT_GRADIENT(dx, x, n, loss, context, what) \
    VT_ASSERT_BELOW(vt_gradient_error(dx, x, n, loss, context), VT_GRADIENT_TOLERANCE, what)

#endif
