/* The errnos that the kernel keeps to itself, beside the system's. */
#ifndef UFENCE_LINUX_ERRNO_H
#define UFENCE_LINUX_ERRNO_H

#pragma GCC system_header
#include_next <linux/errno.h>

#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ENOIOCTLCMD 515
#define ENOTSUPP 524

#endif
