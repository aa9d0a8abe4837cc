/* The one job that both drivers do. */
#ifndef SUM_H
#define SUM_H
#include <stdint.h>

enum { SUM_OPCODE = 1 };
struct sum_args {
	int64_t a, b;
	int64_t *sum; /* stays until the fence is signaled */
};
#endif
