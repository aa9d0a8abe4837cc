/* The jobs of the driver `tlb`: a cache of address translations, as a GPU has one, and its flushes.
 *
 * The device translates pages by a table in the caller's memory, and keeps what it has translated: it
 * goes on with that until it is flushed, whatever the table says by then.
 *
 * Errors of a job: -EINVAL opcode, arguments too short, out of range; -ENXIO no such page, or no table;
 * -ECANCELED; its own.
 */
#ifndef UFENCE_DRIVERS_TLB_H
#define UFENCE_DRIVERS_TLB_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ufence_tlb_opcode {
	UFENCE_TLB_TABLE = 1,     /* struct ufence_tlb_table; complete when submit returned */
	UFENCE_TLB_TRANSLATE = 2, /* struct ufence_tlb_translate; the same */
	UFENCE_TLB_FLUSH = 3      /* struct ufence_tlb_flush; on a worker, in any order */
};

/* entries stays readable until the next table was given, or the device is unloaded. */
struct ufence_tlb_table {
	const uint64_t *entries;
	uint64_t count;
};

struct ufence_tlb_translate {
	uint64_t page;
	uint64_t *address;
};

enum ufence_tlb_flags {
	/* As if there were no memory for the flush: it is done in submit(), its fence is signaled then. */
	UFENCE_TLB_NO_MEMORY = 1u << 0
};

/* Forgets the translations of so many pages. It comes after its in-fences, with its own result. */
struct ufence_tlb_flush {
	uint64_t first, count;
	int32_t error;            /* 0, or the -errno that it ends with */
	uint32_t flags;           /* enum ufence_tlb_flags */
};

#ifdef __cplusplus
}
#endif
#endif
