// The frame of a page and how it looks. One column on a phone, two charts side by side where there
// is room. Series have Okabe and Ito's colours, which the colour-blind can tell apart, lighter ones
// on dark.
#include "sections.h"

#include "vitrain/report/html.h"

#include <stdarg.h>

static const char STYLE[] =
    ":root{color-scheme:light "
    "dark;--bg:#fff;--fg:#1b1f24;--soft:#59636e;--rule:#d8dee4;--tint:#f5f7f9;"
    "--c0:#0068a8;--c1:#c14f00;--c2:#007a59;--c3:#a8487f;--c4:#8a6500;--c5:#7048b6;--c6:#5b5b5b;"
    "--c7:#2a86bd}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171a;--fg:#e6e9ec;--soft:#a2abb5;--rule:#"
    "343b43;"
    "--tint:#1d2126;--c0:#58b0ea;--c1:#f2914f;--c2:#3fc79d;--c3:#e59cc6;--c4:#e6bc4a;--c5:#b79bf0;"
    "--c6:#b9b9b9;--c7:#9ad2f2}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif;"
    "overflow-wrap:anywhere;-webkit-text-size-adjust:100%}\n"
    "main{max-width:1040px;margin:0 auto;padding:20px 16px 48px}\n"
    "h1{font-size:1.6rem;line-height:1.2;margin:.2em 0 .3em}\n"
    "h2{font-size:1.2rem;margin:2.2em 0 .6em;padding-top:.6em;border-top:1px solid var(--rule)}\n"
    "h3{font-size:1rem;margin:1.4em 0 .4em}\n"
    "p{margin:.4em 0 .8em;max-width:68ch}\n"
    ".lead,.note,figcaption small{color:var(--soft)}.note{font-size:.86rem}\n"
    ".missing{color:var(--soft);border-left:3px solid var(--rule);padding:.2em 0 .2em .8em}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));"
    "gap:20px 28px}\n"
    ".chart{margin:0;min-width:0;max-width:560px}.chart>svg{display:block;width:100%;height:auto}\n"
    "figcaption{font-weight:600;margin-bottom:.3em}\n"
    "svg text{fill:var(--soft);font:12px system-ui,sans-serif;font-variant-numeric:tabular-nums}\n"
    ".grid{stroke:var(--rule)}.zero{stroke:var(--soft);stroke-dasharray:3 3}\n"
    ".line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}.dashed{stroke-dasharray:"
    "5 "
    "4}\n"
    ".band{fill:var(--c);opacity:.16}.dot{fill:var(--c)}.hit{fill:transparent}\n"
    ".tip:hover .hit{fill:var(--c);opacity:.35}.ridge path{fill:var(--c0);opacity:.85}\n"
    ".ridge:hover path{fill:var(--c1)}\n"
    ".s0{--c:var(--c0)}.s1{--c:var(--c1)}.s2{--c:var(--c2)}.s3{--c:var(--c3)}.s4{--c:var(--c4)}"
    ".s5{--c:var(--c5)}.s6{--c:var(--c6)}.s7{--c:var(--c7)}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:2px 16px;list-style:none;margin:0 0 "
    ".4em;padding:0;font-size:.86rem}\n"
    ".legend svg{vertical-align:middle}\n"
    ".facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(140px,1fr));gap:0 20px;"
    "margin:1em 0}\n"
    ".facts div{border-top:1px solid var(--rule);padding:8px 0 12px}\n"
    ".facts dt{color:var(--soft);font-size:.82rem}.facts dd{margin:0;font-size:1.25rem;"
    "font-variant-numeric:tabular-nums}\n"
    ".scroll{overflow-x:auto;max-width:100%}\n"
    "table{border-collapse:collapse;overflow-wrap:break-word;font-size:.9rem;font-variant-numeric:"
    "tabular-nums}\n"
    "th,td{padding:4px 10px 4px 0;text-align:left;vertical-align:top;border-bottom:1px solid "
    "var(--rule)}\n"
    "th{font-weight:600}.num,.word{white-space:nowrap}.num{text-align:right}.arm{min-width:6em}\n"
    "tbody th{font-weight:400}code,.mono{font:.86em/1.45 ui-monospace,monospace}\n"
    ".matrix td,.matrix th{padding:3px "
    "5px;text-align:right;border:0;vertical-align:bottom;white-space:nowrap}\n"
    ".matrix td:not(.num){background:color-mix(in srgb,var(--c1) calc(var(--v,0)*60%),transparent);"
    "min-width:2.2em}.matrix td.right{background:color-mix(in srgb,var(--c0) calc(var(--v,0)*45%),"
    "transparent)}\n"
    ".matrix.long thead th span{writing-mode:vertical-rl;transform:rotate(180deg);font-weight:400;"
    "white-space:nowrap}.matrix .all{padding-left:14px}\n"
    ".matrix caption{caption-side:bottom;text-align:left;color:var(--soft);font-size:.86rem;"
    "padding-top:.5em}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(100px,1fr));gap:16px 12px;"
    "list-style:none;margin:0;padding:0;font-size:.82rem;line-height:1.3}\n"
    ".tiles p{margin:.3em 0 0}.thumb{display:block;width:80px;height:80px;object-fit:contain;"
    "background:var(--tint)}\n"
    ".mixed{border-top:1px solid var(--rule);padding:16px "
    "0}.head{display:flex;flex-wrap:wrap;gap:16px}\n"
    ".mix{width:128px;height:auto;max-height:200px;image-rendering:pixelated}\n"
    ".layers{display:grid;grid-template-columns:repeat(auto-fill,minmax(64px,1fr));gap:12px 8px;"
    "list-style:none;margin:14px 0 0;padding:0;font-size:.78rem;line-height:1.3}\n"
    ".layers p{margin:.3em 0 0;font-variant-numeric:tabular-nums}\n"
    ".map{display:block;width:100%;max-width:96px;height:auto;margin-bottom:3px}"
    ".cells{image-rendering:pixelated}\n"
    ".own{color:var(--c0)}.partner{color:var(--c1)}td.bar{width:140px;padding-right:0}"
    ".bar span{display:block;height:12px;margin-top:5px;background:var(--c1)}"
    ".bar i{display:block;height:12px;background:var(--c0)}\n"
    "@media(max-width:520px){.bar{display:none}}\n"
    "small{color:var(--soft)}\n"
    "details{margin:.8em 0}summary{cursor:pointer;font-weight:600}\n"
    "summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--c0);outline-offset:2px}\n";

void vt_page_begin(FILE *page, const char *title)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"generator\" content=\"vitrain " VT_VERSION "\">\n"
          "<link rel=\"icon\" href=\"data:,\">\n<title>",
          page);
    vt_html_text(page, title);
    fprintf(page, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n", STYLE);
}

void vt_page_end(FILE *page)
{
    fputs("</main>\n</body>\n</html>\n", page);
}

void vt_section_begin(FILE *page, const char *id, const char *title)
{
    fprintf(page, "<section id=\"%s\" aria-labelledby=\"h-%s\">\n<h2 id=\"h-%s\">%s</h2>\n", id, id,
            id, title);
}

void vt_section_end(FILE *page)
{
    fputs("</section>\n", page);
}

void vt_page_missing(FILE *page, const char *format, ...)
{
    char text[2048];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fputs("<p class=\"missing\">", page);
    vt_html_text(page, text);
    fputs("</p>\n", page);
}
