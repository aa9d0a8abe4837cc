/* Sync files: descriptors for fences. Beside the header of this name of the user interface. */
#ifndef UFENCE_LINUX_SYNC_FILE_H
#define UFENCE_LINUX_SYNC_FILE_H

#pragma GCC system_header
#include_next <linux/sync_file.h>

#include <linux/dma-fence-array.h>
#include <linux/dma-fence.h>
#include <linux/file.h>
#include <linux/types.h>
#include <linux/ufence.h>

#ifndef UFENCE_FILE
#error "the files of sync files are those of ufence's linux/file.h: another one has to include it (include_next)"
#endif

UFENCE_C_BEGIN

/* Until its file is installed or put. */
struct sync_file {
	struct file *file;
	char user_name[32]; /* empty: of the fence */
	struct dma_fence *fence;
	struct file ufence_file;
};

/* Takes a reference of its own. NULL: it could not be made. */
struct sync_file *sync_file_create(struct dma_fence *fence) UFENCE_KERNEL(sync_file_create);
/*
 * With a reference; NULL: not a sync file. In the process that made it the very fence, else one that
 * stands for it.
 */
struct dma_fence *sync_file_get_fence(int fd) UFENCE_KERNEL(sync_file_get_fence);
char *sync_file_get_name(struct sync_file *sync_file, char *buf, int len)
	UFENCE_KERNEL(sync_file_get_name);

UFENCE_C_END

#endif
