#!/usr/bin/env bash
# Does a comparison of two builds' interfaces tell that a struct has another alignment?
#
# Versions:  Debian 12, abigail-tools 2.2-2 (libabigail 2.2), gcc 12
# Guess:     yes: the compiler writes the alignment that was asked for into the debug information (DW_AT_alignment), a
#            struct of the same size with another one lies at another place in arguments and in its user's structs.
# Seen:      no. abidiff finds no change between the two libraries, nor between the descriptions that abidw makes of them;
#            the same two headers give a program's struct another size and the member another place. Put the members in
#            another order, and it does tell.
# For users: the alignment of what crosses a module's border has to be checked by something else: a static_assert in the
#            header, or a version in the struct.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download abigail-tools=2.2-2 libabigail0=2.2-2 >/dev/null 2>&1
for package in ./*.deb; do dpkg-deb -x "$package" root; done
export LD_LIBRARY_PATH=$work/root/usr/lib/$(gcc -print-multiarch)

mkdir plain aligned turned
echo 'struct point { _Alignas(64) long x; long y, fill[6]; };' >aligned/point.h
echo 'struct point { long x, y, fill[6]; };' >plain/point.h
echo 'struct point { long y, x, fill[6]; };' >turned/point.h
cat >library.c <<'C'
#include "point.h"
long sum(struct point p) { return p.x + p.y; }
C
cat >user.c <<'C'
#include <stddef.h>
#include <stdio.h>
#include "point.h"
struct user { char tag; struct point at; };
int main(void)
{
	printf("size %zu, the member at %zu\n", sizeof(struct user), offsetof(struct user, at));
	return 0;
}
C
for build in plain aligned turned; do
  gcc -g -fPIC -shared -w -I "$build" -o "$build/lib.so" library.c
  root/usr/bin/abidw "$build/lib.so" >"$build/lib.abi"
  gcc -w -I "$build" -o "$build/user" user.c
done
{
  for build in plain aligned; do echo "$build: $("$build/user")"; done
  readelf --debug-dump=info aligned/lib.so | grep -q DW_AT_alignment && echo "the debug information has it"
  for build in aligned turned; do
    for what in lib.so lib.abi; do
      status=0
      root/usr/bin/abidiff "plain/$what" "$build/$what" >/dev/null || status=$?
      echo "$build, $what: abidiff says $status"
    done
  done
} | tee seen.txt
cmp -s - seen.txt <<'T' || { echo "changed" >&2; exit 1; }
plain: size 72, the member at 8
aligned: size 128, the member at 64
the debug information has it
aligned, lib.so: abidiff says 0
aligned, lib.abi: abidiff says 0
turned, lib.so: abidiff says 4
turned, lib.abi: abidiff says 4
T
