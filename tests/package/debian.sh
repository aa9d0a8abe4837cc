#!/usr/bin/env bash
# debian.sh SOURCE WORK: the Debian packages are made and work, in their short form (without the lab).
set -euo pipefail
source=$1 work=$2
mkdir -p "$work"
UFENCE_PACKAGE_TREE=$work/tree "$source/scripts/package" --short "$work/packages" >"$work/package.log" 2>&1 || {
  tail -n 60 "$work/package.log" >&2
  exit 1
}
UFENCE_PACKAGE_ROOT=$work/root "$source/scripts/package_check" "$work/packages"
