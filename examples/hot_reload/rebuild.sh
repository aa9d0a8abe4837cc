#!/bin/sh
# rebuild.sh ANSWER FILE: builds the plugin with another answer, and puts it in the place of FILE.
# $UFENCE_INCLUDE: the folder that has ufence/driver.hpp, where the compiler does not find it by itself.
set -eu
folder=$(dirname "$0")
"${CXX:-c++}" -std=c++20 -O1 -fPIC -shared -fvisibility=hidden -Wl,-z,relro \
    ${UFENCE_INCLUDE:+-I"$UFENCE_INCLUDE"} -DANSWER="$1" "$folder/plugin.cc" -o "$2.new" \
    -Wl,--version-script="$folder/plugin.map"
mv "$2.new" "$2"
