/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_MUTEX_H
#define UFENCE_REPLACED_LINUX_MUTEX_H

#include <pthread.h>
struct mutex {
	pthread_mutex_t lock;
};

#endif
