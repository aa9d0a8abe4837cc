/*
 * What code that waits by itself needs of tasks. A thread is a task while it runs:
 *
 *	set_current_state(TASK_INTERRUPTIBLE);
 *	if (!condition)
 *		left = schedule_timeout(left);
 *	__set_current_state(TASK_RUNNING);
 *
 * and in another thread, after the condition has become true: wake_up_process(task). A wake-up counts that
 * came after the state was set. Those names are there with -DUFENCE_TASKS.
 */
#ifndef UFENCE_LINUX_SCHED_H
#define UFENCE_LINUX_SCHED_H

#include <limits.h>
#include <sched.h>

#include <linux/types.h>
#include <linux/ufence.h>

/* The timeout that never ends. */
#ifndef MAX_SCHEDULE_TIMEOUT
#define MAX_SCHEDULE_TIMEOUT LONG_MAX
#endif

#ifndef cond_resched
#define cond_resched() ((void)sched_yield())
#endif
/* For the kernel's checker. */
#ifndef might_sleep
#define might_sleep() ((void)0)
#define might_sleep_if(condition) ((void)(condition))
#endif

#define TASK_RUNNING 0U
#define TASK_INTERRUPTIBLE 1U
#define TASK_UNINTERRUPTIBLE 2U
#define TASK_NORMAL (TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)
#define TASK_KILLABLE TASK_UNINTERRUPTIBLE /* who is killed returns to nobody */
#define TASK_IDLE TASK_UNINTERRUPTIBLE

UFENCE_C_BEGIN

struct task_struct;
/* This thread's, until it ends. */
struct task_struct *ufence_current(void) UFENCE_EXPORT;
void ufence_set_current_state(unsigned int state) UFENCE_EXPORT;
/* With TASK_RUNNING it lets others run. Jiffies left, as the kernel counts them; 0: it is over. */
long ufence_schedule_timeout(long timeout) UFENCE_EXPORT;
int ufence_wake_up_process(struct task_struct *task) UFENCE_EXPORT;
/* A signal handler ran while the task last slept, interruptibly. For the task of this thread. */
int ufence_signal_pending(struct task_struct *task) UFENCE_EXPORT;

UFENCE_C_END

/* The kernel's names for them, for those who want them: others have variables and functions called so. */
#ifdef UFENCE_TASKS
#define current ufence_current()
#define set_current_state(state) ufence_set_current_state(state)
#define __set_current_state(state) ufence_set_current_state(state)
#define schedule_timeout(timeout) ufence_schedule_timeout(timeout)
#define schedule() ((void)ufence_schedule_timeout(MAX_SCHEDULE_TIMEOUT))
#define schedule_timeout_interruptible(timeout)                                                    \
	(ufence_set_current_state(TASK_INTERRUPTIBLE), ufence_schedule_timeout(timeout))
#define schedule_timeout_uninterruptible(timeout)                                                  \
	(ufence_set_current_state(TASK_UNINTERRUPTIBLE), ufence_schedule_timeout(timeout))
#define wake_up_process(task) ufence_wake_up_process(task)
#define wake_up_state(task, state) ufence_wake_up_process(task)
#define signal_pending(task) ufence_signal_pending(task)
#define signal_pending_state(state, task)                                                          \
	(((state) & TASK_INTERRUPTIBLE) != 0 && ufence_signal_pending(task))
#define fatal_signal_pending(task) ((void)(task), 0)
#endif

#endif
