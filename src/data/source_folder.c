// A folder of class folders: DIR/CLASS/.../*.{png,jpg,jpeg}. The samples and their order are those
// of torchvision's ImageFolder for these extensions: classes sorted by name (byte order), within a
// class folders by path, within a folder files by name; links are followed. Hidden files and
// folders are passed over, files of other extensions are counted, and folders within a class that
// cannot be read are left out with a warning. The extension (in any case) says only that a file
// counts; its content decides what it is.
#include "vitrain/data/source.h"

#include "vitrain/base/log.h"
#include "vitrain/base/text.h"
#include "vitrain/io/file.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { ENDING_BYTES = 16, MOST_ENDINGS = 8 };

// Files that are passed over for their ending.
typedef struct ending {
    char text[ENDING_BYTES]; // ".webp", in small letters; "none"
    int64_t count;
} ending;

typedef struct folder {
    char **paths; // (count)
    size_t capacity;
    struct stat root; // of the source's path
    ending endings[MOST_ENDINGS];
    int n_endings;
    int64_t left_out; // files of these endings and others
} folder;

static bool has_image_extension(const char *name)
{
    static const char *const extensions[] = {".png", ".jpg", ".jpeg"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof extensions / sizeof *extensions; i++) {
        if (strcasecmp(dot, extensions[i]) == 0) return true;
    }
    return false;
}

static void count_left_out(folder *f, const char *name)
{
    const char *dot = strrchr(name, '.');
    char text[ENDING_BYTES] = "none";
    if (dot && dot > name && strlen(dot) < sizeof text)
        for (size_t i = 0; i <= strlen(dot); i++) text[i] = (char)tolower((unsigned char)dot[i]);
    int i = 0;
    while (i < f->n_endings && strcmp(f->endings[i].text, text) != 0) i++;
    f->left_out++;
    if (i == MOST_ENDINGS) return;
    if (i == f->n_endings) strcpy(f->endings[f->n_endings++].text, text);
    f->endings[i].count++;
}

static int most_first(const void *left, const void *right)
{
    const ending *a = left, *b = right;
    return a->count != b->count ? (a->count < b->count ? 1 : -1) : strcmp(a->text, b->text);
}

static void tell_left_out(folder *f, const char *path)
{
    char list[MOST_ENDINGS * (ENDING_BYTES + 2) + 8] = "";
    int64_t listed = 0;
    if (f->left_out == 0) return;
    qsort(f->endings, (size_t)f->n_endings, sizeof *f->endings, most_first);
    for (int i = 0; i < f->n_endings; i++) {
        strcat(list, i ? ", " : "");
        strcat(list, f->endings[i].text);
        listed += f->endings[i].count;
    }
    vt_log(VT_LOG_INFO, "%s: %lld file%s of other types left out (%s%s)", path,
           (long long)f->left_out, vt_plural(f->left_out), list,
           listed < f->left_out ? ", ..." : "");
}

static vt_status append(vt_source *source, const char *path, int32_t label)
{
    folder *f = source->state;
    size_t n = (size_t)source->count;
    if (n == f->capacity) {
        size_t capacity = n ? 2 * n : 1024;
        char **paths = reallocarray(f->paths, capacity, sizeof *paths);
        if (paths) f->paths = paths;
        int32_t *labels = reallocarray(source->labels, capacity, sizeof *labels);
        if (labels) source->labels = labels;
        if (!paths || !labels) return vt_fail(VT_ERR_MEMORY, "%s: out of memory", path);
        f->capacity = capacity;
    }
    f->paths[n] = strdup(path);
    VT_REQUIRE(f->paths[n], VT_ERR_MEMORY, "%s: out of memory", path);
    source->labels[n] = label;
    source->count++;
    return VT_OK;
}

// By the folder that holds the file, then by the file's name.
static int compare_paths(const void *left, const void *right)
{
    const char *a = *(char *const *)left, *b = *(char *const *)right;
    size_t folder_a = (size_t)(strrchr(a, '/') - a), folder_b = (size_t)(strrchr(b, '/') - b);
    int order = memcmp(a, b, folder_a < folder_b ? folder_a : folder_b);
    if (order) return order;
    if (folder_a != folder_b) return folder_a < folder_b ? -1 : 1;
    return strcmp(a + folder_a, b + folder_b);
}

// A folder within a class that cannot be read: the class may have others. The class folder itself
// must be readable.
static vt_status leave_out(const FTSENT *entry)
{
    vt_fail(VT_ERR_IO, "%s: cannot read: %s", entry->fts_path, strerror(entry->fts_errno));
    if (entry->fts_level == FTS_ROOTLEVEL) return VT_ERR_IO;
    vt_log(VT_LOG_WARN, "%s (left out)", vt_error_message());
    return VT_OK;
}

// One thing that fts came upon below a class folder.
static vt_status visit(vt_source *source, FTS *tree, FTSENT *entry, int32_t label)
{
    folder *f = source->state;
    const struct stat *info = entry->fts_statp;
    bool hidden = entry->fts_level > 0 && entry->fts_name[0] == '.';
    switch (entry->fts_info) {
    case FTS_D: // a link to the whole would make the other classes' files this one's
        if (hidden || (info->st_dev == f->root.st_dev && info->st_ino == f->root.st_ino))
            fts_set(tree, entry, FTS_SKIP);
        return VT_OK;
    case FTS_NS: // nothing can be learnt about it, or it has just been removed
        if (entry->fts_level == FTS_ROOTLEVEL) return leave_out(entry);
        // fall through
    case FTS_F:
    case FTS_SLNONE: // a link to nothing: reported when it is read
        if (hidden) return VT_OK;
        if (has_image_extension(entry->fts_name)) return append(source, entry->fts_path, label);
        if (entry->fts_info == FTS_F) count_left_out(f, entry->fts_name);
        return VT_OK;
    case FTS_DNR:
    case FTS_ERR: return leave_out(entry);
    default: // FTS_DC, a link to a folder that holds it: what is there is being counted already
        return VT_OK;
    }
}

