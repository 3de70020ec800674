// See amx.h. Intel, Software Developer's Manual, volume 1, chapter 18; Linux, arch/x86 xstate.rst.
#include "vitrain/base/amx.h"

#ifdef VT_AMX_BUILT

#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

static bool has_amx(void)
{
    enum { AMX_BF16 = 1 << 22 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & AMX_BF16);
}

bool vt_amx(void)
{
    static int known; // 1: it is there, -1: it is not
    int state = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (state == 0) {
        state = has_amx() && syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0
                    ? 1
                    : -1;
        __atomic_store_n(&known, state, __ATOMIC_RELAXED);
    }
    return state > 0;
}

void vt_amx_begin(int rows)
{
    struct {
        uint8_t palette, start_row, zero[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config __attribute__((aligned(64))) = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = 64;
        config.rows[i] = (uint8_t)(i == 7 ? VT_AMX_ROWS : rows);
    }
    __asm__ volatile("" : : "r"(&config) : "memory"); // all of it, the intrinsic names eight bytes
    _tile_loadconfig(&config);
}

void vt_amx_end(void)
{
    _tile_release();
}

#else

bool vt_amx(void)
{
    return false;
}

void vt_amx_begin(int rows)
{
    (void)rows;
}

void vt_amx_end(void)
{
}

#endif
