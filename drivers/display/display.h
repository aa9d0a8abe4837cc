/* The jobs of the driver `display`: a screen of 120 Hz, whose out-fences are signaled by the vblank.
 *
 * Errors of a job: -EINVAL opcode, arguments too short, out of range; -ECANCELED.
 */
#ifndef UFENCE_DRIVERS_DISPLAY_H
#define UFENCE_DRIVERS_DISPLAY_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ufence_display_opcode {
	UFENCE_DISPLAY_FLIP = 1, /* struct ufence_display_flip: until the vblank that shows it */
	UFENCE_DISPLAY_QUERY = 2 /* struct ufence_display_query; complete when submit returned */
};

/* The next vblank scans the pixels out; of several only the last ones, but all are signaled then. */
struct ufence_display_flip {
	const uint32_t *pixels;
	uint64_t count;
	uint64_t *checksum;       /* may be NULL; what was scanned out: FNV-1a over the pixels' words */
};

/* Since the load. */
struct ufence_display_counters {
	uint64_t vblanks;
	uint64_t flips;           /* that were signaled */
	uint64_t scanned;         /* of them those whose pixels were read */
	uint64_t deadlines;       /* hints */
	uint64_t missed;          /* vblanks that came after the soonest hint for their flips */
};
struct ufence_display_query {
	struct ufence_display_counters *counters;
};

#ifdef __cplusplus
}
#endif
#endif
