/*
 * Objects that have memory, as far as drm_exec.h has to know them: what is counted, and whose reservation
 * object. A program that has more of them brings a header of this name.
 */
#ifndef UFENCE_DRM_DRM_GEM_H
#define UFENCE_DRM_DRM_GEM_H

#include <linux/dma-resv.h>
#include <linux/kref.h>
#include <linux/refcount.h>
#include <linux/types.h>
#include <linux/ufence.h>

struct drm_device;
struct drm_gem_object;

struct drm_gem_object_funcs {
	/* The last reference is gone: drm_gem_object_release(), then free it. */
	void (*free)(struct drm_gem_object *obj);
};

/* Part of a driver's object. Zeroed before drm_gem_private_object_init(), but what the driver has set. */
struct drm_gem_object {
	struct kref refcount;
	struct drm_device *dev; /* whose it is; nothing here looks at it */
	size_t size;
	struct dma_resv *resv; /* its own, or one that the driver set: several may have one */
	struct dma_resv _resv;
	const struct drm_gem_object_funcs *funcs; /* for the end of its last reference */
};

/* The caller has the first reference. */
static inline void drm_gem_private_object_init(struct drm_device *dev, struct drm_gem_object *obj,
					       size_t size)
{
	kref_init(&obj->refcount);
	obj->dev = dev;
	obj->size = size;
	dma_resv_init(&obj->_resv);
	if (!obj->resv)
		obj->resv = &obj->_resv;
}

/* Drops the fences of its own reservation object. Nobody uses it any more. */
static inline void drm_gem_private_object_fini(struct drm_gem_object *obj)
{
	dma_resv_fini(&obj->_resv);
}

static inline void drm_gem_object_release(struct drm_gem_object *obj)
{
	drm_gem_private_object_fini(obj);
}

static inline void drm_gem_object_get(struct drm_gem_object *obj)
{
	kref_get(&obj->refcount);
}

/* NULL is none. */
static inline void drm_gem_object_put(struct drm_gem_object *obj)
{
	if (obj && refcount_dec_and_test(&obj->refcount.refcount))
		obj->funcs->free(obj);
}

#endif
