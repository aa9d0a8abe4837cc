#!/usr/bin/env bash
# command.sh PREFIX WORKDIR: the installed command finds its library and its drivers by itself, from
# another folder and after the whole tree was moved.
set -euo pipefail
prefix=$1 work=$2
rm -rf "$work"
mkdir -p "$work"
cp -a "$prefix" "$work/moved"
cd "$work"
env -u UFENCE_DRIVER_PATH -u LD_LIBRARY_PATH \
  moved/bin/ufence run --input moved/include --output sums --quiet
find moved/include -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum -- >expected
[ -s expected ] || { echo "nothing to hash below $prefix/include" >&2; exit 1; }
cmp expected sums
