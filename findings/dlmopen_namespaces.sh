#!/usr/bin/env bash
# How many isolated copies of a plugin fit into one process?
#
# Versions:  Debian 12, libc6 2.36-9+deb12u14, libgomp1 12.2.0-14+deb12u1
# Guess:     dlmopen(LM_ID_NEWLM) is good for 15 namespaces beside the program's own, the 16 that glibc has
#            (DL_NNS), whatever the plugin is.
# Seen:      15 only for a plugin that needs no library at all. With the C library it ends after 11, with
#            libgomp after 5: "cannot allocate memory in static TLS block". Each namespace has a C library of
#            its own, whose static TLS comes out of a surplus that is fixed when the program starts, and that
#            is sized for 4 namespaces. With glibc.rtld.nns=16 in GLIBC_TUNABLES there are 15 of each.
# For hosts: without that tunable a namespace for each plugin isolates no more than a handful of them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download libc6=2.36-9+deb12u14 libgomp1=12.2.0-14+deb12u1 >/dev/null 2>&1
for package in ./*.deb; do dpkg-deb -x "$package" root; done
libraries=$work/root/lib/x86_64-linux-gnu:$work/root/usr/lib/x86_64-linux-gnu

cat >count.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	int n = 0;

	(void)argc;
	while (n < 32 && dlmopen(LM_ID_NEWLM, argv[1], RTLD_NOW))
		n++;
	printf("%d: %s\n", n, dlerror());
	return 0;
}
C
echo 'int alone(void) { return 42; }' >alone.c
echo '#include <stdio.h>
int plugin(void) { return puts("plugin"); }' >plugin.c
cc -o count count.c
cc -shared -fPIC -o alone.so alone.c
cc -shared -fPIC -o plugin.so plugin.c
cc -shared -fPIC -o parallel.so plugin.c -Wl,--no-as-needed -l:libgomp.so.1 -L"$work/root/usr/lib/x86_64-linux-gnu"

# count NAMESPACES REASON PLUGIN [TUNABLES]
count() {
  local seen
  seen=$(GLIBC_TUNABLES=${4-} "$work/root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" \
    --library-path "$libraries" ./count "$3")
  echo "$3 ${4-}: $seen"
  [[ $seen == "$1: "*"$2"* ]] || { echo "changed: $1 namespaces and \"$2\" were expected" >&2; exit 1; }
}
full="no more namespaces available"
count 15 "$full" ./alone.so
count 11 "static TLS block" ./plugin.so
count 5 "static TLS block" ./parallel.so
count 15 "$full" ./plugin.so glibc.rtld.nns=16
count 15 "$full" ./parallel.so glibc.rtld.nns=16
