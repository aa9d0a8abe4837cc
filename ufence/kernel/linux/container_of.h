/* The object around a member. */
#ifndef UFENCE_LINUX_CONTAINER_OF_H
#define UFENCE_LINUX_CONTAINER_OF_H

#include <linux/types.h>

#define container_of(pointer, type, member)                                                        \
	__extension__({                                                                            \
		const __typeof__(((type *)0)->member) *ufence_member = (pointer);                  \
		(type *)((uintptr_t)ufence_member - offsetof(type, member));                       \
	})

#ifndef typeof_member
#define typeof_member(type, member) __typeof__(((type *)0)->member)
#endif

#endif
