/* What is left of the kernel. */
#ifndef UFENCE_SHIM_LINUX_KERNEL_H
#define UFENCE_SHIM_LINUX_KERNEL_H

#pragma GCC system_header
#include_next <linux/kernel.h>
#include <stdio.h>
#include <string.h>

#include <linux/bug.h>
#include <linux/container_of.h>
#include <linux/printk.h>
#include <linux/types.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define swap(a, b)                                                                                 \
	do {                                                                                       \
		__typeof__(a) shim_swapped = (a);                                                  \
		(a) = (b);                                                                         \
		(b) = shim_swapped;                                                                \
	} while (0)

#endif
