/* Kernel threads are threads. */
#ifndef UFENCE_SHIM_LINUX_KTHREAD_H
#define UFENCE_SHIM_LINUX_KTHREAD_H

#include <linux/sched.h>
#include <linux/types.h>

UFENCE_C_BEGIN

struct task_struct;

/* An ERR_PTR() if there is none to have. */
struct task_struct *kthread_run(int (*function)(void *data), void *data, const char *name);
bool kthread_should_stop(void);
/* Waits for the end of its function; what that returned. */
int kthread_stop(struct task_struct *task);
/* The threads that can run at once, at least 2. */
unsigned int num_online_cpus(void);

UFENCE_C_END

#endif
