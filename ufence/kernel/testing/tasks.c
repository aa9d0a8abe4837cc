/* Threads that wait by themselves, with the kernel's names. */
#define UFENCE_TASKS
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/sched.h>

#include <kunit/test.h>

struct sleeper {
	struct task_struct *task;
	bool may_go;
	int slept;
};

static int sleep_until_told(void *data)
{
	struct sleeper *sleeper = data;

	smp_store_release(&sleeper->task, current);
	for (;;) {
		set_current_state(TASK_UNINTERRUPTIBLE);
		if (READ_ONCE(sleeper->may_go))
			break;
		schedule();
		++sleeper->slept;
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static void a_task_sleeps_until_it_is_woken(struct kunit *test)
{
	struct sleeper sleeper = { NULL, false, 0 };
	struct task_struct *thread = kthread_run(sleep_until_told, &sleeper, "sleeps"), *task;

	KUNIT_ASSERT_FALSE(test, IS_ERR(thread));
	while (!(task = smp_load_acquire(&sleeper.task)))
		cond_resched();
	KUNIT_EXPECT_TRUE(test, task != current);
	WRITE_ONCE(sleeper.may_go, true);
	wake_up_process(task);
	KUNIT_EXPECT_EQ(test, kthread_stop(thread), 0);
	KUNIT_EXPECT_TRUE(test, sleeper.slept <= 1);
}

static void a_task_that_nobody_wakes_sleeps_for_its_time(struct kunit *test)
{
	ktime_t before = ktime_get();

	set_current_state(TASK_INTERRUPTIBLE);
	KUNIT_EXPECT_EQ(test, schedule_timeout(3), 0);
	KUNIT_EXPECT_TRUE(test, ktime_to_ms(ktime_sub(ktime_get(), before)) >= 3);
	KUNIT_EXPECT_FALSE(test, signal_pending(current));
	/* It runs: it has the state set anew before it sleeps again. */
	KUNIT_EXPECT_EQ(test, schedule_timeout(1000 * HZ), 1000 * HZ);
	/* A wake-up after the state was set. */
	set_current_state(TASK_UNINTERRUPTIBLE);
	wake_up_process(current);
	KUNIT_EXPECT_GT(test, schedule_timeout(1000 * HZ), 0);
	KUNIT_EXPECT_EQ(test, schedule_timeout_uninterruptible(0), 0);
}

static struct kunit_case task_cases[] = {
	KUNIT_CASE(a_task_sleeps_until_it_is_woken),
	KUNIT_CASE(a_task_that_nobody_wakes_sleeps_for_its_time),
	{}
};

static struct kunit_suite tasks = {
	.name = "kernel_tasks",
	.test_cases = task_cases,
};

kunit_test_suite(tasks);
