/* A library that starts a thread, and so stays, and that keeps what it is given in its static data. */
#include "ufence/issuer/testing/keeps.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

static keeps_function kept;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void keeps_set(keeps_function function)
{
	kept = function;
}

int keeps_call(void)
{
	return kept != 0 ? kept() : 0;
}

void keeps_at_exit(void (*function)(void))
{
	atexit(function);
}

static void *run(void *arg)
{
	for (;;)
		poll(0, 0, 1);
	return arg;
}

static void start(void)
{
	pthread_t thread;
	if (pthread_create(&thread, 0, run, 0) == 0)
		pthread_detach(thread);
}

void keeps_start(void)
{
	pthread_once(&once, start);
}
