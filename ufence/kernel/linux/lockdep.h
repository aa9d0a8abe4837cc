/* Annotations of the kernel's lock checker, which is not here. */
#ifndef UFENCE_LINUX_LOCKDEP_H
#define UFENCE_LINUX_LOCKDEP_H

#define lockdep_assert_held(lock) ((void)(lock))
#define lockdep_assert_not_held(lock) ((void)(lock))
#define lockdep_is_held(lock) ((void)(lock), 1)
#define might_lock(lock) ((void)(lock))

#endif
