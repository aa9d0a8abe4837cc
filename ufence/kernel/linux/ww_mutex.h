/* Acquire contexts, for those who lock several reservation objects. There is one class of locks. */
#ifndef UFENCE_LINUX_WW_MUTEX_H
#define UFENCE_LINUX_WW_MUTEX_H

#include <linux/types.h>

UFENCE_C_BEGIN

struct ww_class {
	bool ufence_unused;
};

struct ww_acquire_ctx {
	u64 ufence_context[2];
};

#define DEFINE_WW_CLASS(name) struct ww_class name = { false }

void ww_acquire_init(struct ww_acquire_ctx *ctx, const struct ww_class *ww_class)
	UFENCE_KERNEL(ww_acquire_init);
/* It holds nothing any more. */
void ww_acquire_fini(struct ww_acquire_ctx *ctx) UFENCE_KERNEL(ww_acquire_fini);

UFENCE_C_END

#define ww_acquire_done(ctx) ((void)(ctx))

#endif
