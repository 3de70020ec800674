// What the processor that the program is built for has: the widest vector, and registers of that
// width. And what the compiler's own vectors want beside their operators.
#ifndef VITRAIN_BASE_VECTOR_H
#define VITRAIN_BASE_VECTOR_H

#include <stdint.h>

#if defined __AVX512F__
#define VT_VECTOR_BYTES 64
#define VT_VECTOR_REGISTERS 32
#elif defined __AVX__
#define VT_VECTOR_BYTES 32
#define VT_VECTOR_REGISTERS 16
#elif defined __aarch64__
#define VT_VECTOR_BYTES 16
#define VT_VECTOR_REGISTERS 32
#else
#define VT_VECTOR_BYTES 16
#define VT_VECTOR_REGISTERS 16
#endif

// Lanes picked from two vectors, those of y numbered after x's; a constant for each lane.
#ifdef __clang__
#define VT_SHUFFLE(type, x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define VT_SHUFFLE(type, x, y, ...) __builtin_shuffle(x, y, (type){__VA_ARGS__})
#endif

// For loops that the compiler vectorizes.
#define VT_INLINE static inline __attribute__((always_inline))

typedef uint32_t vt_eight __attribute__((vector_size(32)));

// Rows become columns: the three bits of a row's number change places with those of a lane's.
VT_INLINE void vt_transpose(vt_eight x[8])
{
    vt_eight a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = VT_SHUFFLE(vt_eight, x[i], x[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        a[i + 1] = VT_SHUFFLE(vt_eight, x[i], x[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            const vt_eight upper = a[i + j], lower = a[i + j + 2];
            b[i + 2 * j] = VT_SHUFFLE(vt_eight, upper, lower, 0, 1, 8, 9, 4, 5, 12, 13);
            b[i + 2 * j + 1] = VT_SHUFFLE(vt_eight, upper, lower, 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int i = 0; i < 4; i++) {
        x[i] = VT_SHUFFLE(vt_eight, b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        x[i + 4] = VT_SHUFFLE(vt_eight, b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

#endif
