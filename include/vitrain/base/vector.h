// What the processor that the program is built for has: the widest vector, and registers of that width.
// And the one operation on the compiler's vectors that GCC and Clang write differently.
#ifndef VITRAIN_BASE_VECTOR_H
#define VITRAIN_BASE_VECTOR_H

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

#endif
