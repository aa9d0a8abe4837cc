// Locks and condition variables of the explored program, for the calls of POSIX, C11 and C++. Each
// keeps its state in the object's own first bytes, so that an object that is made anew, destroyed
// or freed while it is used is seen as any other memory is.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <source_location>

namespace ufence::lab::check {

void lock_mutex(pthread_mutex_t* lock, std::source_location where);
/// @return  false: the deadline came first
[[nodiscard]] bool lock_mutex_until(pthread_mutex_t* lock, std::int64_t deadline_ns,
                                    std::source_location where);
/// Takes it if it is free.
[[nodiscard]] bool try_mutex(pthread_mutex_t* lock, std::source_location where);
void unlock_mutex(pthread_mutex_t* lock, std::source_location where);
/// Of any kind of lock: it has to be free.
void destroy_lock(const void* lock, const char* name, std::source_location where);

/// @return  false: the deadline ended it
bool wait_condition(pthread_cond_t* condition, pthread_mutex_t* lock, std::int64_t deadline_ns,
                    std::source_location where);
void notify_condition(pthread_cond_t* condition, bool all, std::source_location where);
/// Nobody may wait for it who was not notified.
void destroy_condition(pthread_cond_t* condition, std::source_location where);

/// The system call; errors are negative.
long futex(const void* word, int what, std::uint32_t value, const timespec* timeout,
           std::source_location where);

/// The system call; errors are negative.
long membarrier(int command, std::source_location where);
/// Where a thread that has no barrier of its own learns of another one's membarrier().
void signal_fence(std::source_location where);

/// Only what is memory: making, destroying.
void make_object(void* object, std::size_t bytes, std::source_location where);

}  // namespace ufence::lab::check
