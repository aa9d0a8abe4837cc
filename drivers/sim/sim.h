/* The jobs of the drivers `sim` and `sim_ooo`: a simulated GPU ring, for tests.
 *
 * The device has a clock of its own that stands still until a job advances it, so a test says what
 * happens when, and nothing depends on real time.
 *
 *  sim      a timeline: jobs run one after the other; the device writes the seqno of each to a word
 *           in memory, and tells the host only from the first awaited seqno on.
 *  sim_ooo  single fences: jobs run side by side and end in any order; one that nobody enabled
 *           signaling for is complete, but only found out by polling.
 *
 * A job's behaviour is in its arguments, or drawn from a generator with a seed: the same seed and
 * the same jobs in the same order give the same history.
 *
 * Errors of a job: -EINVAL opcode, arguments too short, out of range; -EPROTO (sim) a job with a
 * seqno that is not later than the one before; -ECANCELED; its own.
 */
#ifndef UFENCE_DRIVERS_SIM_H
#define UFENCE_DRIVERS_SIM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UFENCE_SIM_TICKS_MAX 1000000u

/* All but work are complete when submit returned. */
enum ufence_sim_opcode {
	UFENCE_SIM_CONFIGURE = 1, /* struct ufence_sim_configure */
	UFENCE_SIM_QUERY = 2,     /* struct ufence_sim_query */
	UFENCE_SIM_ADVANCE = 3,   /* struct ufence_sim_advance */
	UFENCE_SIM_RELEASE = 4,   /* no arguments: jobs that hang go on, as if they had never hung */
	UFENCE_SIM_WORK = 5       /* struct ufence_sim_work */
};

enum ufence_sim_work_flags {
	UFENCE_SIM_HANG = 1u << 0,      /* does not get on until UFENCE_SIM_RELEASE */
	UFENCE_SIM_NO_CANCEL = 1u << 1, /* the device can't stop it: cancel is ignored */
	UFENCE_SIM_RANDOM = 1u << 2     /* adds what struct ufence_sim_configure says */
};

struct ufence_sim_work {
	uint32_t ticks;     /* that it runs; 0: complete as soon as it is its turn */
	uint32_t late;      /* ticks from its completion until the device tells it */
	int32_t error;      /* 0, or the -errno that it ends with */
	uint32_t flags;     /* enum ufence_sim_work_flags */
	uint64_t *target;   /* not null: the device writes value there when the job completes, and */
	uint64_t value;     /*   not later than that */
};

struct ufence_sim_advance {
	uint64_t ticks;
};

enum ufence_sim_order {
	UFENCE_SIM_FIFO = 0,
	UFENCE_SIM_LIFO = 1,
	UFENCE_SIM_SHUFFLED = 2
};

/* For the jobs that follow. */
struct ufence_sim_configure {
	uint64_t seed;
	uint32_t order;           /* enum ufence_sim_order: sim_ooo, of those complete at one tick */
	uint32_t free_running;    /* 1: a thread advances the clock whenever there is something to do */
	/* Of jobs with UFENCE_SIM_RANDOM: up to so many ticks more, up to so much later, and how many
	   of 1000 end with error, or hang. */
	uint32_t ticks_more, late_more;
	uint32_t errors, hangs;
	int32_t error;            /* 0: -EIO */
	uint32_t reserved;
};

/* Since the load. */
struct ufence_sim_counters {
	uint64_t now;             /* ticks */
	uint64_t submitted;       /* jobs of UFENCE_SIM_WORK, as all below */
	uint64_t completed;       /* by the device */
	uint64_t told;            /* sim: interrupts raised; sim_ooo: jobs that the driver decided */
	uint64_t cancelled;
	uint64_t cancels_ignored; /* UFENCE_SIM_NO_CANCEL */
	uint64_t enabled;         /* calls of request_notify, or enable_signaling */
	uint64_t polled;          /* calls of poll */
	uint64_t deadlines;       /* calls of set_deadline */
	uint64_t boosts;          /* of them sooner than all before: the device runs at double speed
	                             until it has nothing to do */
	uint64_t retired;         /* calls of retire, or retire_timeline */
	uint64_t pending;         /* now: not complete */
	uint64_t hanging;         /* now */
};
struct ufence_sim_query {
	struct ufence_sim_counters *counters;
};

#ifdef __cplusplus
}
#endif
#endif
