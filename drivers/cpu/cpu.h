/* The jobs of the driver `cpu`: SHA-256 on worker threads.
 *
 * A message is hashed by a chain of updates, each with the fence of the one before as in-fence.
 * What passes from one to the next lies in the caller's memory (struct ufence_cpu_sha256), so the
 * chain may go on in another instance of the module: an update that ended with -ECANCELED has not
 * touched its state and is submitted again, to whichever instance there is. An update is done fully
 * or not at all.
 *
 * Errors of a job: -EINVAL opcode, arguments too short, a null pointer, unknown flags, a reserved
 * field that is not 0; -ECANCELED ended before it began; -EOVERFLOW *size_from is larger than size.
 */
#ifndef UFENCE_DRIVERS_CPU_H
#define UFENCE_DRIVERS_CPU_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The interface of these opcodes, and the option "workers" of init(): 1 .. UFENCE_CPU_WORKERS_MAX. */
#define UFENCE_CPU_INTERFACE "ufence.cpu"
#define UFENCE_CPU_INTERFACE_VERSION 1u

#define UFENCE_CPU_DIGEST_SIZE 32u
#define UFENCE_CPU_WORKERS_MAX 256u

enum ufence_cpu_opcode {
	UFENCE_CPU_CONFIGURE = 1, /* struct ufence_cpu_configure; complete when submit returned */
	UFENCE_CPU_QUERY = 2,     /* struct ufence_cpu_query; complete when submit returned */
	UFENCE_CPU_SHA256 = 3     /* struct ufence_cpu_sha256_update */
};

/* How many workers take updates from now on; as the option says after the load. -EAGAIN: fewer could be started,
   those that were stay. */
struct ufence_cpu_configure {
	uint32_t workers;         /* 1 .. UFENCE_CPU_WORKERS_MAX */
	uint32_t reserved;
};

/* The counts of this instance so far. */
struct ufence_cpu_counters {
	uint64_t updates, bytes;  /* done */
	uint64_t cancelled;       /* ended before they began */
	uint32_t workers;         /* that take updates */
	uint32_t reserved;
};
struct ufence_cpu_query {
	struct ufence_cpu_counters *counters;
};

/* A hash under way; no pointers inside. Its first update begins it, whatever it held. */
struct ufence_cpu_sha256 {
	uint64_t opaque[16];
};

enum ufence_cpu_sha256_flags {
	UFENCE_CPU_FIRST = 1u << 0, /* begin the hash before */
	UFENCE_CPU_LAST = 1u << 1   /* end the hash after, and write the digest */
};

struct ufence_cpu_sha256_update {
	struct ufence_cpu_sha256 *state;
	const void *data;           /* may be null if size is 0 */
	uint64_t size;              /* in bytes; with size_from the most that it may say */
	const uint64_t *size_from;  /* not null: the size is read here when the update begins, that is
	                               after its in-fences; a read job's result, say */
	uint8_t *digest;            /* UFENCE_CPU_LAST: UFENCE_CPU_DIGEST_SIZE bytes */
	uint32_t flags;             /* enum ufence_cpu_sha256_flags */
	uint32_t reserved;
};

#ifdef __cplusplus
}
#endif
#endif
