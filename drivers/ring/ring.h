/* The jobs of the driver `ring`: one hardware ring that copies memory.
 *
 * The engine takes the jobs of its 64 slots in order, writes the seqno of each to a word in memory when it
 * is done, and raises an interrupt. Where the interrupt is lost, a fallback timer looks at the word; a
 * job that hangs is ended by a reset, and the ring goes on behind it.
 *
 * Errors of a job: -EINVAL opcode, arguments too short, out of range; -ETIMEDOUT it hung; -ECANCELED.
 */
#ifndef UFENCE_DRIVERS_RING_H
#define UFENCE_DRIVERS_RING_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ufence_ring_opcode {
	UFENCE_RING_COPY = 1, /* struct ufence_ring_copy */
	UFENCE_RING_QUERY = 2 /* struct ufence_ring_query; complete when submit returned */
};

enum ufence_ring_flags {
	UFENCE_RING_LOSE_INTERRUPT = 1u << 0, /* the word is written, nobody is told */
	UFENCE_RING_HANG = 1u << 1            /* the engine stops at this job, before the copy */
};

struct ufence_ring_copy {
	void *to;
	const void *from;
	uint64_t size;
	uint32_t flags;           /* enum ufence_ring_flags */
	uint32_t reserved;
};

/* Since the load. */
struct ufence_ring_counters {
	uint64_t copies;
	uint64_t waited;          /* copies that found the ring full */
	uint64_t interrupts;
	uint64_t fallbacks;       /* completions that the timer found */
	uint64_t resets;
};
struct ufence_ring_query {
	struct ufence_ring_counters *counters;
};

#ifdef __cplusplus
}
#endif
#endif
