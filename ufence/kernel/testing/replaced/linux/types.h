/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_TYPES_H
#define UFENCE_REPLACED_LINUX_TYPES_H


#include <asm/types.h>
#include <linux/posix_types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
typedef uint8_t u8;
typedef uint32_t u32;
typedef int32_t s32;
typedef unsigned long long u64;
typedef long long s64;
typedef unsigned int gfp_t;
typedef struct {
	int counter;
} atomic_t;
typedef struct {
	s64 counter;
} atomic64_t;
struct list_head {
	struct list_head *next, *prev;
};
struct callback_head {
	struct callback_head *next;
	void (*func)(struct callback_head *head);
};
#define rcu_head callback_head

#endif
