#!/usr/bin/env bash
# pkg_config.sh PREFIX LIBDIR COMPILER WORKDIR: builds the consumer with pkg-config's flags only.
set -euo pipefail
prefix=$1 libdir=$2 compiler=$3 work=$4
source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/consumer/consumer.cc
export PKG_CONFIG_PATH=$prefix/$libdir/pkgconfig
mkdir -p "$work"
read -ra flags < <(pkg-config --cflags ufence)
read -ra libs < <(pkg-config --libs ufence)
"$compiler" -std=c++23 -Wall -Wextra -Werror "${flags[@]}" "$source" -o "$work/consumer" \
  "${libs[@]}" "-Wl,-rpath,$prefix/$libdir"
"$work/consumer"
drivers=$(pkg-config --variable=driverdir ufence)
[ -e "$drivers/cpu.so" ] || { echo "pkg-config says drivers are in $drivers: no cpu.so there" >&2; exit 1; }
