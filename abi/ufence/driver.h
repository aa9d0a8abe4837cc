/* The contract between ufence and a driver module, in C.
 *
 * A driver is a shared object that exports one symbol, `ufence_driver`. The host gives its device jobs
 * (opcode, arguments, in-fences that are signaled by then) and gets a completion for each; the fence
 * that consumers hold is the host's, so the module may be unloaded while thousands of its fences live.
 *
 * Rules, cited as D-n (docs/CONTRACT.md says what breaks otherwise and which test shows it):
 *  D-1   `ufence_driver` is constant data; `size` and `abi_version` come first and are this header's.
 *  D-2   The object carries the ABI note (UFENCE_DRIVER writes it): it is read before dlopen().
 *  D-3   A feature bit is set exactly if its ops are there. name, ops, init, stop, exit, submit always are.
 *  D-4   No exception leaves an entry; init() returns 0 or -errno and on failure leaves nothing behind.
 *  D-5   A job that submit() accepted is decided once: decide(), signal(), or the timeline passing it.
 *  D-6   A job is decided only when neither driver nor device touches its memory any more: its
 *        arguments and whatever they point to. A driver never reads or writes them afterwards.
 *  D-7   decide() may be called with the driver's locks held; the settlement is declared before they
 *        are taken and settled after they are dropped. signal() is called with no lock held.
 *  D-8   Threads are started with thread_start() only, and end on their own once stop() has been called.
 *  D-9   stop() quiets the device: when it returns nothing is in flight, no thread of the driver will
 *        decide another job, and the locks and lists that retire() needs still work.
 *  D-10  retire() is the last use of a job: it unlinks the job from the driver's lists (an
 *        enable_signaling() that raced with the decision may have linked it late) and frees its data.
 *        It may take the driver's locks. Without retire(), the decision is the last use.
 *  D-11  exit() frees the module's globals. Nothing of the module runs afterwards but destructors: of its
 *        static objects, and of its thread_local objects where they defer the unmapping (D-14).
 *  D-12  cancel() is a request: the driver decides the job (-ECANCELED, or its result) as soon as D-6
 *        allows; the host decides nothing for it while the device may touch memory. It may come while
 *        the driver is deciding the job.
 *  D-13  The object imports no function that creates threads (pthread_create, thrd_create, std::thread,
 *        clone, timers that call back on a thread), nor one of another library (g_thread_new).
 *  D-14  The object can be unmapped: no GNU-unique symbol (-fno-gnu-unique), no NODELETE flag; a
 *        thread_local with a destructor defers unmapping and is reported.
 *  D-15  Ops may be called by any thread, concurrently, with no lock of the host held. They do not
 *        block for long, do not wait for fences, and read a job only through their arguments.
 *  D-16  An error is 0 or a negative errno in [-4095, -1].
 *  D-17  Callbacks on fences of others are registered with callback_add() only; the node belongs to the
 *        module, is all zero but for fn before its first use, and stays in place until it ran or
 *        callback_remove() returned.
 *  D-18  A device word handed to the host stays mapped until the device's retire_timeline() returned or,
 *        without it, until exit(). The seqno in it moves forward and never beyond the last job's.
 *  D-19  A legacy driver (UFENCE_F_LEGACY) provides lock, unlock, wait and release; its pending and
 *        referenced fences pin the module. lock() and unlock() also come for jobs that wait for their
 *        in-fences: before submit().
 *  D-20  Module code never asks for its own unload (-EDEADLK).
 *  D-21  Nothing of the module is registered in the process once exit() has returned: signal handlers,
 *        timers and signal stacks; memory in the environment (putenv), in openlog(), initstate() or
 *        setvbuf(); terminate, unexpected and new handlers; buffers, ties, callbacks, locales of C++
 *        streams; the default memory resource; streams of fopencookie() and fmemopen(); conversions of
 *        printf(); keys with destructors; on_exit(); work for threads of libraries; exceptions of its own
 *        classes; whatever other libraries keep, as OPENSSL_atexit() does. atexit(),
 *        at_quick_exit() and pthread_atfork() end with the module. Objects with destructors are made in
 *        init() or in the first submit(), or they go before stop() when the process exits.
 *  D-22  Callbacks of RCU that the module has queued have run once exit() has returned: it calls the
 *        flavour's barrier in stop() or exit().
 *  D-23  A module built with a sanitizer runs in programs that have the sanitizer's runtime.
 *  D-24  Module code does not call pthread_exit() on a thread of the host. The host is not cancelled in
 *        module code.
 */
#ifndef UFENCE_DRIVER_H
#define UFENCE_DRIVER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define UFENCE_ABI_VERSION 1u
#define UFENCE_DRIVER_SYMBOL "ufence_driver"
#define UFENCE_NOTE_NAME "ufence"
#define UFENCE_NOTE_TYPE_ABI 1u

