/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_PRINTK_H
#define UFENCE_REPLACED_LINUX_PRINTK_H

#include <stdio.h>
#define pr_err(...) fprintf(stderr, __VA_ARGS__)

#endif
