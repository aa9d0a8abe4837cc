/* The part that the broken drivers share: the parts of a driver that each of them does not break, and what
 * their tests tell them. C, so that what is broken is the module and not the wrapper.
 */
#ifndef UFENCE_DRIVERS_BROKEN_H
#define UFENCE_DRIVERS_BROKEN_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>

#include "ufence/driver.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The arguments of every job; null where a driver has no use for it. Memory of the test. */
struct broken_args {
	uint64_t *memory;            /* what the driver touches when it must not */
	uint32_t *gate;              /* the driver waits until it is 1 */
	uint32_t *begun;             /* the driver sets it to 1 when it waits */
	void (*call)(void *);        /* the driver calls it when it must not */
	void *call_argument;
};

/* The one device of a broken module. */
struct broken_device {
	const struct ufence_host *host;
	struct ufence_device *device;
};
static struct broken_device broken;

#ifndef __cplusplus
static inline struct broken_args *broken_args_of(struct ufence_job *job)
{
	return job->args_size >= sizeof(struct broken_args) ? job->args : NULL;
}
#endif

static inline void broken_wait(const uint32_t *gate)
{
	while (__atomic_load_n(gate, __ATOMIC_ACQUIRE) == 0)
		sched_yield();
}
static inline void broken_tell(uint32_t *word)
{
	if (word != NULL)
		__atomic_store_n(word, 1, __ATOMIC_RELEASE);
}

static inline int broken_init(const struct ufence_host *host, struct ufence_device *device,
			      void **state)
{
	broken.host = host;
	broken.device = device;
	*state = &broken;
	return 0;
}
static inline void broken_stop(void *state)
{
	(void)state;
}
static inline void broken_exit(void *state)
{
	(void)state;
}
static inline int broken_submit(void *state, struct ufence_job *job)
{
	(void)state;
	broken.host->signal(job, 0);
	return 0;
}

/* C++ wants every member, or a warning. */
#ifdef __cplusplus
#define BROKEN_OPS(...)                                                                  \
	[] {                                                                             \
		ufence_device_ops made{};                                                \
		made.size = sizeof made;                                                 \
		made __VA_ARGS__;                                                        \
		return made;                                                             \
	}()
#endif

/* A whole driver, after what it breaks. */
#define BROKEN_TABLE(name_, features_, ops_, init_, stop_, exit_)                        \
	{                                                                                \
		.size = sizeof(struct ufence_driver), .abi_version = UFENCE_ABI_VERSION, \
		.features = (features_), .name = (name_), .timeline = NULL,              \
		.description = NULL, .ops = (ops_), .init = (init_), .stop = (stop_),    \
		.exit = (exit_)                                                          \
	}
#define BROKEN_DRIVER(name_, features_, ops_) \
	UFENCE_DRIVER = BROKEN_TABLE(name_, features_, ops_, broken_init, broken_stop, broken_exit)

#ifdef __cplusplus
}
#endif
#endif
