#!/usr/bin/env bash
# What does loading a communication library, and calling nothing of it, do to a program's signals?
#
# Versions:  Debian 12, libucx0 1.13.1-1, libnuma1 2.0.16-1
# Guess:     nothing: a library that wants handlers takes them when it is initialised, and leaves those alone that the
#            program has set.
# Seen:      dlopen() of libucp alone puts its own handlers in place of SIGHUP, SIGILL, SIGBUS, SIGFPE and SIGSEGV,
#            also where the program had one. dlclose() leaves them, and libucs, whose code they are, mapped. With
#            UCX_HANDLE_ERRORS=none SIGHUP is taken all the same, for its debugging.
# For hosts: a plugin that links with it takes the crash reporter, and the reload on SIGHUP, away from the host. Set
#            them again after a plugin was loaded, or the variable before.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download libucx0=1.13.1-1 libnuma1=2.0.16-1 >/dev/null 2>&1
for package in ./*.deb; do dpkg-deb -x "$package" root; done
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu

cat >handlers.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void mine(int signal) { (void)signal; }

static void tell(const char *when)
{
	printf("%s:", when);
	for (int i = 1; i < 32; i++) {
		struct sigaction now;
		Dl_info of;

		if (sigaction(i, NULL, &now) != 0 || now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN)
			continue;
		dladdr((void *)now.sa_handler, &of);
		printf(" SIG%s %s", sigabbrev_np(i), strstr(of.dli_fname, "libucs") ? "libucs" : "own");
	}
	puts("");
}

int main(void)
{
	void *library;

	signal(SIGSEGV, mine);
	signal(SIGUSR1, mine);
	tell("before");
	library = dlopen("libucp.so.0", RTLD_NOW | RTLD_LOCAL);
	tell("loaded");
	dlclose(library);
	tell("closed");
	return 0;
}
C
cc -o handlers handlers.c
./handlers | tee seen.txt
echo "UCX_HANDLE_ERRORS=none"
UCX_HANDLE_ERRORS=none ./handlers | tee -a seen.txt
cmp -s - seen.txt <<'T' || { echo "changed" >&2; exit 1; }
before: SIGUSR1 own SIGSEGV own
loaded: SIGHUP libucs SIGILL libucs SIGBUS libucs SIGFPE libucs SIGUSR1 own SIGSEGV libucs
closed: SIGHUP libucs SIGILL libucs SIGBUS libucs SIGFPE libucs SIGUSR1 own SIGSEGV libucs
before: SIGUSR1 own SIGSEGV own
loaded: SIGHUP libucs SIGUSR1 own SIGSEGV own
closed: SIGHUP libucs SIGUSR1 own SIGSEGV own
T
