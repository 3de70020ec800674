// Python pickles as torch.save writes them, read as data: nothing is executed. What is known are
// dicts, OrderedDicts, lists, tuples, numbers, strings, None, bools, torch's tensors and storages,
// and argparse.Namespace, which becomes an object without content. Any other opcode or global is
// refused by name.
#ifndef VITRAIN_IO_PICKLE_H
#define VITRAIN_IO_PICKLE_H

#include "vitrain/base/status.h"
#include "vitrain/io/safetensors.h"

#include <stddef.h>
#include <stdint.h>

typedef enum vt_pickle_type {
    VT_PICKLE_NONE,
    VT_PICKLE_BOOL,
    VT_PICKLE_INT,
    VT_PICKLE_FLOAT,
    VT_PICKLE_STRING,
    VT_PICKLE_TUPLE,
    VT_PICKLE_LIST,
    VT_PICKLE_DICT,    // items: key, value, key, value ...
    VT_PICKLE_OBJECT,  // known, and of no interest
    VT_PICKLE_TENSOR,  // items: arguments of torch._utils._rebuild_tensor_v2
    VT_PICKLE_STORAGE, // items: "storage", its type (a GLOBAL), key, device, number of elements
    VT_PICKLE_GLOBAL,
    VT_PICKLE_MARK, // on the stack only
} vt_pickle_type;

typedef struct vt_pickle_item vt_pickle_item;

typedef struct vt_pickle_value {
    vt_pickle_type type;
    union {
        int64_t whole; // of a bool, an int
        double real;
        struct {
            const char *text; // in the pickle's bytes, not terminated
            size_t length;
        };
        struct {
            vt_pickle_item *first, *last; // of a container
        };
        const struct vt_pickle_global *global;
    };
} vt_pickle_value;

struct vt_pickle_item {
    const vt_pickle_value *value;
    vt_pickle_item *next; // NULL at the end
};

typedef struct vt_pickle vt_pickle;

// Reads a pickle (protocols 2 to 4) of `count` bytes, which must stay. Memory is bounded by a small
// multiple of `count`, which may be 16 MiB at most. VT_ERR_FORMAT, VT_ERR_UNSUPPORTED (an opcode or
// global that is not known). Containers may contain themselves.
vt_status vt_pickle_read(vt_pickle **out, const unsigned char *bytes, size_t count);
const vt_pickle_value *vt_pickle_root(const vt_pickle *pickle);
void vt_pickle_destroy(vt_pickle *pickle); // takes NULL

// The value of a dict under `key`; NULL if absent or if `dict` is none.
const vt_pickle_value *vt_pickle_get(const vt_pickle_value *dict, const char *key);

// The type of a storage's elements, from its GLOBAL. VT_ERR_FORMAT if it names no storage.
vt_status vt_pickle_dtype(vt_dtype *out, const vt_pickle_value *global);

#endif