/* The features of a device, defined by behaviour; each bit stands for the ops named with it. */
enum ufence_feature {
	/* Reports a completion only after it was asked to: enable_signaling. */
	UFENCE_F_ENABLE = 1u << 0,
	/* Can be asked whether a job is complete: poll. */
	UFENCE_F_POLL = 1u << 1,
	/* Makes use of deadline hints: set_deadline. */
	UFENCE_F_DEADLINE = 1u << 2,
	/* Keeps data for each job: retire. */
	UFENCE_F_RETIRE = 1u << 3,
	/* Can end jobs early: cancel. */
	UFENCE_F_CANCEL = 1u << 4,
	/* Completes jobs in order of seqno: decide_up_to() or decide_notify(). Its fences are a
	   timeline's: of the ops above only cancel concerns single jobs; request_notify and
	   retire_timeline may be given, and set_deadline is called with job == NULL. */
	UFENCE_F_TIMELINE = 1u << 5,
	/* Works like an old kernel driver (D-19): lock, unlock, wait, release. */
	UFENCE_F_LEGACY = 1u << 6,
	/* Can watch fences of others: observe. */
	UFENCE_F_OBSERVE = 1u << 7,
	UFENCE_F_ALL = (1u << 8) - 1
};

struct ufence_device;     /* the host's record of one loaded instance */
struct ufence_fence;      /* a fence of somebody else, lent to observe() and to callbacks */

/* Work for a device. Host memory; valid until D-10's last use. */
struct ufence_job {
	uint32_t size;            /* sizeof(struct ufence_job) of the host */
	uint32_t opcode;          /* the driver's own numbering */
	uint64_t context, seqno;  /* of the job's fence */
	void *args;               /* the host's copy of the arguments, 16-byte aligned; D-6 */
	uint64_t args_size;       /* in bytes */
	void *driver_private[4];  /* the driver's; zero at submit() */
	void *host;               /* the host's; a copy of a job is not a job */
};

/* Decided jobs whose callbacks are still to run. Start with UFENCE_SETTLEMENT_INIT. */
struct ufence_settlement {
	void *head;
};
#define UFENCE_SETTLEMENT_INIT { 0 }

/* A callback on a fence of somebody else; the module's memory. `reserved` is the host's. */
struct ufence_callback;
typedef void (*ufence_callback_fn)(struct ufence_callback *, struct ufence_fence *);
struct ufence_callback {
	void *reserved[8];              /* the host's */
	ufence_callback_fn fn;
	struct ufence_device *device;   /* set by callback_add() */
};

/* The functions that the host has for a driver. Each function may be called by any thread of the driver, from
   init() until exit() returns, if it does not say otherwise. None allocates if it does not say so. */
struct ufence_host {
	uint32_t size;
	uint32_t abi_version;

	/* Fixes the job's result and wakes waiters; runs no foreign code; any locks may be held (D-7).
	   0 decided; -EALREADY it was before (reported: D-5); -ECANCELED the host gave the job up;
	   -EINVAL not a job of this host, or the error is out of range (D-16). */
	int (*decide)(struct ufence_job *, int error, struct ufence_settlement *later);
	/* Runs what the decisions left over: retire, then callbacks. No lock held. Always call it. */
	void (*settle)(struct ufence_settlement *);
	/* decide, then settle at once. Same errnos. */
	int (*signal)(struct ufence_job *, int error);

	/* UFENCE_F_TIMELINE: all jobs up to this seqno succeeded. -EINVAL beyond the last job. */
	int (*decide_up_to)(struct ufence_device *, uint64_t seqno, struct ufence_settlement *later);
	/* UFENCE_F_TIMELINE: look at the device word (interrupt handler). -EINVAL without one. */
	int (*decide_notify)(struct ufence_device *, struct ufence_settlement *later);
	/* UFENCE_F_TIMELINE, in init() only: the word the device writes completed seqnos to (the low
	   32 bits; extended by the host); D-18. */
	int (*device_word)(struct ufence_device *, const volatile uint32_t *word);

	/* UFENCE_F_LEGACY: signal() for a caller that holds the job's lock. */
	int (*signal_locked)(struct ufence_job *, int error);

	/* Starts a thread that runs fn(arg). The host joins it after stop(). The name (15 bytes are
	   shown) is copied. -EAGAIN, -ENOMEM; -ESHUTDOWN once stop() was called. Allocates. */
	int (*thread_start)(struct ufence_device *, const char *name, void (*fn)(void *), void *arg);

	/* Registers node->fn, which runs once, without locks, when the fence is signaled. 0 queued;
	   -ENOENT signaled already, fn is not called; -ESHUTDOWN the module is being unloaded; -EINVAL. */
	int (*callback_add)(struct ufence_device *, struct ufence_fence *, struct ufence_callback *);
	/* On return fn is not running and never will (F11). 1 removed before it ran; 0 it ran;
	   -EDEADLK two running callbacks remove each other. */
	int (*callback_remove)(struct ufence_fence *, struct ufence_callback *);
	/* 0 pending; 1 signaled; <0 signaled with that error. */
	int (*fence_status)(struct ufence_fence *);

