/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_COMPILER_H
#define UFENCE_REPLACED_LINUX_COMPILER_H

#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define __rcu
#define REPLACED_PASTE(a, b) a##b
#define __PASTE(a, b) REPLACED_PASTE(a, b)
#define __UNIQUE_ID(prefix) __PASTE(prefix, __COUNTER__)

#endif
