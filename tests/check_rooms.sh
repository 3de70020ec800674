#!/usr/bin/env bash
# Which room may include which: its own and those above it. Also: which file alone may call a foreign
# library. Prints every wrong include; exit 1 if there is one.
#
#   tests/check_rooms.sh [ROOT]
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

{
    find src include/vitrain -name '*.[ch]' -exec grep -HnE '^[[:space:]]*#[[:space:]]*include' {} +
} | awk -F: '
    BEGIN {
        split("base ops io data mix model label train report cli", rooms, " ")
        for (i in rooms) rank[rooms[i]] = i + 0
        owner["cJSON.h"] = "src/io/json.c"
        owner["png.h"] = "src/io/image_png.c"
        owner["jpeglib.h"] = "src/io/image_jpeg.c"
        owner["cblas.h"] = "src/ops/gemm.c"
    }
    function wrong(why) { print file ":" $2 ": " why; bad = 1 }
    {
        file = $1
        sub(/^include\/vitrain\//, "src/", $1)
        split($1, part, "/")
        room = part[2]
        target = $3
        quoted = target ~ /"/
        gsub(/^[^"<]*["<]|[">].*$/, "", target)
        n = split(target, name, "/")
        if (!(room in rank)) wrong("there is no room " room)
        else if (!quoted) {
            if (name[n] in owner && owner[name[n]] != file)
                wrong("only " owner[name[n]] " includes <" target ">")
        } else if (name[1] == "vitrain") {
            if (!(name[2] in rank)) wrong("there is no room " name[2])
            else if (rank[name[2]] > rank[room]) wrong(room " may not include " target)
        } else if (n > 1) wrong("a header of another folder is included as vitrain/ROOM/NAME.h")
    }
    END { exit bad }'