	/* Tells the host's report handler something worth knowing; the text is copied. No lock held. */
	void (*report)(struct ufence_device *, const char *text);
	/* CLOCK_MONOTONIC, in ns. */
	int64_t (*now_ns)(void);
	/* The value of one of the driver's options: what its loader gave, else the one of the table. NULL if
	   the table has no such option. The text stays until exit() returns. Hosts of before have it not: their
	   `size` is smaller. */
	const char *(*option)(struct ufence_device *, const char *name);
};

/* The driver's device. `state` is what init() made. Result of enable_signaling and poll: 0 pending,
   1 complete, <0 complete with that error: the host then decides the job. */
struct ufence_device_ops {
	uint32_t size;
	uint32_t reserved;
	/* Takes the job. 0 accepted (it may be decided before submit() returns); -errno refused: the
	   driver forgets the job, its fence ends with that error. */
	int (*submit)(void *state, struct ufence_job *);
	/* Called at most once for a job, when somebody first waits or registers a callback. */
	int (*enable_signaling)(void *state, struct ufence_job *);
	int (*poll)(void *state, struct ufence_job *);
	/* A hint, many times; keep the soonest. Absolute ns of CLOCK_MONOTONIC. */
	void (*set_deadline)(void *state, struct ufence_job *, int64_t deadline_ns);
	void (*retire)(void *state, struct ufence_job *);
	void (*cancel)(void *state, struct ufence_job *);
	/* UFENCE_F_TIMELINE: somebody waits for this seqno, the lowest that is waited for: interrupt on.
	   Its completion is told by decide_up_to() or decide_notify(). Called at most once per new
	   minimum: for a lower seqno, and for the next one when the minimum has completed. The host
	   looks at the device word once more after it returned. */
	void (*request_notify)(void *state, uint64_t seqno);
	/* UFENCE_F_TIMELINE: no op of the timeline runs or will run, the device word is not read again. */
	void (*retire_timeline)(void *state);
	/* UFENCE_F_LEGACY: the lock held over enable_signaling, callbacks and signaling, as the kernel
	   does; waiting until signaled (0, -ETIME at the absolute deadline, or another error); the end. */
	void (*lock)(void *state, struct ufence_job *);
	void (*unlock)(void *state, struct ufence_job *);
	int (*wait)(void *state, struct ufence_job *, int64_t deadline_ns);
	void (*release)(void *state, struct ufence_job *);
	/* UFENCE_F_OBSERVE: a fence to watch with callback_add(); lent for the call, and as long as a
	   callback of this driver is registered on it. */
	int (*observe)(void *state, struct ufence_fence *);
};

/* Something that the program that loads the driver may set. The value is a text that init() checks. */
struct ufence_option {
	const char *name;         /* without '=' */
	const char *value;        /* if none is given; not NULL */
	const char *description;  /* one line for people; may be NULL */
};

/* Members that may be left out, also where that would be warned about. */
#if defined(__cplusplus) && __cplusplus >= 201402L
#define UFENCE_OR_ZERO_ = {}
#else
#define UFENCE_OR_ZERO_
#endif

struct ufence_driver {
	uint32_t size;
	uint32_t abi_version;
	uint64_t features;        /* enum ufence_feature */
	const char *name;         /* the driver name that consumers see; copied */
	const char *timeline;     /* the timeline name that consumers see, NULL: "queue"; copied */
	const char *description;  /* one line for people; may be NULL */
	const struct ufence_device_ops *ops;
	int (*init)(const struct ufence_host *, struct ufence_device *, void **state);
	void (*stop)(void *state);
	void (*exit)(void *state);
	/* The fields that follow may be left out (zero). The opcodes and their arguments: by a name that all drivers
	   with these share, and a version that grows when some are added. A changed one is a new name. */
	const char *interface_name UFENCE_OR_ZERO_;  /* copied; NULL: nobody else's */
	uint32_t interface_version UFENCE_OR_ZERO_;
	uint32_t options_count UFENCE_OR_ZERO_;
	const struct ufence_option *options UFENCE_OR_ZERO_;
};

#define UFENCE_EXPORT __attribute__((visibility("default")))

/* The ABI note of D-2, 4-byte aligned: namesz, descsz, type, "ufence\0\0", the ABI version. */
struct ufence_abi_note {
	uint32_t namesz, descsz, type;
	char name[8];
	uint32_t abi_version;
};
#define UFENCE_ABI_NOTE                                                                    \
	__attribute__((section(".note.ufence"), used, aligned(4)))                             \
	static const struct ufence_abi_note ufence_abi_note = {                                \
		7, 4, UFENCE_NOTE_TYPE_ABI, UFENCE_NOTE_NAME, UFENCE_ABI_VERSION }

/* Starts the definition of the entry symbol: UFENCE_DRIVER = { sizeof(struct ufence_driver), ... }; */
#define UFENCE_DRIVER                                                                      \
	UFENCE_ABI_NOTE;                                                                       \
	UFENCE_EXPORT extern const struct ufence_driver ufence_driver;                         \
	const struct ufence_driver ufence_driver

#undef UFENCE_OR_ZERO_

#ifdef __cplusplus
}
#endif
#endif
