// The names of the labels; see config.h.
#include "vitrain/io/file.h"
#include "vitrain/train/config.h"

vt_status vt_labels_read(vt_classes *classes, const vt_data_config *data)
{
    if (data->class_map) return vt_classes_read(classes, data->class_map);
    const char *path = data->train && vt_file_exists(data->train) ? data->train : data->val;
    if (!path) path = data->train;
    VT_REQUIRE(path, VT_ERR_CONFIG, "data.train: missing, and data.val and data.class_map too");
    return vt_source_classes(classes, path, data->format);
}
