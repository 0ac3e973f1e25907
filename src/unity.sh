#!/bin/sh
# unity.sh PREFIX FILE...: writes files PREFIX_FOLDER_NUMBER.cpp that include the given ones, those of a folder together,
# a dozen at most, and prints their names.
# What costs time in a C++ file is the headers' templates, nlohmann's JSON above all: a dozen files that are compiled as
# one pay once. So file-local names must differ within a folder. A group whose text has not changed is not touched, and
# make does not compile it again. Fuzz targets share their entry's name: here each entry is called by its target's.
set -eu
prefix=$1
shift
mkdir -p "${prefix%/*}"
printf '%s\n' "$@" | LC_ALL=C sort | awk -v prefix="$prefix" '{
    folder = $0
    sub(/\/[^\/]*$/, "", folder)
    gsub(/\//, "_", folder)
    file = sprintf("%s_%s_%d.cpp", prefix, folder, 1 + files[folder] / 12)
    files[folder]++
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
}' | LC_ALL=C sort
