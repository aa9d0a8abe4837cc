#!/usr/bin/env bash
# How does QEMU's user-mode emulation answer questions that it does not know?
#
# Versions:  Debian 12, qemu-user-static 1:7.2+dfsg-7+deb12u18+b3, gcc 12
# Guess:     as a kernel that lacks the feature: ENOTTY for an ioctl of something that is not there, ENOPROTOOPT for a
#            socket option, ENOSYS for a system call. Calls that kernels have had for ten years are passed on.
# Seen:      an unknown ioctl is ENOSYS, whatever the descriptor is. SO_COOKIE, which takes eight bytes, is EINVAL,
#            since each unknown option is read as an int.. SO_PEEK_OFF (3.4)
#            and SO_LOCK_FILTER (3.9) are ENOPROTOOPT; process_vm_readv() (3.2) and set_robust_list() (2.6.17) ENOSYS.
#            pidfd_open(), close_range(), membarrier() and seals work.
# For users: "is that a sync file?" is asked with an ioctl; code that takes ENOTTY alone for "no" takes ENOSYS for
#            trouble. A feature that is looked for by its errno needs a list of them, EINVAL among them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download qemu-user-static=1:7.2+dfsg-7+deb12u18+b3 >/dev/null 2>&1
dpkg-deb -x ./*.deb root

cat >ask.c <<'C'
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void tell(const char *what, long result)
{
	printf("%s: %s\n", what, result < 0 ? strerrorname_np(errno) : "works");
}

int main(void)
{
	uint64_t cookie, robust[3] = {0};
	char from[8] = "hello", to[8], info[64] = {0};
	struct iovec local = {to, 8}, remote = {from, 8};
	int pair[2], off = 0, one = 1, event = eventfd(0, 0), memory = memfd_create("x", MFD_ALLOW_SEALING);
	socklen_t size = sizeof(cookie);

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0)
		return 1;
	tell("SYNC_IOC_FILE_INFO on an eventfd", ioctl(event, 0xc0383e04, info));
	tell("SO_COOKIE", getsockopt(pair[0], SOL_SOCKET, SO_COOKIE, &cookie, &size));
	tell("SO_PEEK_OFF", setsockopt(pair[0], SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)));
	tell("SO_LOCK_FILTER", setsockopt(pair[0], SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof(one)));
	tell("process_vm_readv", process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
	tell("set_robust_list", syscall(SYS_set_robust_list, robust, sizeof(robust)));
	tell("pidfd_open", syscall(SYS_pidfd_open, getpid(), 0));
	tell("close_range", close_range(200, 300, 0));
	tell("membarrier", syscall(SYS_membarrier, 16 /* register private expedited */, 0, 0));
	tell("F_ADD_SEALS", fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK));
	return 0;
}
C
cc -O1 -static -o ask ask.c
echo "on the kernel:"; ./ask
echo "under QEMU:"; root/usr/bin/qemu-x86_64-static ./ask | tee qemu.txt
cmp -s - qemu.txt <<'T' || { echo "changed" >&2; exit 1; }
SYNC_IOC_FILE_INFO on an eventfd: ENOSYS
SO_COOKIE: EINVAL
SO_PEEK_OFF: ENOPROTOOPT
SO_LOCK_FILTER: ENOPROTOOPT
process_vm_readv: ENOSYS
set_robust_list: ENOSYS
pidfd_open: works
close_range: works
membarrier: works
F_ADD_SEALS: works
T
