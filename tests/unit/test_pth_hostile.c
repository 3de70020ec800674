// Archives of torch.save's kind that are damaged, that lie, or that want to be expensive: each is
// refused in words that name what is wrong, and nothing is read beyond what it lies in (make
// config=asan build/asan/tests/test_pth_hostile).
#include "archive.h"
#include "folder.h"
#include "numcheck.h"

#include "vitrain/base/bytes.h"
#include "vitrain/base/rng.h"
#include "vitrain/io/pickle.h"
#include "vitrain/io/weights.h"
#include "vitrain/model/params.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ELEMENTS = 6, DATA_BYTES = 4 * ELEMENTS, PICKLE = 0, STORAGE = 1 };

// "w": (2,3) in a storage of 6 floats, all as it should be.
static const told_tensor good = {"w", "FloatStorage", "0", ELEMENTS, 0, 2, 2, {2, 3}, {3, 1}};
static const float numbers[ELEMENTS] = {0, 0.5f, 1, 1.5f, 2, 2.5f};

static heap pickle, zip;

static const heap *pickle_of(const told_tensor *tensors, int n)
{
    pickle.n = 0;
    pickle_begin(&pickle);
    for (int i = 0; i < n; i++) pickle_tensor(&pickle, &tensors[i]);
    pickle_end(&pickle);
    return &pickle;
}

// The pickle with a storage "0" of these numbers, and one entry more unless that is NULL.
static void archive_of(const heap *p, const void *data, const zip_entry *more, bool zip64)
{
    zip_entry entries[3] = {{"archive/data.pkl", p->bytes, p->n},
                            {"archive/data/0", data, DATA_BYTES}};
    if (more) entries[2] = *more;
    zip_make(&zip, entries, more ? 3 : 2, zip64);
}

static void good_archive(void)
{
    archive_of(pickle_of(&good, 1), numbers, NULL, false);
}

static vt_status open_zip(vt_st_file **file)
{
    const char *path = in_folder("made.pth");
    put_file(path, zip.bytes, zip.n);
    return vt_weights_open(file, path);
}

static void refused(vt_status code, const char *part)
{
    vt_st_file *file;
    const vt_status status = open_zip(&file);
    if (status != code || !strstr(vt_error_message(), part) ||
        !strstr(vt_error_message(), "made.pth"))
        fail_msg("expected %s, %s; got %s, %s", vt_status_name(code), part, vt_status_name(status),
                 vt_error_message());
}

static void accepted(void)
{
    vt_st_file *file;
    vt_real got[ELEMENTS];
    VT_ASSERT_OK(open_zip(&file));
    assert_int_equal(vt_st_count(file), 1);
    VT_ASSERT_OK(vt_st_get_real(file, "w", 2, (int64_t[]){2, 3}, got));
    for (int i = 0; i < ELEMENTS; i++) assert_true((float)got[i] == numbers[i]);
    vt_st_close(file);
}

static void reads_what_is_whole(void **state)
{
    (void)state;
    good_archive();
    accepted();
    archive_of(pickle_of(&good, 1), numbers, NULL, true); // zip64
    accepted();
    archive_of(pickle_of(&good, 1), numbers, &(zip_entry){"archive/byteorder", "little", 6}, false);
    accepted();
    good_archive();
    zip.bytes[zip.n - 2] = 5; // a comment
    add_text(&zip, "hello");
    accepted();
}

