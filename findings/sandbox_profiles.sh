#!/usr/bin/env bash
# What may a program call in a container of podman, and in a service under systemd's usual filter?
#
# Versions:  Debian 12, golang-github-containers-common 0.50.1+ds1-4, systemd 252.39-1~deb12u2
# Guess:     the same of what waits and shared memory need: membarrier(), futex_waitv() (Linux 5.16), memfd_create(),
#            pidfd_open(), epoll_pwait2(), close_range(). io_uring in containers alone; userfaultfd(), kcmp() and
#            pidfd_getfd(), which look into others, in neither without CAP_SYS_PTRACE.
# Seen:      two different worlds. In the container there is no futex_waitv() (ENOSYS) and no io_uring; pidfd_getfd() and
#            memfd_secret() are allowed to everybody. @system-service has all of io_uring, futex_waitv(), userfaultfd()
#            and kcmp(), of which the container refuses the last two, and has no pidfd_getfd() and no memfd_secret().
# For users: only the first five below can be taken for granted; a wait for one of several futexes
#            needs a way without futex_waitv() on kernels that have it, and a driver over io_uring one without it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download golang-github-containers-common=0.50.1+ds1-4 systemd=252.39-1~deb12u2 \
  libsystemd-shared=252.39-1~deb12u2 >/dev/null 2>&1
for package in ./*.deb; do dpkg-deb -x "$package" root; done
LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu/systemd root/usr/bin/systemd-analyze --no-pager syscall-filter >sets.txt 2>/dev/null

python3 - <<'P' | tee seen.txt
import json

sets, members = {}, []
for line in open("sets.txt", encoding="utf-8"):
    word = line.strip()
    if line.startswith("@"):
        members = sets.setdefault(word, [])
    elif line.startswith(" ") and word and not word.startswith("#"):
        members.append(word)

def calls(name):
    return {c for m in sets[name] for c in (calls(m) if m.startswith("@") else {m})}

service = calls("@system-service")
profile = json.load(open("root/usr/share/containers/seccomp.json", encoding="utf-8"))

def in_container(call):
    for rule in profile["syscalls"]:
        if call in rule["names"] and not rule.get("includes", {}).get("caps"):
            return "allowed" if rule["action"] == "SCMP_ACT_ALLOW" else rule["errno"]
    return profile["defaultErrno"]

for call in ("membarrier memfd_create pidfd_open close_range epoll_pwait2 futex_waitv io_uring_setup io_uring_enter "
             "userfaultfd kcmp pidfd_getfd memfd_secret").split():
    print(f"{call}: container {in_container(call)}, service {'allowed' if call in service else 'refused'}")
P
cmp -s - seen.txt <<'T' || { echo "changed" >&2; exit 1; }
membarrier: container allowed, service allowed
memfd_create: container allowed, service allowed
pidfd_open: container allowed, service allowed
close_range: container allowed, service allowed
epoll_pwait2: container allowed, service allowed
futex_waitv: container ENOSYS, service allowed
io_uring_setup: container ENOSYS, service allowed
io_uring_enter: container ENOSYS, service allowed
userfaultfd: container EPERM, service allowed
kcmp: container EPERM, service allowed
pidfd_getfd: container allowed, service refused
memfd_secret: container allowed, service refused
T
