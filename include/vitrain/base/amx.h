// The matrix unit of some x86 processors (Intel AMX, of bf16): eight registers of up to 16 rows of
// 64 bytes, of which one is multiplied by another and added to a third. A program has to ask the
// kernel for them, a thread has to say which part of each it uses.
#ifndef VITRAIN_BASE_AMX_H
#define VITRAIN_BASE_AMX_H

#include <stdbool.h>

// clang before 16 says __AMXBF16__ and goes without.
#if defined __AMX_BF16__ && defined __AVX512BF16__ && defined __linux__
#define VT_AMX_BUILT
#endif

enum { VT_AMX_ROWS = 16, VT_AMX_PAIRS = 16 }; // of a register; a pair: two numbers of bf16

// Whether this build is for such a processor, runs on one, and is allowed to use the unit.
bool vt_amx(void);

// The shape of this thread's registers: 0 .. 5 hold sums, (rows,16) fp32, 6 a left operand,
// (rows,16) pairs, 7 a right operand, (16,16) pairs. Every register becomes 0.
void vt_amx_begin(int rows);
void vt_amx_end(void); // the registers are given back

#endif
