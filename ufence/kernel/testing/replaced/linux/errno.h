/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_ERRNO_H
#define UFENCE_REPLACED_LINUX_ERRNO_H


#include <asm/errno.h>
#define ERESTARTSYS 512

#endif
