#!/usr/bin/env bash
# Does a library that is unmapped give its thread keys back?
#
# Versions:  Debian 12, libegl1 1.6.0-1 (glvnd), libmimalloc2.0 2.0.9+ds-2, libuv1 1.44.2-1+deb12u1
# Guess:     dlclose() runs their destructors, which delete the key that a constructor made: loading and closing them
#            a thousand times costs nothing.
# Seen:      each load of libEGL and of mimalloc takes one of the process's 1,024 keys for good, though nothing of the
#            library stays mapped. After a thousand reloads one key is left, or none: pthread_key_create() fails for
#            everybody else, while the libraries themselves go on loading without a word. libuv keeps nothing.
# For hosts: a plugin that brings one of them and is reloaded hundreds of times breaks other code. Load such a library
#            once, for good, before the plugins.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download libegl1=1.6.0-1 libglvnd0=1.6.0-1 libmimalloc2.0=2.0.9+ds-2 libuv1=1.44.2-1+deb12u1 >/dev/null 2>&1
for package in ./*.deb; do dpkg-deb -x "$package" root; done
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu

cat >reload.c <<'C'
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int free_keys(void)
{
	pthread_key_t keys[1024];
	int n = 0;

	while (n < 1024 && pthread_key_create(&keys[n], NULL) == 0)
		n++;
	for (int i = 0; i < n; i++)
		pthread_key_delete(keys[i]);
	return n;
}

static int is_mapped(const char *name)
{
	char line[512];
	int found = 0;
	FILE *maps = fopen("/proc/self/maps", "r");

	while (fgets(line, sizeof(line), maps))
		found |= strstr(line, name) != NULL;
	fclose(maps);
	return found;
}

int main(int argc, char **argv)
{
	int before = free_keys(), loaded = 0;

	(void)argc;
	for (; loaded < 1000; loaded++) {
		void *library = dlopen(argv[1], RTLD_NOW);

		if (!library)
			break;
		dlclose(library);
	}
	printf("%s: %d loads, %d keys fewer, %s\n", argv[1], loaded, before - free_keys(),
	       is_mapped(argv[1]) ? "mapped" : "not mapped");
	return 0;
}
C
cc -O1 -o reload reload.c
for library in libEGL.so.1 libmimalloc.so.2 libuv.so.1; do ./reload "$library"; done | tee seen.txt
cmp -s - seen.txt <<'T' || { echo "changed" >&2; exit 1; }
libEGL.so.1: 1000 loads, 1000 keys fewer, not mapped
libmimalloc.so.2: 1000 loads, 1000 keys fewer, not mapped
libuv.so.1: 1000 loads, 0 keys fewer, not mapped
T
