/*
 * Wait queues, for wait_event() and wake_up(): a wake_up() wakes all that wait, and each looks at its
 * condition again. They have no entries that a caller queues itself.
 */
#ifndef UFENCE_LINUX_WAIT_H
#define UFENCE_LINUX_WAIT_H

#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <linux/ufence.h>

UFENCE_C_BEGIN

typedef struct wait_queue_head {
	u32 ufence_wakes; /* how many wake_up()s there were */
} wait_queue_head_t;

void wake_up(struct wait_queue_head *queue) UFENCE_KERNEL(wake_up);
u32 ufence_wait_begin(const struct wait_queue_head *queue) UFENCE_EXPORT;
/* Until there was a wake_up() since `wakes` was read; 0, -ETIME, or -ERESTARTSYS if it is interruptible. */
int ufence_wait_end(const struct wait_queue_head *queue, u32 wakes, bool intr,
		    s64 deadline) UFENCE_EXPORT;
/* Of a timeout in jiffies; and what a wait returns that ended so. */
s64 ufence_wait_deadline(unsigned long timeout) UFENCE_EXPORT;
long ufence_wait_left(int ended, s64 deadline) UFENCE_EXPORT;

UFENCE_C_END

#define __WAIT_QUEUE_HEAD_INITIALIZER(name) { 0 }
#define DECLARE_WAIT_QUEUE_HEAD(name) struct wait_queue_head name = { 0 }

static inline void init_waitqueue_head(struct wait_queue_head *queue)
{
	WRITE_ONCE(queue->ufence_wakes, 0U);
}

#define wake_up_all(queue) wake_up(queue)
#define wake_up_interruptible(queue) wake_up(queue)
#define wake_up_interruptible_all(queue) wake_up(queue)

/* The condition is true, or -ETIME, -ERESTARTSYS. */
#define UFENCE_WAIT_EVENT(queue, condition, intr, deadline)                                        \
	__extension__({                                                                            \
		const s64 ufence_deadline = (deadline);                                            \
		int ufence_how = 0;                                                                \
		for (;;) {                                                                         \
			const u32 ufence_wakes_seen = ufence_wait_begin(&(queue));                 \
			if (condition) {                                                           \
				ufence_how = 0;                                                    \
				break;                                                             \
			}                                                                          \
			if (ufence_how)                                                            \
				break;                                                             \
			ufence_how = ufence_wait_end(&(queue), ufence_wakes_seen, intr,            \
						     ufence_deadline);                             \
		}                                                                                  \
		ufence_how;                                                                        \
	})
/* Jiffies left, at least 1; 0; or -ERESTARTSYS. */
#define UFENCE_WAIT_EVENT_TIMEOUT(queue, condition, intr, timeout)                                 \
	__extension__({                                                                            \
		const s64 ufence_end = ufence_wait_deadline((unsigned long)(timeout));             \
		int ufence_ended = UFENCE_WAIT_EVENT(queue, condition, intr, ufence_end);          \
		ufence_wait_left(ufence_ended, ufence_end);                                        \
	})

#define wait_event(queue, condition)                                                               \
	((void)UFENCE_WAIT_EVENT(queue, condition, false, INT64_MAX))
#define wait_event_killable(queue, condition) (wait_event(queue, condition), 0)
#define wait_event_interruptible(queue, condition)                                                 \
	UFENCE_WAIT_EVENT(queue, condition, true, INT64_MAX)
#define wait_event_timeout(queue, condition, timeout)                                              \
	UFENCE_WAIT_EVENT_TIMEOUT(queue, condition, false, timeout)
#define wait_event_interruptible_timeout(queue, condition, timeout)                                \
	UFENCE_WAIT_EVENT_TIMEOUT(queue, condition, true, timeout)

#endif
