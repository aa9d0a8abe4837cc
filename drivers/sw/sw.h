/* The jobs of the driver `sw`: software timelines. A point is signaled when the value of its timeline
 * has reached it.
 *
 * Errors of a job: -EINVAL opcode, arguments too short, out of range; -ENOENT its timeline was closed;
 * -EOVERFLOW the value would pass the largest; -ECANCELED.
 */
#ifndef UFENCE_DRIVERS_SW_H
#define UFENCE_DRIVERS_SW_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All but a point are complete when submit returned. A timeline begins with its first use, at 0. */
enum ufence_sw_opcode {
	UFENCE_SW_POINT = 1,   /* struct ufence_sw_point */
	UFENCE_SW_ADVANCE = 2, /* struct ufence_sw_point: by so much */
	UFENCE_SW_CLOSE = 3,   /* struct ufence_sw_point: pending points end with -ENOENT */
	UFENCE_SW_QUERY = 4    /* struct ufence_sw_query */
};

struct ufence_sw_point {
	uint64_t timeline;
	uint64_t value;
};

struct ufence_sw_state {
	uint64_t value;
	uint64_t pending;        /* points */
	int64_t deadline_ns;     /* the soonest hint for a pending point; INT64_MAX: none */
};
struct ufence_sw_query {
	uint64_t timeline;
	struct ufence_sw_state *state;
};

#ifdef __cplusplus
}
#endif
#endif
