// Safetensors files (https://github.com/huggingface/safetensors): 8 bytes header length, a JSON
// header, the tensors' bytes, little-endian. Files are checked before anything is believed: header
// at most 100 MB, known dtypes, checked products, size = shape x dtype, offsets contiguous from 0
// to the end of the file, no duplicate names.
#ifndef VITRAIN_IO_SAFETENSORS_H
#define VITRAIN_IO_SAFETENSORS_H

#include "vitrain/base/real.h"
#include "vitrain/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VT_ST_MAX_DIMS 8
#define VT_ST_METADATA "__metadata__" // the member of a header that is no tensor

// name in the file, bytes per element
#define VT_DTYPE_TABLE(X) \
    X(VT_BOOL, "BOOL", 1) \
    X(VT_U8, "U8", 1)     \
    X(VT_I8, "I8", 1)     \
    X(VT_I16, "I16", 2)   \
    X(VT_U16, "U16", 2)   \
    X(VT_F16, "F16", 2)   \
    X(VT_BF16, "BF16", 2) \
    X(VT_I32, "I32", 4)   \
    X(VT_U32, "U32", 4)   \
    X(VT_F32, "F32", 4)   \
    X(VT_F64, "F64", 8)   \
    X(VT_I64, "I64", 8)   \
    X(VT_U64, "U64", 8)

typedef enum vt_dtype {
#define VT_DTYPE_ENUM(code, name, bytes) code,
    VT_DTYPE_TABLE(VT_DTYPE_ENUM)
#undef VT_DTYPE_ENUM
} vt_dtype;

const char *vt_dtype_name(vt_dtype dtype);
size_t vt_dtype_bytes(vt_dtype dtype);     // of an element
bool vt_dtype_is_floating(vt_dtype dtype); // F32, F16, BF16 or F64

// ---- reading ----

typedef struct vt_st_tensor {
    const char *name;
    vt_dtype dtype;
    int ndim; // 0: a scalar
    int64_t shape[VT_ST_MAX_DIMS];
    size_t count, bytes;
    const unsigned char *data; // in the mapped file; may be unaligned: memcpy from it
} vt_st_tensor;

typedef struct vt_st_file vt_st_file;

// Maps the file and checks its header. VT_ERR_IO, VT_ERR_MEMORY, or VT_ERR_FORMAT with the tensor's
// name.
vt_status vt_st_open(vt_st_file **out, const char *path);
void vt_st_close(vt_st_file *file); // takes NULL
const char *vt_st_path(const vt_st_file *file);
size_t vt_st_count(const vt_st_file *file);
const vt_st_tensor *vt_st_at(const vt_st_file *file, size_t index);       // in the order of offsets
const vt_st_tensor *vt_st_find(const vt_st_file *file, const char *name); // NULL if absent
const char *vt_st_metadata(const vt_st_file *file, const char *key);      // NULL if absent

// Tensor `name`, which must be there and have this dtype and shape; VT_ERR_SHAPE with file, name,
// expected and got otherwise. -1 in shape: any size there, returned through `shape`. vt_st_get_real
// reads F32, F16, BF16 and F64; its out: (product of shape), so there is no -1.
vt_status vt_st_get(const vt_st_file *file, const char *name, vt_dtype dtype, int ndim,
                    int64_t *shape, const vt_st_tensor **out);
vt_status vt_st_get_real(const vt_st_file *file, const char *name, int ndim, const int64_t *shape,
                         vt_real *out);
void vt_st_reals(const vt_st_tensor *tensor, vt_real *out); // of those types; out: (count)
double vt_st_number(const vt_st_tensor *tensor, size_t i);  // element i, likewise

// The same view of tensors that another format keeps: names and data are owner's, which `release`
// frees on vt_st_close (and the caller after an error). VT_ERR_FORMAT if a name is there twice,
// VT_ERR_MEMORY.
vt_status vt_st_assemble(vt_st_file **out, const char *path, const vt_st_tensor *tensors,
                         size_t count, void *owner, void (*release)(void *owner));
// Gives it a file's metadata, unless it has some; that file must stay as long.
void vt_st_adopt_metadata(vt_st_file *file, const vt_st_file *part);

// ---- writing ----

// A tensor to be written. F32 data may be given as vt_real (converted under config=double).
typedef struct vt_st_entry {
    const char *name;
    vt_dtype dtype; // VT_F32: `data` points at vt_real; any other: at elements of that type
    int ndim;
    int64_t shape[VT_ST_MAX_DIMS];
    const void *data;
} vt_st_entry;

typedef struct vt_st_meta {
    const char *key, *value; // value NULL: not written
} vt_st_meta;

// All of a read file's metadata. *out: (*count) malloc'd, the caller's; its texts are the file's.
// VT_ERR_MEMORY.
vt_status vt_st_metadata_all(const vt_st_file *file, vt_st_meta **out, size_t *count);

// Writes all entries in the given order, atomically (vt_atomic_file, whose errors it has).
vt_status vt_st_write(const char *path, const vt_st_entry *entries, size_t n_entries,
                      const vt_st_meta *metadata, size_t n_metadata);

// The same with one tensor in memory at a time: the entries' `data` are not looked at, and get()
// gives that of entry `index`, to stay until the next call. It is called once for each entry that
// has elements, in their order; an error of its is returned, and the file is as it was.
typedef struct vt_st_supply {
    void *self;
    vt_status (*get)(void *self, size_t index, const void **data);
} vt_st_supply;

vt_status vt_st_write_from(const char *path, const vt_st_entry *entries, size_t n_entries,
                           const vt_st_meta *metadata, size_t n_metadata,
                           const vt_st_supply *supply);

#endif
