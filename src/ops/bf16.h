// Stored numbers: reading and writing vt_real or bf16 in loops that the compiler vectorizes. `type` is
// a constant wherever these are called: loops are written once as an inline function and instantiated
// with VT_FOR_TYPE.
#ifndef OPS_BF16_H
#define OPS_BF16_H

#include "vitrain/base/narrow.h"
#include "vitrain/ops/ops.h"

VT_INLINE vt_real vt_get(const void *x, vt_elem type, size_t i)
{
    return type == VT_BFLOAT ? (vt_real)vt_bf16_value(((const vt_bf16 *)x)[i])
                             : ((const vt_real *)x)[i];
}

VT_INLINE void vt_put(void *y, vt_elem type, size_t i, vt_real value)
{
    if (type == VT_BFLOAT)
        ((vt_bf16 *)y)[i] = vt_bf16_of((float)value);
    else
        ((vt_real *)y)[i] = value;
}

// Calls an inline function of (..., type) with the type as a constant.
#define VT_FOR_TYPE(function, type, ...)      \
    do {                                      \
        if ((type) == VT_BFLOAT)              \
            function(__VA_ARGS__, VT_BFLOAT); \
        else                                  \
            function(__VA_ARGS__, VT_REAL);   \
    } while (0)

#endif
