// Serving programs that this library is not in: static ones, those in Go, system calls past the C
// library. A filter (seccomp) has the kernel ask the supervisor, a process that has this library,
// before such a call is made; the supervisor makes the call in the program's place, gives it
// descriptors, and has the kernel make all other calls as they are.
//
// Memory that it is told of is looked at once, so that a program gains nothing by changing it meanwhile: a
// call that the kernel makes after all is one that the program could have made anyhow.
#pragma once

extern "C" {

/// Has the calling process, which has one thread, and all that it will become ask.
/// @return  a descriptor to answer by, which the supervisor has to be given; -1, errno: EBUSY
/// another
///          supervisor is asked already; ENOSYS, EINVAL the system has none of this
int ufence_uapi_filter(void) noexcept;

/// Answers, on threads of its own, until no process asks any more.
/// @return  0, or errno
int ufence_uapi_supervise(int listener) noexcept;
}
