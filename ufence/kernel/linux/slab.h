/* Memory from malloc(); flags change nothing but __GFP_ZERO. */
#ifndef UFENCE_LINUX_SLAB_H
#define UFENCE_LINUX_SLAB_H

#include <stdlib.h>
#include <string.h>

#include <linux/cleanup.h>
#include <linux/compiler.h>
#include <linux/types.h>
#include <linux/ufence.h>

#ifndef GFP_KERNEL
#define GFP_KERNEL 1U
#define GFP_ATOMIC 2U
#define GFP_NOWAIT 4U
#define GFP_NOIO 8U
#define GFP_NOFS 16U
#define __GFP_NOWARN 32U
#define __GFP_ZERO 64U
#define __GFP_RETRY_MAYFAIL 128U
#define __GFP_NORETRY 256U
#define __GFP_NOFAIL 512U
#endif

static inline void *kmalloc(size_t bytes, gfp_t flags)
{
	return flags & __GFP_ZERO ? calloc(1, bytes) : malloc(bytes);
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

static inline void *krealloc(const void *old, size_t bytes, gfp_t flags)
{
	union {
		const void *constant;
		void *memory;
	} both;

	(void)flags;
	both.constant = old;
	return realloc(both.memory, bytes);
}

/* NULL also where the product is too large. */
static inline void *krealloc_array(void *old, size_t n, size_t bytes, gfp_t flags)
{
	size_t all;

	return __builtin_mul_overflow(n, bytes, &all) ? NULL : krealloc(old, all, flags);
}

static inline void *kmemdup(const void *from, size_t bytes, gfp_t flags)
{
	void *copy = kmalloc(bytes, flags);

	return copy ? memcpy(copy, from, bytes) : NULL;
}

static inline char *kstrdup(const char *text, gfp_t flags)
{
	return text ? UFENCE_CAST(char *, kmemdup(text, strlen(text) + 1, flags)) : NULL;
}

static inline void kfree(const void *memory)
{
	union {
		const void *constant;
		void *memory;
	} both;

	both.constant = memory;
	free(both.memory);
}

#define kmalloc_array(n, bytes, flags) kcalloc(n, bytes, flags)
#define kvmalloc(bytes, flags) kmalloc(bytes, flags)
#define kvzalloc(bytes, flags) kzalloc(bytes, flags)
#define kvcalloc(n, bytes, flags) kcalloc(n, bytes, flags)
#define kvmalloc_array(n, bytes, flags) kcalloc(n, bytes, flags)
#define kvfree(memory) kfree(memory)
#define kfree_const(memory) kfree(memory)
/* By types, as in later kernels. */
#define kmalloc_obj(object, ...) ((__typeof__(object) *)kmalloc(sizeof(object), GFP_KERNEL))
#define kzalloc_obj(object, ...) ((__typeof__(object) *)kzalloc(sizeof(object), GFP_KERNEL))
#define kmalloc_objs(object, n, ...) ((__typeof__(object) *)kcalloc(n, sizeof(object), GFP_KERNEL))
#define kzalloc_objs(object, n, ...) ((__typeof__(object) *)kcalloc(n, sizeof(object), GFP_KERNEL))

/* Caches are of one size each, and keep nothing: a constructor runs for each object that is allocated. */
#define SLAB_HWCACHE_ALIGN 1U
#define SLAB_RECLAIM_ACCOUNT 2U
#define SLAB_PANIC 4U

struct kmem_cache {
	size_t bytes;
	void (*constructor)(void *object);
};

static inline struct kmem_cache *kmem_cache_create(const char *name, size_t bytes, size_t align,
						   unsigned int flags, void (*constructor)(void *))
{
	struct kmem_cache *cache = UFENCE_CAST(struct kmem_cache *, malloc(sizeof(*cache)));

	(void)name, (void)align, (void)flags;
	if (cache) {
		cache->bytes = bytes;
		cache->constructor = constructor;
	}
	return cache;
}

static inline void kmem_cache_destroy(struct kmem_cache *cache)
{
	free(cache);
}

static inline void *kmem_cache_alloc(struct kmem_cache *cache, gfp_t flags)
{
	void *object = kmalloc(cache->bytes, flags);

	if (object && cache->constructor)
		cache->constructor(object);
	return object;
}

static inline void *kmem_cache_zalloc(struct kmem_cache *cache, gfp_t flags)
{
	return kzalloc(cache->bytes, flags);
}

static inline void kmem_cache_free(struct kmem_cache *cache, void *memory)
{
	(void)cache;
	free(memory);
}

#define KMEM_CACHE(type, flags) kmem_cache_create(#type, sizeof(struct type), 0, flags, NULL)

#ifdef DEFINE_FREE
DEFINE_FREE(kfree, void *, free(_T))
DEFINE_FREE(kvfree, void *, free(_T))
#endif

#endif
