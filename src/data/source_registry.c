// The kinds of data sources, and opening one by name or by what the path looks like.
#include "vitrain/data/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// The first one that recognises a path takes it: IDX files by their name, so packs come before,
// and CIFAR before any folder.
const vt_source_ops *const vt_sources[] = {&vt_source_packed, &vt_source_cifar, &vt_source_folder,
                                           &vt_source_idx, NULL};

static vt_status find_ops(const vt_source_ops **out, const char *path, const char *format)
{
    struct stat info;
    VT_REQUIRE(stat(path, &info) == 0, VT_ERR_IO, "%s: cannot open: %s", path, strerror(errno));
    bool any = strcmp(format, "auto") == 0;
    char known[256] = "auto";
    for (int i = 0; vt_sources[i]; i++) {
        *out = vt_sources[i];
        if (any ? (*out)->recognise(path) : strcmp((*out)->name, format) == 0) return VT_OK;
        strncat(known, ", ", sizeof known - strlen(known) - 1);
        strncat(known, (*out)->name, sizeof known - strlen(known) - 1);
    }
    if (!any)
        return vt_fail(VT_ERR_CONFIG, "data.format: expected one of %s, got \"%s\"", known, format);
    return vt_fail(VT_ERR_FORMAT,
                   "%s: expected a folder of class folders, a pack, CIFAR or an IDX file of images",
                   path);
}

vt_status vt_source_open(vt_source **out, const char *path, const char *format,
                         const vt_classes *classes)
{
    const vt_source_ops *ops;
    VT_TRY(find_ops(&ops, path, format));
    vt_source *source = calloc(1, sizeof *source);
    VT_REQUIRE(source, VT_ERR_MEMORY, "%s: out of memory", path);
    source->ops = ops;
    source->path = strdup(path);
    vt_status status = source->path ? ops->open(source, path, classes)
                                    : vt_fail(VT_ERR_MEMORY, "%s: out of memory", path);
    if (status == VT_OK)
        *out = source;
    else
        vt_source_close(source);
    return status;
}

vt_status vt_source_classes(vt_classes *out, const char *path, const char *format)
{
    const vt_source_ops *ops;
    VT_TRY(find_ops(&ops, path, format));
    if (ops->classes) return ops->classes(out, path);
    vt_source *source;
    VT_TRY(vt_source_open(&source, path, format, NULL));
    *out = source->classes;
    source->classes = (vt_classes){0};
    vt_source_close(source);
    return VT_OK;
}

void vt_source_close(vt_source *source)
{
    if (!source) return;
    source->ops->close(source);
    vt_classes_free(&source->classes);
    free(source->labels);
    free(source->path);
    free(source);
}