static void refuses_other_archives(void **state)
{
    (void)state;
    const heap *p = pickle_of(&good, 1);
    archive_of(p, numbers, &(zip_entry){"archive/byteorder", "big", 3}, false);
    refused(VT_ERR_UNSUPPORTED, "byteorder: expected little, got big");
    archive_of(p, numbers, &(zip_entry){"archive/data/0", "x", 1}, false);
    refused(VT_ERR_FORMAT, "entry archive/data/0: is there twice");
    zip_make(&zip, &(zip_entry){"archive/data.pkl", p->bytes, p->n}, 1, false);
    refused(VT_ERR_FORMAT, "tensor w: no data/0 in the archive");
    zip_make(&zip, &(zip_entry){"archive/code.py", p->bytes, p->n}, 1, false);
    refused(VT_ERR_FORMAT, "no data.pkl in it");
    zip_make(&zip, &(zip_entry){"data.pkl", p->bytes, p->n}, 1, false); // not in a folder
    refused(VT_ERR_FORMAT, "no data.pkl in it");
    // torch.save's format before 1.6, and a file that says nothing
    zip.n = 0;
    add(&zip, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.", 21);
    refused(VT_ERR_UNSUPPORTED, "save it again with PyTorch 1.6 or later");
    zip.n = 0;
    add_text(&zip, "PK\3\4");
    refused(VT_ERR_FORMAT, "no end of the archive");
}

static void refuses_spoilt_entries(void **state)
{
    (void)state;
    static const struct {
        int entry, field;
        uint32_t value;
        vt_status code;
        const char *message;
    } cases[] = {
        {STORAGE, ZIP_METHOD, 8, VT_ERR_UNSUPPORTED, "archive/data/0: is compressed"},
        {PICKLE, ZIP_METHOD, 8, VT_ERR_UNSUPPORTED, "archive/data.pkl: is compressed"},
        {STORAGE, ZIP_PACKED, 5, VT_ERR_UNSUPPORTED, "archive/data/0: is compressed"},
        {STORAGE, ZIP_CHECKSUM, 1, VT_ERR_FORMAT, "archive/data/0: damaged"},
        {STORAGE, ZIP_OFFSET, 0x7fffffff, VT_ERR_FORMAT, "archive/data/0: lies outside"},
        {STORAGE, ZIP_OFFSET, 0xffffffff, VT_ERR_FORMAT, "archive/data/0: lies outside"},
        {STORAGE, ZIP_OFFSET, 1, VT_ERR_FORMAT, "archive/data/0: lies outside"},
        {STORAGE, 28, 0xffff, VT_ERR_FORMAT, "the list of entries is damaged"}, // its name's length
        {PICKLE, 0, 0, VT_ERR_FORMAT, "the list of entries is damaged"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        good_archive();
        unsigned char *field = zip_central(&zip, cases[i].entry) + cases[i].field;
        if (cases[i].field == ZIP_METHOD || cases[i].field == 28)
            memcpy(field, &(uint16_t){(uint16_t)cases[i].value}, 2);
        else
            vt_put_le32(field, cases[i].value);
        refused(cases[i].code, cases[i].message);
    }
    static const uint32_t sizes[] = {DATA_BYTES + 4096, 0x7fffffff, 0xfffffffe, 0xffffffff};
    for (int i = 0; i < 4; i++) {
        good_archive();
        vt_put_le32(zip_central(&zip, STORAGE) + ZIP_PACKED, sizes[i]);
        vt_put_le32(zip_central(&zip, STORAGE) + ZIP_BYTES, sizes[i]);
        refused(VT_ERR_FORMAT, "archive/data/0: lies outside");
    }
}

static void refuses_overlaps(void **state)
{
    (void)state;
    // The storage's entry in the list leads to the pickle.
    good_archive();
    unsigned char *first = zip_central(&zip, PICKLE), *second = zip_central(&zip, STORAGE);
    for (int field = ZIP_CHECKSUM; field <= ZIP_BYTES; field += 4)
        memcpy(second + field, first + field, 4);
    memcpy(second + ZIP_OFFSET, first + ZIP_OFFSET, 4);
    refused(VT_ERR_FORMAT, "overlap");
    // A pickle that begins within the storage: a local header in its numbers.
    zip_entry inner[] = {{"archive/data.pkl", pickle.bytes, pickle.n}};
    static heap outer;
    zip_make(&outer, inner, 1, false);
    outer.n = (size_t)(zip_central(&outer, 0) - outer.bytes); // without its list
    zip_entry entries[] = {inner[0], {"archive/data/0", outer.bytes, outer.n}};
    zip_make(&zip, entries, 2, false);
    unsigned char *local = zip.bytes;
    for (int i = 0; i < 2; i++) // past the two of the archive itself
        local = memmem(local + 1, zip.n - (size_t)(local + 1 - zip.bytes), "PK\3\4", 4);
    vt_put_le32(zip_central(&zip, PICKLE) + ZIP_OFFSET, (uint32_t)(local - zip.bytes));
    refused(VT_ERR_FORMAT, "archive/data/0 and archive/data.pkl overlap");
}

static void refuses_zip64_lies(void **state)
{
    (void)state;
    // Bytes before the end: the record's place; the record's count, size and offset of the list.
    static const int fields[] = {22 + 12, 22 + 20 + 24, 22 + 20 + 16, 22 + 20 + 8};
    static const uint64_t values[] = {UINT64_MAX, UINT64_MAX - 40, 1u << 20, 1ull << 63};
    for (int f = 0; f < 4; f++)
        for (int v = 0; v < 4; v++) {
            archive_of(pickle_of(&good, 1), numbers, NULL, true);
            vt_put_le64(zip.bytes + zip.n - fields[f], values[v]);
            refused(VT_ERR_FORMAT, "zip: ");
        }
    for (int v = 0; v < 4; v++)
        for (int field = 0; field < 3; field++) {
            archive_of(pickle_of(&good, 1), numbers, NULL, true);
            unsigned char *extra = zip_central(&zip, STORAGE) + 46 + strlen("archive/data/0") + 10;
            for (int i = field; i < 2; i++) vt_put_le64(extra + 8 * i, values[v]);
            if (field == 2) vt_put_le64(extra + 16, values[v]);
            vt_st_file *file;
            assert_int_not_equal(open_zip(&file), VT_OK);
            assert_non_null(strstr(vt_error_message(), "archive/data/0"));
        }
}

#define BIG INT64_C(0x4000000000000000)

static void refuses_tensors_that_lie(void **state)
{
    (void)state;
    static const struct {
        told_tensor told;
        const char *message;
    } cases[] = {
        {{"w", "FloatStorage", "0", 6, 0, 2, 2, {-2, 3}, {3, 1}}, "w: not a tensor"},
        {{"w", "FloatStorage", "0", 6, 0, 2, 2, {2, 3}, {-3, 1}}, "w: not a tensor"},
        {{"w", "FloatStorage", "0", 6, -1, 2, 2, {2, 3}, {3, 1}}, "w: not a tensor"},
        {{"w", "FloatStorage", "0", 6, 0, 2, 1, {2, 3}, {3}}, "w: not a tensor"},
        {{"w", "FloatStorage", "0", 6, 0, 9, 9, {1, 1, 1, 1, 1, 1, 1, 2, 3}, {0}},
         "w: not a tensor"},
        {{"w", "FloatStorage", "0", 6, 0, 2, 2, {BIG, 8}, {0, 0}}, "w: its shape exceeds"},
        {{"w", "FloatStorage", "0", 6, 0, 1, 1, {BIG}, {0}}, "w: its shape exceeds"},
        {{"w", "FloatStorage", "0", 6, 0, 2, 2, {2, 4}, {4, 1}},
         "w: reaches beyond its storage of 6"},
        {{"w", "FloatStorage", "0", 6, 1, 2, 2, {2, 3}, {3, 1}}, "w: reaches beyond"},
        {{"w", "FloatStorage", "0", 6, INT64_MAX, 2, 2, {2, 3}, {3, 1}}, "w: reaches beyond"},
        {{"w", "FloatStorage", "0", 6, 0, 2, 2, {2, 3}, {4, 1}}, "w: reaches beyond"},
        {{"w", "FloatStorage", "0", 6, 0, 2, 2, {5, 1}, {BIG, 1}}, "w: reaches beyond"},
        {{"w", "FloatStorage", "0", 6, 0, 2, 2, {3, 1}, {INT64_MAX, 1}}, "w: reaches beyond"},
        {{"w", "FloatStorage", "0", 6, 0, 1, 1, {1 << 20}, {0}},
         "w: 1048576 elements in a storage of 6"},
        {{"w", "FloatStorage", "0", 7, 0, 2, 2, {2, 3}, {3, 1}},
         "w: data/0: expected 7 elements of F32, got 24"},
        {{"w", "FloatStorage", "0", -6, 0, 2, 2, {2, 3}, {3, 1}}, "w: not a storage"},
        {{"w", "FloatStorage", "0", BIG, 0, 2, 2, {2, 3}, {3, 1}}, "w: data/0: expected"},
        {{"w", "DoubleStorage", "0", 6, 0, 2, 2, {2, 3}, {3, 1}},
         "w: data/0: expected 6 elements of F64"},
        {{"w", "FloatStorage", "1", 6, 0, 2, 2, {2, 3}, {3, 1}}, "w: no data/1"},
        {{"w", "FloatStorage", "../data.pkl", 6, 0, 2, 2, {2, 3}, {3, 1}},
         "w: no data/../data.pkl"},
        {{"w", "FloatStorage", "a name of more bytes than any number has", 6, 0, 0, 0, {0}, {0}},
         "w: not a storage"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        archive_of(pickle_of(&cases[i].told, 1), numbers, NULL, false);
        refused(VT_ERR_FORMAT, cases[i].message);
    }
    const told_tensor complex = {"w", "ComplexFloatStorage", "0", 3, 0, 1, 1, {3}, {1}};
    archive_of(pickle_of(&complex, 1), numbers, NULL, false);
    refused(VT_ERR_UNSUPPORTED, "holds a torch.ComplexFloatStorage");
    archive_of(pickle_of((told_tensor[]){good, good}, 2), numbers, NULL, false);
    refused(VT_ERR_FORMAT, "tensor w: is there twice");
    // Strides of dimensions that have one element mean nothing, and an empty tensor reaches
    // nowhere.
    const told_tensor odd = {"w", "FloatStorage", "0", 6, 0, 4, 4, {1, 2, 1, 3}, {BIG, 3, BIG, 1}},
                      empty = {"w", "FloatStorage", "0", 6, BIG, 2, 2, {0, BIG}, {BIG, BIG}};
    vt_st_file *file;
    archive_of(pickle_of(&odd, 1), numbers, NULL, false);
    VT_ASSERT_OK(open_zip(&file));
    assert_memory_equal(vt_st_find(file, "w")->data, numbers, sizeof numbers);
    vt_st_close(file);
    archive_of(pickle_of(&empty, 1), numbers, NULL, false);
    VT_ASSERT_OK(open_zip(&file));
    assert_int_equal(vt_st_find(file, "w")->count, 0);
    vt_st_close(file);
}

static void names_tensors_that_are_not_finite(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    vt_params params = {0};
    size_t offset;
    vt_real slab[16];
    VT_ASSERT_OK(vt_params_add(&params, &offset, VT_INIT_ZEROS, false, 2, (int64_t[]){2, 3}, "w"));
    for (int i = 0; i < 3; i++) {
        float data[ELEMENTS] = {1, 2, 3, 4, 5, bad[i]};
        vt_st_file *file;
        archive_of(pickle_of(&good, 1), data, NULL, false);
        VT_ASSERT_OK(open_zip(&file)); // what is in it may be shown
        assert_int_equal(vt_params_load(&params, slab, file, ""), VT_ERR_NUMERIC);
        assert_non_null(strstr(vt_error_message(), "tensor w: expected finite numbers"));
        const char *out = in_folder("out.safetensors");
        assert_int_equal(vt_weights_write(out, file, NULL, 0, NULL), VT_ERR_NUMERIC);
        assert_non_null(strstr(vt_error_message(), "tensor w: expected finite numbers"));
        vt_st_close(file);
    }
    vt_params_free(&params);
}

// ---- what would be expensive ----

static vt_status read_pickle(const unsigned char *bytes, size_t n)
{
    vt_pickle *p;
    const vt_status status = vt_pickle_read(&p, bytes, n);
    if (status == VT_OK) vt_pickle_destroy(p);
    return status;
}

static void bears_bombs(void **state)
{
    (void)state;
    enum { DEPTH = 1 << 20 };
    unsigned char *bytes = malloc(2 * DEPTH);
    memset(bytes, ']', DEPTH); // a list in a list in a list ...
    memset(bytes + DEPTH, 'a', DEPTH - 1);
    bytes[2 * DEPTH - 1] = '.';
    assert_int_equal(read_pickle(bytes, 2 * DEPTH), VT_OK);
    memset(bytes, '(', DEPTH); // marks, and the tuples between them
    memset(bytes + DEPTH, 't', DEPTH);
    assert_int_equal(read_pickle(bytes, 2 * DEPTH), VT_ERR_FORMAT);
    memset(bytes, 'N', 2 * DEPTH);
    assert_int_equal(read_pickle(bytes, 2 * DEPTH), VT_ERR_FORMAT);
    free(bytes);
    // Each list holds the one before twice: 2^60 elements, if they were copied.
    heap *h = &pickle;
    h->n = 0;
    add(h, "]q\0", 3);
    for (int i = 0; i < 60; i++) add(h, "](h\0h\0eq\0", 9);
    add_text(h, ".");
    assert_int_not_equal(read_pickle(h->bytes, h->n), VT_OK); // 61 on the stack
    h->n = 0;
    add_text(h, "r\xff\xff\xff\xff");
    assert_int_equal(read_pickle(h->bytes, h->n), VT_ERR_FORMAT);
    h->n = 0;
    add_text(h, "Nr\xff\xff\xff\x7f.");
    assert_int_equal(read_pickle(h->bytes, h->n), VT_ERR_FORMAT);
    // Lengths that would be gigabytes
    static const char *const lengths[] = {"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
                                          "X\xff\xff\xff\x7f.", "\x8a\xff.",
                                          "\x95\xff\xff\xff\xff\xff\xff\xff\xff."};
    for (int i = 0; i < 3; i++) {
        h->n = 0;
        add_text(h, lengths[i]);
        assert_int_equal(read_pickle(h->bytes, h->n), VT_ERR_FORMAT);
    }
    const size_t large = (size_t)17 << 20;
    bytes = calloc(large, 1);
    assert_int_not_equal(read_pickle(bytes, large), VT_OK);
    assert_non_null(strstr(vt_error_message(), "16777216"));
    free(bytes);
}

// One long name as the key of thousands of tensors, of which the memo needs two bytes each.
static void bears_a_name_for_everything(void **state)
{
    (void)state;
    static char name[20000];
    memset(name, 'n', sizeof name - 1);
    pickle.n = 0;
    pickle_begin(&pickle);
    pickle_string(&pickle, name);
    add(&pickle, "q\1", 2);
    heap *value = calloc(1, sizeof *value);
    pickle_tensor(value, &good);
    add(&pickle, value->bytes + 6, value->n - 6); // without its key, X and 5 bytes
    add(&pickle, "q\2", 2);
    for (int i = 0; i < 8000; i++) add(&pickle, "h\1h\2", 4);
    pickle_end(&pickle);
    archive_of(&pickle, numbers, NULL, false);
    refused(VT_ERR_FORMAT, "longer names than its pickle");
    free(value);
}

// ---- what is spoilt by chance ----

static void survives_truncation(void **state)
{
    (void)state;
    for (int zip64 = 0; zip64 < 2; zip64++) {
        archive_of(pickle_of(&good, 1), numbers, NULL, zip64);
        const size_t whole = zip.n;
        for (zip.n = 0; zip.n < whole; zip.n++) {
            vt_st_file *file;
            assert_int_not_equal(open_zip(&file), VT_OK);
        }
    }
}

// Whether a variant is refused in a proper way; what is not is read to the last byte.
static bool refuses_or_reads(void)
{
    vt_st_file *file;
    vt_status status = open_zip(&file);
    if (status != VT_OK) {
        if (status != VT_ERR_FORMAT && status != VT_ERR_UNSUPPORTED)
            fail_msg("%s: %s", vt_status_name(status), vt_error_message());
        return true;
    }
    for (size_t i = 0; i < vt_st_count(file); i++) {
        const vt_st_tensor *t = vt_st_at(file, i);
        assert_true(t->bytes <= zip.n);
        unsigned char *copy = malloc(t->bytes + 1);
        memcpy(copy, t->data, t->bytes);
        free(copy);
    }
    vt_st_close(file);
    return false;
}

static void change(heap *h, vt_rng *rng)
{
    for (uint32_t changes = 1 + vt_rng_below(rng, 3); changes > 0 && h->n > 0; changes--) {
        const uint32_t n = (uint32_t)h->n, at = vt_rng_below(rng, n), other = vt_rng_below(rng, n);
        switch (vt_rng_below(rng, 5)) {
        case 0: h->bytes[at] ^= (unsigned char)(1u << vt_rng_below(rng, 8)); break;
        case 1: h->bytes[at] = (unsigned char)vt_rng_below(rng, 256); break;
        case 2: h->bytes[at] = 0xff; break;
        case 3: h->bytes[at] = h->bytes[other]; break;
        default: // a stretch from elsewhere
            memmove(h->bytes + at, h->bytes + other, at > other ? n - at : n - other);
        }
    }
}

// The pickle before it is packed, so that checksums are right; and the archive as it is.
static void survives_mutations(void **state)
{
    (void)state;
    enum { VARIANTS = 4000 };
    const told_tensor both[] = {good, {"t", "FloatStorage", "0", 6, 0, 2, 2, {3, 2}, {1, 3}}};
    int refusals = 0;
    for (uint32_t i = 0; i < VARIANTS; i++) {
        vt_rng rng = vt_rng_at(9, VT_STREAM_SYNTHETIC, 77, i);
        pickle_of(both, 2);
        if (i % 2 == 0) change(&pickle, &rng);
        archive_of(&pickle, numbers, NULL, i % 4 == 3);
        if (i % 2 == 1) change(&zip, &rng);
        refusals += refuses_or_reads();
    }
    print_message("%d of %d refused\n", refusals, VARIANTS);
    assert_true(refusals > VARIANTS / 2 && refusals < VARIANTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_whole),
        cmocka_unit_test(refuses_other_archives),
        cmocka_unit_test(refuses_spoilt_entries),
        cmocka_unit_test(refuses_overlaps),
        cmocka_unit_test(refuses_zip64_lies),
        cmocka_unit_test(refuses_tensors_that_lie),
        cmocka_unit_test(names_tensors_that_are_not_finite),
        cmocka_unit_test(bears_bombs),
        cmocka_unit_test(bears_a_name_for_everything),
        cmocka_unit_test(survives_truncation),
        cmocka_unit_test(survives_mutations),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
