// See the header.
#include "vitrain/report/html.h"

#include <stdlib.h>
#include <string.h>

// Bytes of the well-formed character at `s` (RFC 3629: shortest form, no surrogates, at most
// U+10FFFF); 0 if there is none.
static int character_bytes(const unsigned char *s)
{
    if (s[0] < 0x80) return 1;
    const int n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4) return 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

static const char *replacement(unsigned char c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return c < 0x20 || c == 0x7f ? "\xef\xbf\xbd" : NULL;
    }
}

void vt_html_text(FILE *page, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        const int n = character_bytes(at);
        const char *instead = n == 1 ? replacement(*at) : n == 0 ? "\xef\xbf\xbd" : NULL;
        if (instead)
            fputs(instead, page);
        else
            fwrite(at, 1, (size_t)n, page);
        at += n ? n : 1;
    }
}

static void write_base64(FILE *page, const unsigned char *data, size_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes; i += 3) {
        const size_t left = bytes - i;
        const unsigned group = (unsigned)data[i] << 16 |
                               (left > 1 ? (unsigned)data[i + 1] << 8 : 0) |
                               (left > 2 ? data[i + 2] : 0);
        fputc(digits[group >> 18], page);
        fputc(digits[group >> 12 & 63], page);
        fputc(left > 1 ? digits[group >> 6 & 63] : '=', page);
        fputc(left > 2 ? digits[group & 63] : '=', page);
    }
}

vt_status vt_html_picture(FILE *page, const vt_image *image, const char *alt,
                          const char *attributes)
{
    unsigned char *png;
    size_t bytes;
    VT_TRY(vt_image_encode_png(&png, &bytes, image));
    fprintf(page, "<img width=\"%d\" height=\"%d\" %s alt=\"", image->width, image->height,
            attributes);
    vt_html_text(page, alt);
    fputs("\" src=\"data:image/png;base64,", page);
    write_base64(page, png, bytes);
    fputs("\">", page);
    free(png);
    return VT_OK;
}
