// The marks of names that libufence.so exports. Everything without UFENCE_API stays inside the library.
#pragma once

#if __cplusplus < 202100L
#error "ufence's headers need C++23: compile with -std=c++23. Drivers need ufence/driver.hpp alone: C++20."
#endif

#define UFENCE_API [[gnu::visibility("default")]]

// Clang's thread-safety analysis (checked by the preset `clang`); nothing for other compilers.
#if defined(__clang__)
#define UFENCE_TSA(x) __attribute__((x))
#else
#define UFENCE_TSA(x)
#endif
#define UFENCE_CAPABILITY(name) UFENCE_TSA(capability(name))
#define UFENCE_SCOPED_CAPABILITY UFENCE_TSA(scoped_lockable)
#define UFENCE_GUARDED_BY(x) UFENCE_TSA(guarded_by(x))
#define UFENCE_REQUIRES(...) UFENCE_TSA(requires_capability(__VA_ARGS__))
#define UFENCE_EXCLUDES(...) UFENCE_TSA(locks_excluded(__VA_ARGS__))
#define UFENCE_ACQUIRE(...) UFENCE_TSA(acquire_capability(__VA_ARGS__))
#define UFENCE_TRY_ACQUIRE(...) UFENCE_TSA(try_acquire_capability(__VA_ARGS__))
#define UFENCE_RELEASE(...) UFENCE_TSA(release_capability(__VA_ARGS__))
#define UFENCE_NO_TSA UFENCE_TSA(no_thread_safety_analysis)
