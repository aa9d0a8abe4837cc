/* A driver that does nothing, and its broken relatives: what is broken is chosen by macros. */
#include "ufence/driver.h"

#if defined(IMPORT_PTHREAD_CREATE)
#include <pthread.h>
#endif

#if defined(STATIC_TLS)
/* Of the memory that each thread has from its start. */
static __thread volatile char much[STATIC_TLS] __attribute__((tls_model("initial-exec")));
#endif

#if defined(WAITS)
/* The constructor and init() each read a byte from a descriptor that the test names. */
#include <stdlib.h>
#include <unistd.h>

static void wait_for_test(void)
{
	const char *fd = getenv("UFENCE_TEST_FD");
	char byte;
	if (fd != 0 && read(atoi(fd), &byte, 1) != 1)
		abort();
}
__attribute__((constructor)) static void construct(void)
{
	wait_for_test();
}
#endif

#if defined(NEED_BESIDE)
int beside(void); /* of a library that lies beside the module */
#endif

static int submit(void *state, struct ufence_job *job)
{
	(void)state;
	(void)job;
#if defined(STATIC_TLS)
	return much[job->seqno & 1];
#elif defined(NEED_BESIDE)
	return beside() - 1;
#else
	return 0;
#endif
}

static const struct ufence_device_ops ops = {
	.size = sizeof(struct ufence_device_ops),
	.submit = submit,
};

#if defined(IMPORT_PTHREAD_CREATE)
static void *run(void *arg)
{
	return arg;
}
#endif

static int init(const struct ufence_host *host, struct ufence_device *device, void **state)
{
	(void)host;
	(void)device;
	*state = 0;
#if defined(WAITS)
	wait_for_test();
#endif
#if defined(IMPORT_PTHREAD_CREATE)
	pthread_t thread;
	return pthread_create(&thread, 0, run, 0);
#else
	return 0;
#endif
}

static void quiet(void *state)
{
	(void)state;
}

#if defined(NOTE_VERSION)
__attribute__((section(".note.ufence"), used, aligned(4)))
static const struct ufence_abi_note note = {
	7, 4, UFENCE_NOTE_TYPE_ABI, UFENCE_NOTE_NAME, NOTE_VERSION
};
#elif !defined(NO_NOTE)
UFENCE_ABI_NOTE;
#endif

#if !defined(BUILD)
#define BUILD "build 1"
#endif

#if defined(NO_ENTRY)
extern const struct ufence_driver another_name;
UFENCE_EXPORT const struct ufence_driver another_name = {
#elif defined(WRITABLE_ENTRY)
extern struct ufence_driver ufence_driver;
UFENCE_EXPORT struct ufence_driver ufence_driver = {
#else
extern const struct ufence_driver ufence_driver;
UFENCE_EXPORT const struct ufence_driver ufence_driver = {
#endif
	.size = sizeof(struct ufence_driver),
	.abi_version = UFENCE_ABI_VERSION,
	.name = "minimal",
	.description = BUILD,
#if !defined(NULL_OPS)
	.ops = &ops,
#endif
	.init = init,
	.stop = quiet,
	.exit = quiet,
};
