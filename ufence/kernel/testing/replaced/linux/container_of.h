/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_CONTAINER_OF_H
#define UFENCE_REPLACED_LINUX_CONTAINER_OF_H

#define container_of(p, type, member) ((type *)(void *)((char *)(p) - __builtin_offsetof(type, member)))

#endif
