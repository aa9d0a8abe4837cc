/* The arguments that both drivers take: two numbers, and where the result goes. */
#pragma once

#include <stdint.h>

struct job_args {
	const int64_t *a, *b;
	int64_t *result;
};
