// Writing HTML and SVG to a stream. Errors of the stream are kept by it, and reported by
// vt_atomic_commit.
#ifndef VITRAIN_REPORT_HTML_H
#define VITRAIN_REPORT_HTML_H

#include "vitrain/io/image.h"

#include <stdio.h>

// Text from outside (class names, paths, settings), fit for an element's content and for an
// attribute in either kind of quotes. Control characters and what is not UTF-8 become U+FFFD.
void vt_html_text(FILE *page, const char *text);

// A picture as a data URI: <img src="data:..." alt="...">, with `attributes` (may be "") as they
// are. VT_ERR_MEMORY.
vt_status vt_html_picture(FILE *page, const vt_image *image, const char *alt,
                          const char *attributes);

#endif
