/* D-17: frees a callback that is registered. */
#include <errno.h>
#include <stdlib.h>

#include "drivers/broken/broken.h"

static void ran(struct ufence_callback *self, struct ufence_fence *fence)
{
	(void)self;
	(void)fence;
}

static int observe(void *state, struct ufence_fence *fence)
{
	(void)state;
	struct ufence_callback *node = calloc(1, sizeof(*node));
	if (node == NULL)
		return -ENOMEM;
	node->fn = ran;
	broken.host->callback_add(broken.device, fence, node);
	free(node);
	return 0;
}

static const struct ufence_device_ops ops = {
	.size = sizeof(ops), .submit = broken_submit, .observe = observe
};

BROKEN_DRIVER("frees_callback", UFENCE_F_OBSERVE, &ops);
