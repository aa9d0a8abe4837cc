/* The jobs of the driver `watch`: a module that consumes the fences of others, for tests.
 *
 * Each fence that it is shown (observe) it watches with two callbacks. Its own jobs are complete
 * when submit returned; errors: -EINVAL opcode, arguments too short.
 */
#ifndef UFENCE_DRIVERS_WATCH_H
#define UFENCE_DRIVERS_WATCH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ufence_watch_opcode {
	UFENCE_WATCH_QUERY = 1,  /* struct ufence_watch_query */
	UFENCE_WATCH_REMOVE = 2, /* no arguments: removes every callback */
	UFENCE_WATCH_RENEW = 3   /* no arguments: removes the second callback of each fence that is
	                            still pending, and registers it again */
};

/* Since the load. */
struct ufence_watch_counters {
	uint64_t observed;       /* fences shown */
	uint64_t was_signaled;   /* of them signaled already: not watched */
	uint64_t fired;          /* first callbacks that ran */
	uint64_t fired_second;   /* second ones */
	uint64_t errors;         /* fences that had failed, as first callbacks saw it */
	uint64_t removed;        /* first callbacks removed before they ran */
	uint64_t renewed;        /* second callbacks removed and registered again */
	uint64_t watched;        /* now: fences with a callback that did not run yet */
};
struct ufence_watch_query {
	struct ufence_watch_counters *counters;
};

#ifdef __cplusplus
}
#endif
#endif
