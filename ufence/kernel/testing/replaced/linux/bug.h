/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_BUG_H
#define UFENCE_REPLACED_LINUX_BUG_H

#include <assert.h>
#define WARN_ON(condition) (!!(condition))
#define BUG_ON(condition) assert(!(condition))

#endif
