// Damaged pictures: thousands of variants of the golden ones, the same in every run, decoded whole,
// in part and shrunk. Whatever comes out, it is pixels or VT_ERR_FORMAT; that nothing is read or
// written out of bounds is for the address sanitizer to say (make config=asan unit).
#include "vitrain/data/sample.h"

#include "vitrain/base/rng.h"

#include "pictures.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_PIXELS = 400000, VARIANTS = 300, SIDE = 16 };

static uint32_t below(vt_rng *rng, size_t n)
{
    return vt_rng_below(rng, (uint32_t)n);
}

// One to four changes: bits and bytes, a length or size overwritten, a stretch repeated, zeroed or
// taken from elsewhere in the file, the end cut off. Returns the new size.
static size_t mutate(unsigned char *data, size_t size, vt_rng *rng)
{
    for (uint32_t changes = 1 + below(rng, 4); changes > 0 && size > 16; changes--) {
        size_t at = below(rng, size), other = below(rng, size);
        size_t room = size - (at > other ? at : other), n = 1 + below(rng, room < 32 ? room : 32);
        switch (below(rng, 7)) {
        case 0: data[at] ^= (unsigned char)(1 << below(rng, 8)); break;
        case 1: data[at] = (unsigned char)below(rng, 256); break;
        case 2: memset(data + at, below(rng, 2) ? 0xFF : 0, n); break;
        case 3: memmove(data + at, data + other, n); break;
        case 4: // headers are short: most changes would miss them
            data[below(rng, size < 64 ? size : 64)] = (unsigned char)below(rng, 256);
            break;
        case 5:
            data[at] = 0xFF; // a marker
            if (at + 1 < size) data[at + 1] = (unsigned char)(0xC0 + below(rng, 64));
            break;
        default: size = at + 1; break;
        }
    }
    return size;
}

// What one variant may do.
typedef struct tally {
    int fine, refused;
} tally;

static void count(tally *t, vt_status status)
{
    if (status != VT_OK && status != VT_ERR_FORMAT)
        fail_msg("%s: %s", vt_status_name(status), vt_error_message());
    if (status == VT_OK)
        t->fine++;
    else
        t->refused++;
}

static vt_augment_config augment; // small_crops

// data: exactly as large as its allocation.
static void decode_all_ways(tally *t, const unsigned char *data, size_t size, vt_sampler *sampler,
                            vt_rng *rng)
{
    static vt_real input[3 * SIDE * SIDE];
    count(t, vt_image_decode(&sampler->image, data, size, MAX_PIXELS, "whole"));
    for (int way = 0; way < 3; way++) { // exact, fast, evaluation
        vt_augment_config config = augment;
        config.decode = way == 1 ? VT_DECODE_FAST : VT_DECODE_EXACT;
        vt_image_reader reader;
        vt_status status = vt_image_open(&reader, data, size, MAX_PIXELS, "part");
        const vt_pixels from = {.reader = &reader};
        if (status == VT_OK && way < 2)
            status = vt_augment_train_from(input, &from, &config, rng, &sampler->scratch);
        else if (status == VT_OK)
            status = vt_augment_eval_from(input, &from, &config, &sampler->scratch);
        count(t, status);
        vt_image_close(&reader);
    }
}

static void check_file(tally *t, const char *path, uint32_t number, vt_sampler *sampler)
{
    assert_int_equal(vt_file_load(&sampler->file, path, VT_IMAGE_MAX_BYTES), VT_OK);
    size_t whole = sampler->file.bytes;
    for (uint32_t i = 0; i < VARIANTS; i++) {
        vt_rng rng = vt_rng_at(9, VT_STREAM_SYNTHETIC, number, i);
        unsigned char *copy = malloc(whole);
        assert_non_null(copy);
        memcpy(copy, sampler->file.data, whole);
        size_t size = mutate(copy, whole, &rng);
        unsigned char *exact = realloc(copy, size); // so that an overrun is one of the allocation
        assert_non_null(exact);
        decode_all_ways(t, exact, size, sampler, &rng);
        free(exact);
    }
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void test_mutations(void **state)
{
    (void)state;
    struct dirent **entries;
    int n = scandir("tests/golden/pictures", &entries, is_visible, by_name);
    assert_int_equal(n, 42);
    vt_sampler sampler = {0};
    tally t = {0};
    for (int i = 0; i < n; i++) {
        char path[512];
        snprintf(path, sizeof path, "tests/golden/pictures/%s", entries[i]->d_name);
        check_file(&t, path, (uint32_t)i, &sampler);
        free(entries[i]);
    }
    free(entries);
    vt_sampler_free(&sampler);
    print_message("%d decoded, %d refused\n", t.fine, t.refused);
    // Neither always fine nor never: the variants are damaged, and not beyond recognition.
    assert_true(t.fine > t.refused / 20 && t.refused > t.fine / 20);
}

int main(void)
{
    augment = small_crops(SIDE);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mutations),
    };
    return cmocka_run_group_tests_name("mutations", tests, NULL, NULL);
}
