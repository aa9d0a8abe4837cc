/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_CLEANUP_H
#define UFENCE_REPLACED_LINUX_CLEANUP_H

/* Nothing of it is needed. */

#endif
