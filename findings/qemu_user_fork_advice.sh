#!/usr/bin/env bash
# What becomes of memory advice under QEMU's user-mode emulation?
#
# Versions:  Debian 12, qemu-user-static 1:7.2+dfsg-7+deb12u18+b3, gcc 12
# Guess:     madvise() is passed to the kernel or refused with EINVAL: a guest that was told 0 has what it asked for.
# Seen:      0 for everything, even for advice that does not exist. MADV_DONTNEED does what it says; MADV_WIPEONFORK,
#            MADV_DONTFORK, MADV_REMOVE and MADV_POPULATE_WRITE do nothing: a child of fork() reads the bytes that
#            were to be zeros there, and those that were not to be there at all.
# For users: what notices fork() by a page that is wiped (generators of random numbers, caches of thread ids) sees no
#            fork there, and no error either: count in a pthread_atfork() handler as well.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download qemu-user-static=1:7.2+dfsg-7+deb12u18+b3 >/dev/null 2>&1
dpkg-deb -x ./*.deb root

cat >advice.c <<'C'
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child reads at the start of a page that holds 7, or "nothing" where there is no page. */
static void in_child(const char *name, int advice)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int told, status, pipes[2];

	page[0] = 7;
	told = madvise(page, 4096, advice);
	if (pipe(pipes) != 0)
		return;
	fflush(stdout);
	if (fork() == 0)
		_exit(write(pipes[1], page, 1) == 1 ? page[0] : 99);
	wait(&status);
	printf("%s: %d, ", name, told);
	if (WEXITSTATUS(status) == 99)
		puts("child: nothing");
	else
		printf("child: %d\n", WEXITSTATUS(status));
}

int main(void)
{
	char *pages = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char is_there[256];
	int told, count = 0;

	in_child("no advice", MADV_NORMAL);
	in_child("MADV_WIPEONFORK", MADV_WIPEONFORK);
	in_child("MADV_DONTFORK", MADV_DONTFORK);
	in_child("12345", 12345);
	told = madvise(pages, 1 << 20, 23 /* MADV_POPULATE_WRITE */);
	mincore(pages, 1 << 20, is_there);
	for (int i = 0; i < 256; i++)
		count += is_there[i] & 1;
	printf("MADV_POPULATE_WRITE: %d, pages: %d\n", told, count);
	pages[0] = 7;
	told = madvise(pages, 4096, MADV_DONTNEED);
	printf("MADV_DONTNEED: %d, then: %d\n", told, pages[0]);
	return 0;
}
C
cc -O1 -static -o advice advice.c
echo "on the kernel:"; ./advice | tee kernel.txt
echo "under QEMU:"; root/usr/bin/qemu-x86_64-static ./advice | tee qemu.txt
expect() {
  cmp -s - "$1" || { echo "changed: $1" >&2; exit 1; }
}
expect kernel.txt <<'T'
no advice: 0, child: 7
MADV_WIPEONFORK: 0, child: 0
MADV_DONTFORK: 0, child: nothing
12345: -1, child: 7
MADV_POPULATE_WRITE: 0, pages: 256
MADV_DONTNEED: 0, then: 0
T
expect qemu.txt <<'T'
no advice: 0, child: 7
MADV_WIPEONFORK: 0, child: 7
MADV_DONTFORK: 0, child: 7
12345: 0, child: 7
MADV_POPULATE_WRITE: 0, pages: 0
MADV_DONTNEED: 0, then: 0
T
