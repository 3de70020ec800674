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

#endif
