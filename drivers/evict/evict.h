/* The jobs of the driver `evict`: buffers that are in the device's reach until somebody wants them out, as
 * with user queues: nobody knows when the queues' work ends, only that they can be preempted.
 *
 * Errors of a job: -EINVAL opcode, arguments too short, out of range; -ENOENT no such buffer; -EEXIST the
 * buffer is resident already; -ENOMEM; -ECANCELED.
 */
#ifndef UFENCE_DRIVERS_EVICT_H
#define UFENCE_DRIVERS_EVICT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ufence_evict_opcode {
	/* struct ufence_evict_buffer. The eviction fence: the buffer is resident until it is signaled. A consumer that
	   enables signaling has it evicted: its bytes are saved and cleared. With the next job of the same id
	   the bytes come back: that is the new fence after a resume. */
	UFENCE_EVICT_RESIDENT = 1,
	/* struct ufence_evict_work, of a user queue: adds to each byte. Waits for a resident buffer, and is
	   waited for by an eviction that was asked for later. */
	UFENCE_EVICT_WORK = 2,
	/* struct ufence_evict_work: gives up the eviction fence, which is signaled at once, as the kernel
	   replaces it by the stub; the bytes stay in place. Complete when submit returned. */
	UFENCE_EVICT_DETACH = 3,
	UFENCE_EVICT_QUERY = 4 /* struct ufence_evict_query; complete when submit returned */
};

struct ufence_evict_buffer {
	uint64_t id;
	uint8_t *bytes;
	uint64_t size;            /* the same each time */
};

struct ufence_evict_work {
	uint64_t id;
	uint64_t add;             /* its low 8 bits */
};

/* Since the load. */
struct ufence_evict_counters {
	uint64_t asked;           /* calls of enable_signaling for eviction fences */
	uint64_t evictions, restores, detached, works;
};
struct ufence_evict_query {
	struct ufence_evict_counters *counters;
};

#ifdef __cplusplus
}
#endif
#endif
