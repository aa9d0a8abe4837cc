/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_SLAB_H
#define UFENCE_REPLACED_LINUX_SLAB_H

#include <stdlib.h>
#include <linux/types.h>
#define GFP_KERNEL 0U
#define kzalloc(bytes, flags) calloc(1, bytes)
#define kcalloc(n, bytes, flags) calloc(n, bytes)
#define kfree(memory) free(memory)
#define kvmalloc_array(n, bytes, flags) calloc(n, bytes)
#define kvfree(memory) free(memory)

#endif
