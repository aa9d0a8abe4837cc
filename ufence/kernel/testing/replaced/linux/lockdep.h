/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_LOCKDEP_H
#define UFENCE_REPLACED_LINUX_LOCKDEP_H

#define lockdep_assert_held(lock) do { (void)(lock); } while (0)
#define lockdep_is_held(lock) 1

#endif
