#!/usr/bin/env bash
# pkg_config.sh PREFIX LIBDIR C++ C WORKDIR: builds the consumers with pkg-config's flags only.
set -euo pipefail
prefix=$1 libdir=$2 compiler=$3 c_compiler=$4 work=$5
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
mkdir -p "$work"
read -ra flags < <(pkg-config --cflags ufence)
read -ra libs < <(pkg-config --libs ufence)
"$compiler" -std=c++23 -Wall -Wextra -Werror "${flags[@]}" "$here/consumer/consumer.cc" -o "$work/consumer" \
  "${libs[@]}" "-Wl,-rpath,$prefix/$libdir"
"$work/consumer"
"$c_compiler" -std=c99 -Wall -Wextra -Wpedantic -Werror "${flags[@]}" "$here/consumer_c/consumer.c" \
  -o "$work/consumer_c" "${libs[@]}" "-Wl,-rpath,$prefix/$libdir" -pthread
"$work/consumer_c"
read -ra flags < <(pkg-config --cflags ufence-kernel)
read -ra libs < <(pkg-config --libs ufence-kernel)
"$c_compiler" -std=gnu11 -Wall -Wextra -Werror "${flags[@]}" "$here/kernel/user.c" -o "$work/user" \
  "${libs[@]}" "-Wl,-rpath,$prefix/$libdir"
"$work/user"
drivers=$(pkg-config --variable=driverdir ufence)
[ -e "$drivers/cpu.so" ] || { echo "pkg-config says drivers are in $drivers: no cpu.so there" >&2; exit 1; }
