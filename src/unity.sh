#!/bin/sh
# unity.sh PREFIX COUNT FILE...: writes PREFIX_1.cpp … PREFIX_COUNT.cpp, which include the files, and prints their names.
# What costs time in a C++ file is the headers' templates, nlohmann's JSON above all: a dozen files that are compiled
# as one pay once. A file's group comes from its name alone, so that a new file changes one group and no other; a group
# whose text has not changed is not touched, and make does not compile it again. Fuzz targets share their entry's name: here
# each entry is called by its target's.
set -eu
prefix=$1 count=$2
shift 2
mkdir -p "${prefix%/*}"
printf '%s\n' "$@" | awk -v prefix="$prefix" -v count="$count" '{
    place = 0
    for (i = 1; i <= length($0); i++)
        place = (place * 31 + index("abcdefghijklmnopqrstuvwxyz0123456789_/.", substr($0, i, 1))) % 65521
    file = prefix "_" place % count + 1 ".cpp"
    text = "#include \"" $0 "\"\n"
    if (match($0, /[a-z0-9_]+_fuzz\.cpp$/))
        text = "#define LLVMFuzzerTestOneInput " substr($0, RSTART, RLENGTH - 4) "\n" text "#undef LLVMFuzzerTestOneInput\n"
    texts[file] = texts[file] text
} END {
    for (file in texts) {
        old = ""
        while ((getline line < file) > 0)
            old = old line "\n"
        close(file)
        if (old != texts[file])
            printf "%s", texts[file] > file
        print file
    }
}' | sort
