/* Errors as pointers. */
#ifndef UFENCE_LINUX_ERR_H
#define UFENCE_LINUX_ERR_H

#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/types.h>
#include <linux/ufence.h>

#define MAX_ERRNO 4095
#define IS_ERR_VALUE(x) unlikely((uintptr_t)(x) >= (uintptr_t)-MAX_ERRNO)

static inline void *ERR_PTR(long error)
{
	union {
		long error;
		void *pointer;
	} both;

	both.error = error;
	return both.pointer;
}

static inline long PTR_ERR(const void *pointer)
{
	union {
		const void *pointer;
		long error;
	} both;

	both.pointer = pointer;
	return both.error;
}

static inline bool IS_ERR(const void *pointer)
{
	long value = PTR_ERR(pointer);

	return value < 0 && value >= -MAX_ERRNO;
}

static inline bool IS_ERR_OR_NULL(const void *pointer)
{
	return !pointer || IS_ERR(pointer);
}

static inline void *ERR_CAST(const void *pointer)
{
	return ERR_PTR(PTR_ERR(pointer));
}

static inline int PTR_ERR_OR_ZERO(const void *pointer)
{
	return IS_ERR(pointer) ? UFENCE_CAST(int, PTR_ERR(pointer)) : 0;
}

#endif
