// Planned memory; see the header.
#include "vitrain/base/arena.h"

#include "vitrain/base/bytes.h"
#include "vitrain/base/threads.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static atomic_size_t allocations;

void *vt_alloc_per_thread(void *old, int *count, size_t size)
{
    if (*count == vt_threads()) return old;
    free(old);
    void *all = vt_alloc((size_t)vt_threads(), size);
    *count = all ? vt_threads() : 0;
    return all;
}

size_t vt_alloc_count(void)
{
    return atomic_load(&allocations);
}

static bool round_up(size_t bytes, size_t *out)
{
    size_t padded;
    if (!vt_size_add(bytes, VT_ARENA_ALIGN - 1, &padded)) return false;
    *out = padded & ~(size_t)(VT_ARENA_ALIGN - 1);
    return true;
}

void *vt_arena_take(vt_arena *arena, size_t count, size_t size)
{
    size_t bytes, end;
    if (!vt_size_mul(count, size, &bytes) || !round_up(bytes, &bytes) ||
        !vt_size_add(arena->used, bytes, &end)) {
        arena->overflow = true;
        return NULL;
    }
    unsigned char *p = arena->base ? arena->base + arena->used : NULL;
    assert(!arena->base || end <= arena->capacity);
    arena->used = end;
    return p;
}

vt_arena_union vt_arena_union_begin(const vt_arena *arena)
{
    return (vt_arena_union){arena->used, arena->used};
}

void vt_arena_union_next(vt_arena_union *shared, vt_arena *arena)
{
    if (arena->used > shared->end) shared->end = arena->used;
    arena->used = shared->start;
}

void vt_arena_union_end(const vt_arena_union *shared, vt_arena *arena)
{
    arena->used = shared->end;
}

vt_status vt_arena_reserve(vt_arena *arena)
{
    assert(!arena->base);
    VT_REQUIRE(!arena->overflow, VT_ERR_MEMORY, "the sizes asked for exceed the address space");
    const size_t capacity = arena->used ? arena->used : 1;
    void *p = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    VT_REQUIRE(p != MAP_FAILED, VT_ERR_MEMORY, "out of memory: %.1f MB asked for",
               (double)capacity / 1e6);
#ifdef MADV_HUGEPAGE
    // Products walk through megabytes row by row: with small pages every row is another entry of
    // the address cache (10% of a DeiT-S step, measured). A wish: where it is not granted all else
    // is as well.
    madvise(p, capacity, MADV_HUGEPAGE);
#endif
    atomic_fetch_add(&allocations, 1);
    arena->base = p;
    arena->capacity = capacity;
    arena->used = 0;
    return VT_OK;
}

void vt_arena_release(vt_arena *arena)
{
    if (arena->base) munmap(arena->base, arena->capacity);
    *arena = (vt_arena){0};
}

void *vt_alloc(size_t count, size_t size)
{
    size_t bytes, padded;
    if (!vt_size_mul(count, size, &bytes) || !round_up(bytes ? bytes : 1, &padded)) {
        vt_fail(VT_ERR_MEMORY, "%zu x %zu bytes exceed the address space", count, size);
        return NULL;
    }
    void *p = aligned_alloc(VT_ARENA_ALIGN, padded);
    if (!p) {
        vt_fail(VT_ERR_MEMORY, "out of memory: %.1f MB asked for", (double)padded / 1e6);
        return NULL;
    }
    atomic_fetch_add(&allocations, 1);
    return memset(p, 0, padded);
}