static vt_status scan_class(vt_source *source, char *path, int32_t label)
{
    char *const roots[] = {path, NULL};
    FTS *tree = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, NULL);
    VT_REQUIRE(tree, VT_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
    int64_t before = source->count;
    vt_status status = VT_OK;
    FTSENT *entry;
    while (status == VT_OK && (entry = fts_read(tree))) status = visit(source, tree, entry, label);
    if (status == VT_OK && errno) // fts_read sets it to 0 at the end
        status = vt_fail(VT_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
    fts_close(tree);
    VT_TRY(status);
    VT_REQUIRE(source->count > before, VT_ERR_DATA,
               "%s: no images in this class (.png, .jpg, .jpeg count)", path);
    folder *f = source->state;
    qsort(f->paths + before, (size_t)(source->count - before), sizeof *f->paths, compare_paths);
    return VT_OK;
}

// found: the class folders' names, sorted.
static vt_status scan(vt_source *source, const vt_classes *found, const vt_classes *classes)
{
    for (int i = 0; i < found->count; i++) {
        char *path = vt_path_join(source->path, found->names[i]);
        VT_REQUIRE(path, VT_ERR_MEMORY, "%s: out of memory", source->path);
        int label = classes ? vt_classes_find(classes, found->names[i]) : i;
        vt_status status = label < 0 ? vt_classes_refuse(path, found->names[i], classes)
                                     : scan_class(source, path, label);
        free(path);
        VT_TRY(status);
    }
    return VT_OK;
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

// The names of the folders in a folder, sorted by bytes.
static vt_status list_folders(vt_classes *out, const char *path)
{
    *out = (vt_classes){0};
    struct dirent **entries;
    int count = scandir(path, &entries, is_visible, compare_entries);
    VT_REQUIRE(count >= 0, VT_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
    out->names = calloc((size_t)count + 1, sizeof *out->names);
    bool memory = out->names;
    for (int i = 0; i < count; i++) {
        char *inside = memory ? vt_path_join(path, entries[i]->d_name) : NULL;
        if (inside && vt_is_directory(inside)) {
            out->names[out->count] = strdup(entries[i]->d_name);
            memory = out->names[out->count];
            out->count += memory;
        }
        memory = memory && inside;
        free(inside);
        free(entries[i]);
    }
    free(entries);
    if (memory && out->count > 0) return VT_OK;
    vt_classes_free(out);
    VT_REQUIRE(memory, VT_ERR_MEMORY, "%s: out of memory", path);
    return vt_fail(VT_ERR_DATA, "%s: no class folders in it", path);
}

// A data set's folder given in place of a part of it would be trained on without a complaint.
static void warn_of_parts(const vt_classes *found, const char *path)
{
    static const char *const parts[] = {"train", "val", "valid", "validation", "test"};
    char names[64];
    for (int i = 0; i < found->count; i++) {
        bool part = false;
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
            part = part || strcasecmp(found->names[i], parts[k]) == 0;
        if (!part) return;
    }
    vt_log(VT_LOG_WARN,
           "%s: takes its folders (%s) for the classes; if they are parts of a data set, give one "
           "of them: %s/%s",
           path, vt_classes_text(names, sizeof names, found), path, found->names[0]);
}

static vt_status folder_open(vt_source *source, const char *path, const vt_classes *classes)
{
    folder *f = source->state = calloc(1, sizeof *f);
    VT_REQUIRE(f, VT_ERR_MEMORY, "%s: out of memory", path);
    VT_REQUIRE(stat(path, &f->root) == 0, VT_ERR_IO, "%s: cannot read: %s", path, strerror(errno));
    vt_classes found = {0};
    vt_status status = list_folders(&found, path);
    if (status == VT_OK) warn_of_parts(&found, path);
    if (status == VT_OK) status = scan(source, &found, classes);
    if (status == VT_OK) status = vt_classes_copy(&source->classes, classes ? classes : &found);
    if (status == VT_OK) tell_left_out(f, path);
    vt_classes_free(&found);
    return status;
}

static vt_status folder_read(const vt_source *source, int64_t index, vt_image *image,
                             int64_t max_pixels)
{
    const folder *f = source->state;
    return vt_image_read(image, f->paths[index], max_pixels);
}

static vt_status folder_fetch(const vt_source *source, int64_t index, vt_file_buffer *buffer,
                              const unsigned char **data, size_t *bytes)
{
    const folder *f = source->state;
    VT_TRY(vt_file_load(buffer, f->paths[index], VT_IMAGE_MAX_BYTES));
    *data = buffer->data;
    *bytes = buffer->bytes;
    return VT_OK;
}

static void folder_describe(const vt_source *source, int64_t index, char *text, size_t capacity)
{
    const folder *f = source->state;
    snprintf(text, capacity, "%s", f->paths[index]);
}

static void folder_close(vt_source *source)
{
    folder *f = source->state;
    if (!f) return;
    for (int64_t i = 0; i < source->count; i++) free(f->paths[i]);
    free(f->paths);
    free(f);
}

const vt_source_ops vt_source_folder = {
    .name = "folder",
    .recognise = vt_is_directory,
    .open = folder_open,
    .classes = list_folders,
    .read = folder_read,
    .fetch = folder_fetch,
    .describe = folder_describe,
    .close = folder_close,
};
