/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_KREF_H
#define UFENCE_REPLACED_LINUX_KREF_H

#include <linux/refcount.h>
struct kref {
	refcount_t refcount;
};
#define kref_init(kref) refcount_set(&(kref)->refcount, 1)
#define kref_get(kref) refcount_inc(&(kref)->refcount)
static inline unsigned int kref_read(const struct kref *kref)
{
	return (unsigned int)atomic_read(&kref->refcount.refs);
}

#endif
