// What a file of weights says of the data that they were trained on, so that labels keep their
// names and a run is not resumed on other data: in its metadata, as JSON,
//
//     {"classes": ["cat", "dog"], "train": {"images": 50000, "labels_crc32": 1234},
//      "val": {"images": 10000, "labels_crc32": 5678}}
//
// ("val" null without). Where the data lies is not in it: it may move.
#ifndef VITRAIN_TRAIN_DATA_RECORD_H
#define VITRAIN_TRAIN_DATA_RECORD_H

#include "vitrain/data/source.h"
#include "vitrain/io/safetensors.h"

#define VT_DATA_METADATA "vitrain.data"

// val: NULL without. malloc'd, NULL when out of memory.
char *vt_data_record(const vt_source *train, const vt_source *val);

// Whether a run that recorded `then` goes on with what is recorded in `now`; both as
// vt_data_record's. VT_ERR_CONFIG says what differs; path: the file that `then` is from, for
// messages.
vt_status vt_data_record_check(const char *then, const char *now, const char *path);

// The names of the labels; count 0 if the file does not tell them. VT_ERR_FORMAT.
vt_status vt_data_record_classes(vt_classes *out, const vt_st_file *file);

#endif
