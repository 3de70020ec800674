// Configurations written in a test. Everything here fails the test on an error.
#ifndef VITRAIN_TESTS_CONFIG_TEXT_H
#define VITRAIN_TESTS_CONFIG_TEXT_H

#include "vitrain/train/config.h"

// A model, to be closed by "}".
#define SMALL                                                                               \
    "\"model\": {\"name\": \"vit\", \"image_size\": 28, \"patch_size\": 4, \"embed_dim\": " \
    "64, \"depth\": 4, \"num_heads\": 4"

// As a file in the test's folder; its path.
const char *write_config(const char *text);
// text NULL: no file.
void load_config(vt_config *config, const char *text, const char *const *sets, int n);
char *resolved(const vt_config *config); // as config.json has it; malloc'd

#endif
