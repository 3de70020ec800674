// What the processor that the program is built for has: the widest vector, and registers of that width.
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

#endif
