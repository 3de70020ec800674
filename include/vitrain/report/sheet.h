// A sheet of panels of one size, side by side, with space between; and maps drawn over pictures.
#ifndef VITRAIN_REPORT_SHEET_H
#define VITRAIN_REPORT_SHEET_H

#include "vitrain/base/real.h"
#include "vitrain/data/resample.h"
#include "vitrain/io/image.h"

typedef struct vt_sheet {
    vt_image image;
    int columns, width, height; // of a panel, px
    int next;                   // panel to be filled
} vt_sheet;

// Sizes and clears it for `panels` panels; memory is reused. VT_ERR_MEMORY.
vt_status vt_sheet_begin(vt_sheet *sheet, int panels, int width, int height);
// The next panel; picture is of a panel's size, RGB.
void vt_sheet_add(vt_sheet *sheet, const vt_image *picture);
void vt_sheet_free(vt_sheet *sheet); // takes a zeroed one

// What drawing maps takes between; zeroed to begin with.
typedef struct vt_map_overlay {
    vt_image values, grown;
    vt_resample_scratch scratch;
} vt_map_overlay;
void vt_map_overlay_free(vt_map_overlay *overlay);

// to: `picture` in grey under the colours of a map (grid_h, grid_w), which are spread over the
// whole range from the map's smallest to its largest value, with smooth steps from patch to patch.
// A map of one value is drawn dark. `to` is sized; picture: RGB. VT_ERR_MEMORY.
vt_status vt_map_overlay_draw(vt_map_overlay *overlay, vt_image *to, const vt_image *picture,
                              const vt_real *map, int grid_h, int grid_w);

// to: `from` enlarged by the whole number that brings its shorter side to at least side_px.
// VT_ERR_MEMORY.
vt_status vt_enlarge(vt_image *to, const vt_image *from, int side_px);

#endif
