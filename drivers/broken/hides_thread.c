/* D-13: it finds pthread_create() by its name, so that no import tells. Its thread ends when the gate opens. */
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#include "drivers/broken/broken.h"

static uint32_t *begun;

static void *run(void *arg)
{
	broken_tell(begun);
	broken_wait(arg);
	return NULL;
}

static int submit(void *state, struct ufence_job *job)
{
	int (*start)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
	const struct broken_args *args = broken_args_of(job);
	void *found = dlsym(RTLD_DEFAULT, "pthread_create");
	pthread_t thread;

	memcpy(&start, &found, sizeof(start));
	begun = args->begun;
	if (start(&thread, NULL, run, args->gate) == 0)
		pthread_detach(thread);
	return broken_submit(state, job);
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("hides_thread", 0, &ops);
