/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_ERR_H
#define UFENCE_REPLACED_LINUX_ERR_H

#include <linux/errno.h>
#define MAX_ERRNO 4095
#define IS_ERR(p) ((unsigned long)(p) >= (unsigned long)-MAX_ERRNO)

#endif
