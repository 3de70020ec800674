// Weights from outside, whatever they are kept in, behind one view (vt_st_file).
#ifndef VITRAIN_IO_WEIGHTS_H
#define VITRAIN_IO_WEIGHTS_H

#include "vitrain/io/safetensors.h"

// Opens, by what the file holds: a safetensors file; the index of a sharded one
// (*.safetensors.index.json), whose shards lie beside it; or a checkpoint of torch.save in a zip
// archive (PyTorch 1.6 and later), a state_dict or a dict with one under "model" or "state_dict".
// VT_ERR_IO, VT_ERR_FORMAT, VT_ERR_UNSUPPORTED, VT_ERR_MEMORY.
vt_status vt_weights_open(vt_st_file **out, const char *path);

// The last of these by itself. Nothing of the pickle is executed; entries must be uncompressed,
// apart from each other and of the right checksum.
vt_status vt_pth_open(vt_st_file **out, const char *path);

// Whether a tensor of that name is no weight but a run's state: the optimizer's, or averaged
// weights.
bool vt_weights_is_state(const char *name);
// The file without such tensors; *left_out: how many there were. Takes `file` over, also after an
// error.
vt_status vt_weights_without_state(vt_st_file **out, vt_st_file *file, size_t *left_out);

// What vt_weights_write has written.
typedef struct vt_weights_result {
    size_t tensors, bytes; // bytes of the tensors
    int shards;            // 1: a single file
} vt_weights_result;

// Writes all tensors of a file as safetensors, with its metadata, atomically. dtype: F32, F16 or
// BF16 for the floating ones (to the nearest; F64 becomes BF16 by way of F32), or NULL: each as it
// is. VT_ERR_NUMERIC for NaN and infinity, and for a number that would become infinite: then
// nothing is written. One tensor is in memory at a time. shard_bytes > 0: weights of more bytes are
// split into shards of at most that many (or one tensor), PATH-00001-of-0000N.safetensors, and an
// index is written, last. VT_ERR_USAGE: path does not end in .safetensors, or there would be more
// than 99999 shards. VT_ERR_IO, VT_ERR_MEMORY. result: out, or NULL.
vt_status vt_weights_write(const char *path, const vt_st_file *file, const vt_dtype *dtype,
                           size_t shard_bytes, vt_weights_result *result);

#endif
