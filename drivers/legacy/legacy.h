/* The jobs of the driver `legacy`: a device that works like an old kernel driver, for tests.
 *
 * Jobs complete when a job says so, in order. The driver has one lock for all of its fences, held
 * over enable_signaling, over signaling and so over their callbacks; it waits and cleans up in ops
 * of its own. So its fences pin the module (D-19).
 *
 * Errors of a job: -EIO reset; -EINVAL opcode, arguments too short, out of range; -ECANCELED; its own.
 */
#ifndef UFENCE_DRIVERS_LEGACY_H
#define UFENCE_DRIVERS_LEGACY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All but work are complete when submit returned. */
enum ufence_legacy_opcode {
	UFENCE_LEGACY_QUERY = 1,    /* struct ufence_legacy_query */
	UFENCE_LEGACY_COMPLETE = 2, /* struct ufence_legacy_complete */
	UFENCE_LEGACY_WORK = 3,     /* no arguments: runs until it is completed */
	UFENCE_LEGACY_RESET = 4     /* no arguments: what runs ends with -EIO */
};

/* The oldest jobs that run are complete. Those that somebody enabled signaling for are signaled;
   the others are found out by poll, wait or enable_signaling. */
struct ufence_legacy_complete {
	uint64_t jobs;
	int32_t error;              /* 0 or -errno, theirs */
	uint32_t reserved;
};

/* Since the load. */
struct ufence_legacy_counters {
	uint64_t submitted;         /* work */
	uint64_t completed;         /* by the device */
	uint64_t enabled, polled, waited;   /* calls */
	uint64_t cancelled;
	uint64_t resets;
	uint64_t released;          /* calls of release, for work */
	uint64_t running;           /* now: not complete */
};
struct ufence_legacy_query {
	struct ufence_legacy_counters *counters;
};

#ifdef __cplusplus
}
#endif
#endif
