/* A library without threads that registers a function of its own in libkeeps.so. */
#include "ufence/issuer/testing/keeps.h"

static int answer(void)
{
	return 42;
}

void goes_register(void)
{
	keeps_set(answer);
}
