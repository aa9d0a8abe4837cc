#!/usr/bin/env bash
# Is a shared library in another language gone from a process after its runtime was shut down and it was closed?
#
# Versions:  Debian 12, nim 1.6.10-2, gdc-12 12.2.0-14+deb12u1, ocaml-nox 4.13.1-4, gfortran-12 12.2.0-14+deb12u1
# Guess:     where the runtime has a function that ends it (rt_term() of D, caml_shutdown() of OCaml) it takes back what
#            it set up; Nim, compiled without its signal options, sets up nothing.
# Seen:      all of them are unmapped. Signal handlers stay that point to where their code was: of Nim five, SIGINT and
#            SIGSEGV among them, of D two that its collector stops threads with, of OCaml that of SIGSEGV. Fortran
#            leaves nothing.
# For hosts: such a plugin must stay mapped, or whoever unloads it looks at all handlers first, and puts the
#            default in place of those.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p debs/partial root
: >status
apt-get -q -y -o Dir::State::status="$work/status" -o Dir::Cache::archives="$work/debs" \
  -o APT::Install-Recommends=false -o APT::Sandbox::User=root --download-only install \
  nim=1.6.10-2 gdc-12=12.2.0-14+deb12u1 ocaml-nox=4.13.1-4 gfortran-12=12.2.0-14+deb12u1 >apt.log 2>&1 ||
  { tail -n 5 apt.log >&2; exit 1; }
for package in debs/*.deb; do dpkg-deb -x "$package" root; done
libraries=$work/root/lib/x86_64-linux-gnu:$work/root/usr/lib/x86_64-linux-gnu

cat >work.nim <<'N'
proc work(): cint {.exportc, dynlib.} =
  cint(len($42))
N
cat >work.d <<'D'
extern(C) int rt_init();
extern(C) int rt_term();
extern(C) int start() { return rt_init(); }
extern(C) int work() { return cast(int)(new int[1000]).length; }
extern(C) int stop() { return rt_term(); }
D
echo 'let () = Callback.register "work" (fun () -> String.length (string_of_int 42))' >work.ml
cat >caml.c <<'C'
#include <caml/callback.h>
#include <caml/mlvalues.h>
int start(void)
{
	char *arguments[] = {"work", 0};

	caml_startup(arguments);
	return 0;
}
int work(void) { return Int_val(caml_callback(*caml_named_value("work"), Val_unit)); }
int stop(void) { caml_shutdown(); return 0; }
C
cat >work.f90 <<'F'
integer(c_int) function work() bind(c)
  use iso_c_binding
  character(len=20) :: s
  write(s,'(I6)') 42
  work = len_trim(s)
end function
F
bin=$work/root/usr/bin
"$bin/nim" c --app:lib --hints:off --warnings:off --lib:"$work/root/usr/lib/nim/lib" --nimcache:nim -o:nim.so work.nim \
  >nim.log 2>&1
"$bin/gdc-12" -B"$bin/" -shared -fPIC -o d.so work.d
OCAMLLIB=$work/root/usr/lib/ocaml "$bin/ocamlopt.opt" -output-complete-obj -runtime-variant _pic -o caml.so work.ml caml.c
"$bin/gfortran-12" -B"$bin/" -shared -fPIC -o fortran.so work.f90

cat >host.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int is_mapped(const char *name, const void *address)
{
	unsigned long begin, end;
	char line[512];
	int found = 0;
	FILE *maps = fopen("/proc/self/maps", "r");

	while (fgets(line, sizeof(line), maps)) {
		if (name)
			found |= strstr(line, name) != NULL;
		else if (sscanf(line, "%lx-%lx", &begin, &end) == 2)
			found |= begin <= (unsigned long)address && (unsigned long)address < end;
	}
	fclose(maps);
	return found;
}

int main(int argc, char **argv)
{
	void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);

	for (int i = 2; i < argc; i++)
		((int (*)(void))dlsym(library, argv[i]))();
	dlclose(library);
	printf("%s is %s, handlers of code that is gone:", argv[1], is_mapped(argv[1] + 1, NULL) ? "mapped" : "unmapped");
	for (int i = 1; i < 65; i++) {
		struct sigaction now;

		if (sigaction(i, NULL, &now) != 0 || now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN)
			continue;
		if (!is_mapped(NULL, (void *)now.sa_handler))
			printf(" %s", sigabbrev_np(i) ? sigabbrev_np(i) : "real-time");
	}
	puts("");
	fflush(stdout);
	_exit(0);
}
C
cc -o host host.c
run() { "$work/root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$libraries" ./host "$@"; }
{
  run ./nim.so NimMain work
  run ./d.so start work stop
  run ./caml.so start work stop
  run ./fortran.so work
} | tee seen.txt
cmp -s - seen.txt <<'T' || { echo "changed" >&2; exit 1; }
./nim.so is unmapped, handlers of code that is gone: INT ILL ABRT FPE SEGV
./d.so is unmapped, handlers of code that is gone: USR1 USR2
./caml.so is unmapped, handlers of code that is gone: SEGV
./fortran.so is unmapped, handlers of code that is gone:
T
