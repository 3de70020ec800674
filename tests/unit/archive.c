// Zip archives and pickles by hand; see the header.
#include "archive.h"

#include "vitrain/base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

void add(heap *h, const void *bytes, size_t n)
{
    assert_true(n <= sizeof h->bytes - h->n);
    if (n) memcpy(h->bytes + h->n, bytes, n);
    h->n += n;
}

void add_text(heap *h, const char *text)
{
    add(h, text, strlen(text));
}

// A little-endian number of up to 8 bytes.
static void add_number(heap *h, uint64_t value, size_t bytes)
{
    unsigned char b[8];
    vt_put_le64(b, value);
    add(h, b, bytes);
}

// ---- the pickle ----

void pickle_string(heap *h, const char *text)
{
    add_text(h, "X");
    add_number(h, strlen(text), 4);
    add_text(h, text);
}

static void pickle_number(heap *h, int64_t value)
{
    add_text(h, "\x8a\x08");
    add_number(h, (uint64_t)value, 8);
}

static void pickle_numbers(heap *h, const int64_t *values, int n)
{
    add_text(h, "(");
    for (int i = 0; i < n; i++) pickle_number(h, values[i]);
    add_text(h, "t");
}

void pickle_begin(heap *h)
{
    add_text(h, "\x80\x02}");
    pickle_string(h, "model");
    add_text(h, "}(");
}

void pickle_tensor(heap *h, const told_tensor *t)
{
    pickle_string(h, t->name);
    add_text(h, "ctorch._utils\n_rebuild_tensor_v2\n((");
    pickle_string(h, "storage");
    add_text(h, "ctorch\n");
    add_text(h, t->storage);
    add_text(h, "\n");
    pickle_string(h, t->key);
    pickle_string(h, "cpu");
    pickle_number(h, t->elements);
    add_text(h, "tQ");
    pickle_number(h, t->offset);
    pickle_numbers(h, t->shape, t->ndim);
    pickle_numbers(h, t->stride, t->nstride);
    add_text(h, "\x89" // requires_grad
                "ccollections\nOrderedDict\n)RtR");
}

void pickle_end(heap *h)
{
    add_text(h, "us.");
}

// ---- the archive ----

static void add_head(heap *h, const zip_entry *e, bool zip64)
{
    const uint32_t none = UINT32_MAX;
    add_number(h, 0, 2); // uncompressed
    add_number(h, 0, 4); // time
    add_number(h, crc32(0, e->data, (uInt)e->bytes), 4);
    add_number(h, zip64 ? none : e->bytes, 4);
    add_number(h, zip64 ? none : e->bytes, 4);
    add_number(h, strlen(e->name), 2);
}

static void add_local(heap *h, const zip_entry *e)
{
    add_text(h, "PK\3\4");
    add_number(h, 0, 4); // version, flags
    add_head(h, e, false);
    add_number(h, 0, 2);
    add_text(h, e->name);
    add(h, e->data, e->bytes);
}

static void add_central(heap *h, const zip_entry *e, size_t offset, bool zip64)
{
    add_text(h, "PK\1\2");
    add_number(h, 0, 6); // versions, flags
    add_head(h, e, zip64);
    add_number(h, zip64 ? 6 + 28 : 0, 2);
    add_number(h, 0, 6); // comment, disk, attributes
    add_number(h, 0, 4);
    add_number(h, zip64 ? UINT32_MAX : offset, 4);
    add_text(h, e->name);
    if (!zip64) return;
    add_number(h, 0x7777, 2); // a field of somebody else's first
    add_number(h, 2, 2);
    add_number(h, 0, 2);
    add_number(h, 1, 2);
    add_number(h, 24, 2);
    add_number(h, e->bytes, 8);
    add_number(h, e->bytes, 8);
    add_number(h, offset, 8);
}

static void add_zip64_end(heap *h, size_t n, size_t begin, size_t end)
{
    add_text(h, "PK\6\6");
    add_number(h, 44, 8);
    add_number(h, 0, 8);
    add_number(h, 0, 4);
    add_number(h, n, 8);
    add_number(h, n, 8);
    add_number(h, end - begin, 8);
    add_number(h, begin, 8);
    add_text(h, "PK\6\7");
    add_number(h, 0, 4);
    add_number(h, end, 8);
    add_number(h, 1, 4);
}

void zip_make(heap *h, const zip_entry *entries, int n, bool zip64)
{
    size_t offsets[16];
    assert_true(n <= 16);
    h->n = 0;
    for (int i = 0; i < n; i++) {
        offsets[i] = h->n;
        add_local(h, &entries[i]);
    }
    const size_t begin = h->n;
    for (int i = 0; i < n; i++) add_central(h, &entries[i], offsets[i], zip64);
    const size_t end = h->n;
    if (zip64) add_zip64_end(h, (size_t)n, begin, end);
    add_text(h, "PK\5\6");
    add_number(h, 0, 4);
    add_number(h, zip64 ? UINT16_MAX : (uint64_t)n, 2);
    add_number(h, zip64 ? UINT16_MAX : (uint64_t)n, 2);
    add_number(h, zip64 ? UINT32_MAX : end - begin, 4);
    add_number(h, zip64 ? UINT32_MAX : begin, 4);
    add_number(h, 0, 2);
}

unsigned char *zip_central(heap *zip, int index)
{
    unsigned char *at = zip->bytes, *end = zip->bytes + zip->n;
    for (; at; at++) {
        at = memmem(at, (size_t)(end - at), "PK\1\2", 4);
        assert_non_null(at);
        if (index-- == 0) break;
    }
    return at;
}
