// One planned allocation. The same code first counts (an arena without memory hands out NULL and
// adds up) and then binds (an arena with memory hands out addresses), so the plan cannot differ
// from what is used, and nothing is allocated later.
//
//     vt_arena arena = {0};
//     place_everything(&arena);                    // counts: arena.used is the size
//     VT_TRY(vt_arena_reserve(&arena));            // one mapping of that size, zeroed when touched
//     place_everything(&arena);                    // the same calls now get memory
#ifndef VITRAIN_BASE_ARENA_H
#define VITRAIN_BASE_ARENA_H

#include "vitrain/base/status.h"

#include <stdbool.h>
#include <stddef.h>

#define VT_ARENA_ALIGN 64

typedef struct vt_arena {
    unsigned char *base; // NULL while counting
    size_t used;         // bytes handed out so far
    size_t capacity;     // bytes at base
    bool overflow;       // a size did not fit size_t; vt_arena_reserve reports it
} vt_arena;

// count x size bytes, 64-byte aligned; NULL while counting. Asking a bound arena for more than was
// counted is a programmer's error (assert).
void *vt_arena_take(vt_arena *arena, size_t count, size_t size);
#define VT_ARENA_TAKE(arena, type, count) ((type *)vt_arena_take((arena), (count), sizeof(type)))

// Memory of things of which one at a time is in use: they lie over one another.
//
//     vt_arena_union shared = vt_arena_union_begin(arena);
//     for each of them: place it, vt_arena_union_next(&shared, arena);
//     vt_arena_union_end(&shared, arena);
typedef struct vt_arena_union {
    size_t start, end;
} vt_arena_union;
vt_arena_union vt_arena_union_begin(const vt_arena *arena);
void vt_arena_union_next(vt_arena_union *shared, vt_arena *arena);
void vt_arena_union_end(const vt_arena_union *shared, vt_arena *arena);

// Allocates what was counted, zeroed, and starts over. VT_ERR_MEMORY if it is not to be had.
vt_status vt_arena_reserve(vt_arena *arena);
void vt_arena_release(vt_arena *arena); // takes an empty one too

// Heap memory elsewhere: count x size, 64-byte aligned, zeroed; NULL with a message recorded if it
// does not fit. Freed with free().
void *vt_alloc(size_t count, size_t size);
// An element for each of vt_threads(): `old`, if it has that many (*count), else new ones in its
// place, zeroed. NULL, with *count 0, if they are not to be had.
void *vt_alloc_per_thread(void *old, int *count, size_t size);

// How often vt_alloc and vt_arena_reserve have allocated so far (tests: not inside a step).
size_t vt_alloc_count(void);

#endif
