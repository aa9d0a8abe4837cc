/* The jobs of the driver `userq`: user queues. Another process works by itself and writes the number of what
 * it has done to a page that it shares; the device only looks at it.
 *
 * That process may die, stop, truncate the page, or lie: numbers that go back or beyond what was emitted are
 * not believed, told in the counters, and never signal a fence.
 *
 * Errors of a job: -EINVAL opcode, arguments too short, out of range; -EBADF; -ENOENT no such queue;
 * -EEXIST; -ENOMEM; -ETIMEDOUT no progress for as long as the queue's timeout; -EOWNERDEAD the process has
 * died; -ECANCELED, as all pending fences of a queue that is destroyed.
 */
#ifndef UFENCE_DRIVERS_USERQ_H
#define UFENCE_DRIVERS_USERQ_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All but a fence are complete when submit returned. */
enum ufence_userq_opcode {
	UFENCE_USERQ_CREATE = 1,  /* struct ufence_userq_create */
	UFENCE_USERQ_FENCE = 2,   /* struct ufence_userq_queue: the next number of the queue */
	UFENCE_USERQ_DESTROY = 3, /* struct ufence_userq_queue */
	UFENCE_USERQ_QUERY = 4    /* struct ufence_userq_query */
};

struct ufence_userq_create {
	uint64_t queue;
	int32_t page_fd;          /* memory (memfd_create); its first 64 bits are the number. The driver
	                             keeps copies of both descriptors */
	int32_t pidfd;            /* of the process, or -1 */
	int64_t timeout_ns;       /* without progress, while a fence is pending; INT64_MAX: none */
};

struct ufence_userq_queue {
	uint64_t queue;
};

struct ufence_userq_state {
	uint64_t emitted;
	uint64_t read;            /* the last number that was believed */
	uint64_t lies;
	uint64_t hangs;           /* times that its pending fences ended for want of progress */
};
struct ufence_userq_query {
	uint64_t queue;
	struct ufence_userq_state *state;
};

#ifdef __cplusplus
}
#endif
#endif
