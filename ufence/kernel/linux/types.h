/* The kernel's types, beside those of the system's header of the same name. */
#ifndef UFENCE_LINUX_TYPES_H
#define UFENCE_LINUX_TYPES_H

#pragma GCC system_header
#include_next <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/compiler.h>
#include <linux/ufence.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
/*
 * In the kernel u64 and uint64_t are one type, which is printed with %llu, whatever the machine; in a program
 * uint64_t may be another one of the same size. For C, below this line, it is the kernel's. C++ has it in
 * namespace std and in the names of functions; there u64 is that one, and a number that is printed with
 * %llu is converted first.
 */
#ifdef __cplusplus
typedef uint64_t u64;
typedef int64_t s64;
#else
typedef unsigned long long u64;
typedef long long s64;
#define uint64_t u64
#define int64_t s64
#endif

typedef unsigned int gfp_t;
typedef u64 dma_addr_t;
typedef u64 phys_addr_t;

typedef struct {
	int counter;
} atomic_t;
typedef struct {
	s64 counter;
} atomic64_t;

typedef unsigned long pgoff_t;

struct list_head {
	struct list_head *next, *prev;
};
/* list.h: a shim may be without the next two. */
#define UFENCE_HLIST 1
struct hlist_node {
	struct hlist_node *next, **pprev;
};
struct hlist_head {
	struct hlist_node *first;
};

/* What waits for the end of a grace period. */
struct rcu_head {
	struct rcu_head *next;
	void (*func)(struct rcu_head *head);
};
#define callback_head rcu_head

#endif
