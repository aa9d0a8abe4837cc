#!/usr/bin/env bash
# Which of the newer system calls does valgrind pass on?
#
# Versions:  Debian 12, valgrind 1:3.19.0-1 (April 2022), gcc 12
# Guess:     by age: it knows what kernels had in 2020, and says ENOSYS to what came later.
# Seen:      not by age. close_range() (Linux 5.9), io_uring (5.1) and faccessat2() (5.8) are passed on; pidfd_send_signal()
#            (5.1), pidfd_open() (5.3), pidfd_getfd() and openat2() (5.6), and userfaultfd() (4.3) are ENOSYS.
# For users: code that asks for a pidfd and has a way without it runs that way alone under memcheck and helgrind: the one
#            that users run is never checked there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download valgrind=1:3.19.0-1 libc6-dbg=2.36-9+deb12u14 >/dev/null 2>&1
for package in ./*.deb; do dpkg-deb -x "$package" root; done

cat >ask.c <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void tell(const char *name, long result)
{
	printf("%s: %s\n", name, result < 0 && errno == ENOSYS ? "ENOSYS" : "passed on");
}

int main(void)
{
	char room[128] = {0};
	unsigned long how[3] = {0};
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);

	tell("userfaultfd", syscall(SYS_userfaultfd, 1));
	tell("pidfd_send_signal", syscall(SYS_pidfd_send_signal, self, 0, NULL, 0));
	tell("io_uring_setup", syscall(SYS_io_uring_setup, 1, room));
	tell("pidfd_open", syscall(SYS_pidfd_open, getpid(), 0));
	tell("pidfd_getfd", syscall(SYS_pidfd_getfd, self, 1, 0));
	tell("openat2", syscall(SYS_openat2, AT_FDCWD, "/", how, sizeof(how)));
	tell("faccessat2", syscall(SYS_faccessat2, AT_FDCWD, "/", R_OK, 0));
	tell("close_range", syscall(SYS_close_range, 200, 300, 0));
	return 0;
}
C
cc -static -o ask ask.c
export VALGRIND_LIB=$work/root/usr/libexec/valgrind
root/usr/bin/valgrind -q --tool=none ./ask 2>/dev/null | tee seen.txt
cmp -s - seen.txt <<'T' || { echo "changed" >&2; exit 1; }
userfaultfd: ENOSYS
pidfd_send_signal: ENOSYS
io_uring_setup: passed on
pidfd_open: ENOSYS
pidfd_getfd: ENOSYS
openat2: ENOSYS
faccessat2: passed on
close_range: passed on
T
