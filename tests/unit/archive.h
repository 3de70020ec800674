// Archives as torch.save writes them, made by hand: whole, for tests to spoil.
#ifndef VITRAIN_TESTS_ARCHIVE_H
#define VITRAIN_TESTS_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Bytes that are written one after the other.
typedef struct heap {
    unsigned char bytes[1 << 16];
    size_t n;
} heap;

void add(heap *h, const void *bytes, size_t n); // fails the test when there is no more room
void add_text(heap *h, const char *text);       // without its NUL

// ---- the pickle ----

// A tensor as the pickle tells of it; what is told need not be so.
typedef struct told_tensor {
    const char *name, *storage, *key; // NAME, "FloatStorage", "0"
    int64_t elements, offset;         // of the storage
    int ndim, nstride;
    int64_t shape[9], stride[9];
} told_tensor;

void pickle_begin(heap *h); // {"model": {
void pickle_string(heap *h, const char *text);
void pickle_tensor(heap *h, const told_tensor *tensor); // a key and a value
void pickle_end(heap *h);                               // }}

// ---- the archive ----

typedef struct zip_entry {
    const char *name;
    const void *data;
    size_t bytes;
} zip_entry;

// zip64: all sizes and places are written as that extension does.
void zip_make(heap *out, const zip_entry *entries, int n, bool zip64);

// The record of entry `index` in the list of entries; and where its fields are.
unsigned char *zip_central(heap *zip, int index);
enum { ZIP_METHOD = 10, ZIP_CHECKSUM = 16, ZIP_PACKED = 20, ZIP_BYTES = 24, ZIP_OFFSET = 42 };

#endif
