/* The kernel's services for the tests: threads, timers, random numbers. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/timer.h>

struct task_struct {
	pthread_t thread;
	int (*function)(void *data);
	void *data;
	bool should_stop;
	int result;
};

static _Thread_local struct task_struct *current;

static void *run_task(void *data)
{
	current = data;
	current->result = current->function(current->data);
	return NULL;
}

struct task_struct *kthread_run(int (*function)(void *data), void *data, const char *name)
{
	struct task_struct *task = kzalloc(sizeof(*task), GFP_KERNEL);
	int failed;

	(void)name;
	if (!task)
		return ERR_PTR(-ENOMEM);
	task->function = function;
	task->data = data;
	failed = pthread_create(&task->thread, NULL, run_task, task);
	if (failed) {
		kfree(task);
		return ERR_PTR(-failed);
	}
	return task;
}

bool kthread_should_stop(void)
{
	return READ_ONCE(current->should_stop);
}

int kthread_stop(struct task_struct *task)
{
	int result;

	WRITE_ONCE(task->should_stop, true);
	pthread_join(task->thread, NULL);
	result = task->result;
	kfree(task);
	return result;
}

unsigned int num_online_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 2 ? 2 : (unsigned int)n;
}

static void *run_timer(void *data)
{
	struct timer_list *timer = data;
	struct timespec at = {
		.tv_sec = (time_t)(timer->expires / HZ),
		.tv_nsec = (long)(timer->expires % HZ) * NSEC_PER_MSEC,
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
	timer->function(timer);
	return NULL;
}

void timer_setup(struct timer_list *timer, void (*function)(struct timer_list *), unsigned int flags)
{
	(void)flags;
	timer->function = function;
	timer->is_started = false;
}

int mod_timer(struct timer_list *timer, unsigned long expires)
{
	timer->expires = expires;
	timer->is_started = !pthread_create(&timer->thread, NULL, run_timer, timer);
	return 0;
}

int timer_delete_sync(struct timer_list *timer)
{
	if (!timer->is_started)
		return 0;
	pthread_join(timer->thread, NULL);
	timer->is_started = false;
	return 1;
}

/* splitmix64, one sequence for all threads. */
u32 get_random_u32_below(u32 ceiling)
{
	static u64 state;
	u64 x = UFENCE_ADD(&state, 0x9E3779B97F4A7C15U) + 0x9E3779B97F4A7C15U;

	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
	return (u32)((x ^ (x >> 31)) % ceiling);
}
