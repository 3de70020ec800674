// Packs: all samples of a source in one file, which is mapped into memory and read at random
// without a system call per image. source_packed.c reads them (data.format "packed"), pack.c writes
// them.
//
// The file, version 1; numbers are little-endian, checksums zlib's CRC-32:
//
//     header (VT_PACK_HEADER_BYTES)
//        0   8   magic: VT_PACK_MAGIC
//        8   4   version: 1
//       12   4   number of classes
//       16   8   number of samples
//       24   8   offset of the index
//       32   8   bytes of the names
//       40   4   checksum of the index
//       44   4   checksum of the names
//       48  12   zero
//       60   4   checksum of bytes 0 to 59
//     bytes of the samples, one after the other
//     index, for each sample (VT_PACK_ENTRY_BYTES)
//        0   8   offset of its bytes in the file
//        8   8   how many they are; 0: the sample was unreadable or empty when it was packed
//       16   8   offset of its name in the names
//       24   4   checksum of its bytes
//       28   4   label
//       32   4   width, px       all 0: the bytes are those of a picture file (PNG, JPEG);
//       36   4   height, px      else they are pixels (height, width, channels)
//       40   4   channels, 1 or 3
//       44   4   zero
//     names, each ended by a NUL, to the end of the file: those of the classes in the order of
//        their labels, then the samples' (paths relative to what was packed)
//
// Header, index and names are checked whole when a pack is opened, and what they say is not
// believed before. The bytes of a sample are checked each time they are read (30 us for 100 KB), so
// that a damaged one is an unreadable sample like any other: named, replaced and counted by the
// loader. A pack must not be changed in place while it is open; writing one anew is safe.
#ifndef VITRAIN_DATA_PACK_H
#define VITRAIN_DATA_PACK_H

#include "vitrain/data/resample.h"
#include "vitrain/data/source.h"

#include <signal.h>

// Begins with a byte that is no text, ends with a line end: a transfer as text shows here already.
#define VT_PACK_MAGIC "\x89VTPACK\n"
enum {
    VT_PACK_MAGIC_BYTES = 8,
    VT_PACK_VERSION = 1,
    VT_PACK_HEADER_BYTES = 64,
    VT_PACK_ENTRY_BYTES = 48
};

typedef struct vt_pack_config {
    // 0: picture files go in as they are, undecoded; other samples as pixels. Else all go in as
    // pixels, resized so that the shorter side is this, px, the aspect kept (torchvision's
    // Resize(int)).
    int decoded;
    vt_filter filter;   // for that
    int64_t max_pixels; // larger pictures count as unreadable, before and after resizing
    double max_bad;     // share of unreadable samples above which nothing is written
    const volatile sig_atomic_t *interrupted; // nonzero: stop (VT_INTERRUPTED); may be NULL
} vt_pack_config;

typedef struct vt_pack_result {
    int64_t count, bad; // samples, and how many of them were unreadable
    int64_t bytes;      // of the file
} vt_pack_result;

// Packs `source` into the file `path`: samples, labels, classes, and their order stay as they are.
// An unreadable sample keeps its place, without bytes, with a warning. Uses vt_threads() threads,
// whose number changes no byte. Written atomically: after an error there is the old file or none.
// VT_ERR_DATA (more than max_bad unreadable), VT_ERR_IO, VT_ERR_MEMORY, VT_INTERRUPTED.
vt_status vt_pack_write(const char *path, const vt_source *source, const vt_pack_config *config,
                        vt_pack_result *result);

// Checks the bytes of one sample of a source that is a pack; VT_ERR_FORMAT names it. Samples that
// were unreadable when they were packed are no damage.
vt_status vt_pack_check(const vt_source *source, int64_t index);

#endif
