/* What sync files need of files: a struct file is an open descriptor that has no number for others yet. */
#ifndef UFENCE_LINUX_FILE_H
#define UFENCE_LINUX_FILE_H

#include <fcntl.h>

#include <linux/types.h>
#include <linux/ufence.h>

/* sync_file.h: its files are these. */
#define UFENCE_FILE 1

UFENCE_C_BEGIN

struct file {
	int ufence_fd;
};

/* Keeps a number for fd_install(), or gives it up; -EMFILE, ... */
int get_unused_fd_flags(unsigned int flags) UFENCE_KERNEL(get_unused_fd_flags);
void put_unused_fd(unsigned int fd) UFENCE_KERNEL(put_unused_fd);
/* The file is then the descriptor's. */
void fd_install(unsigned int fd, struct file *file) UFENCE_KERNEL(fd_install);
void fput(struct file *file) UFENCE_KERNEL(fput);

UFENCE_C_END

#endif
