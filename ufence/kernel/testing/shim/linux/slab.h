/* Memory from malloc(). */
#ifndef UFENCE_SHIM_LINUX_SLAB_H
#define UFENCE_SHIM_LINUX_SLAB_H

#include <stdlib.h>

#include <linux/types.h>

#define GFP_KERNEL 1U
#define GFP_ATOMIC 2U

static inline void *kmalloc(size_t bytes, gfp_t flags)
{
	(void)flags;
	return malloc(bytes);
}

static inline void *kzalloc(size_t bytes, gfp_t flags)
{
	(void)flags;
	return calloc(1, bytes);
}

static inline void *kcalloc(size_t n, size_t bytes, gfp_t flags)
{
	(void)flags;
	return calloc(n, bytes);
}

#define kmalloc_array(n, bytes, flags) kcalloc(n, bytes, flags)
#define kvmalloc_array(n, bytes, flags) kcalloc(n, bytes, flags)

static inline void kfree(void *memory)
{
	free(memory);
}

#define kvfree(memory) kfree(memory)

#endif
