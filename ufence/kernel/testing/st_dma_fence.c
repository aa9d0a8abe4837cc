/* The rows DF of the conformance tables. */
#include <linux/dma-fence.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/timer.h>

#include <kunit/test.h>

#include "ufence/kernel/testing/mock_fence.h"

struct simple_cb {
	struct dma_fence_cb cb;
	bool seen;
};

static void simple_callback(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	(void)fence;
	smp_store_mb(container_of(cb, struct simple_cb, cb)->seen, true);
}

static struct dma_fence *enabled_fence(struct kunit *test)
{
	struct dma_fence *f = mock_fence_of(0, 0);

	KUNIT_ASSERT_NOT_NULL(test, f);
	dma_fence_enable_sw_signaling(f);
	return f;
}

static void DF01_sanitycheck(struct kunit *test)
{
	struct dma_fence *f = enabled_fence(test);

	KUNIT_EXPECT_TRUE(test, dma_fence_was_initialized(f));
	dma_fence_signal(f);
	dma_fence_put(f);
}

static void DF02_test_signaling(struct kunit *test)
{
	struct dma_fence *f = enabled_fence(test);

	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(f));
	KUNIT_EXPECT_NOT_NULL(test, rcu_access_pointer(f->ops));
	KUNIT_EXPECT_FALSE(test, dma_fence_check_and_signal(f));
	KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(f));
	KUNIT_EXPECT_TRUE(test, dma_fence_check_and_signal(f));
	KUNIT_EXPECT_NULL(test, rcu_access_pointer(f->ops));
	dma_fence_put(f);
}

static void DF03_test_add_callback(struct kunit *test)
{
	struct dma_fence *f = enabled_fence(test);
	struct simple_cb cb = {};

	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(f, &cb.cb, simple_callback), 0);
	KUNIT_EXPECT_FALSE(test, cb.seen);
	KUNIT_EXPECT_FALSE(test, list_empty(&cb.cb.node));
	dma_fence_signal(f);
	KUNIT_EXPECT_TRUE(test, cb.seen);
	KUNIT_EXPECT_TRUE(test, list_empty(&cb.cb.node));
	dma_fence_put(f);
}

static void DF04_test_late_add_callback(struct kunit *test)
{
	struct dma_fence *f = enabled_fence(test);
	struct simple_cb cb = {};

	dma_fence_signal(f);
	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(f, &cb.cb, simple_callback), -ENOENT);
	KUNIT_EXPECT_TRUE(test, list_empty(&cb.cb.node));
	dma_fence_signal(f);
	KUNIT_EXPECT_FALSE(test, cb.seen);
	dma_fence_put(f);
}

static void DF05_test_rm_callback(struct kunit *test)
{
	struct dma_fence *f = enabled_fence(test);
	struct simple_cb cb = {};

	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(f, &cb.cb, simple_callback), 0);
	KUNIT_EXPECT_TRUE(test, dma_fence_remove_callback(f, &cb.cb));
	KUNIT_EXPECT_TRUE(test, list_empty(&cb.cb.node));
	KUNIT_EXPECT_FALSE(test, dma_fence_remove_callback(f, &cb.cb));
	dma_fence_signal(f);
	KUNIT_EXPECT_FALSE(test, cb.seen);
	dma_fence_put(f);
}

static void DF06_test_late_rm_callback(struct kunit *test)
{
	struct dma_fence *f = enabled_fence(test);
	struct simple_cb cb = {};

	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(f, &cb.cb, simple_callback), 0);
	dma_fence_signal(f);
	KUNIT_EXPECT_TRUE(test, cb.seen);
	KUNIT_EXPECT_FALSE(test, dma_fence_remove_callback(f, &cb.cb));
	dma_fence_put(f);
}

static void DF07_test_status(struct kunit *test)
{
	struct dma_fence *f = enabled_fence(test);

	KUNIT_EXPECT_EQ(test, dma_fence_get_status(f), 0);
	dma_fence_signal(f);
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(f), 1);
	dma_fence_put(f);
}

static void DF08_test_error(struct kunit *test)
{
	struct dma_fence *f = enabled_fence(test);

	dma_fence_set_error(f, -EIO);
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(f), 0);
	dma_fence_signal(f);
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(f), -EIO);
	KUNIT_EXPECT_EQ(test, f->error, -EIO);
	dma_fence_put(f);
}

static void DF09_test_wait(struct kunit *test)
{
	struct dma_fence *f = enabled_fence(test);

	KUNIT_EXPECT_EQ(test, dma_fence_wait_timeout(f, false, 0), 0);
	dma_fence_signal(f);
	KUNIT_EXPECT_GT(test, dma_fence_wait_timeout(f, false, 0), 0);
	KUNIT_EXPECT_EQ(test, dma_fence_wait(f, false), 0);
	dma_fence_put(f);
}

struct wait_timer {
	struct timer_list timer;
	struct dma_fence *f;
};

static void signal_on_expiry(struct timer_list *timer)
{
	struct wait_timer *wt = timer_container_of(wt, timer, timer);

	dma_fence_signal(wt->f);
}

static void DF10_test_wait_timeout(struct kunit *test)
{
	struct wait_timer wt = { .f = enabled_fence(test) };
	long left;

	timer_setup(&wt.timer, signal_on_expiry, 0);
	KUNIT_EXPECT_EQ(test, dma_fence_wait_timeout(wt.f, false, 1), 0);
	mod_timer(&wt.timer, jiffies + 1);
	left = dma_fence_wait_timeout(wt.f, false, 100 * HZ);
	KUNIT_EXPECT_GT(test, left, 0);
	KUNIT_EXPECT_LE(test, left, 100 * HZ);
	KUNIT_EXPECT_TRUE(test, dma_fence_test_signaled_flag(wt.f));
	timer_delete_sync(&wt.timer);
	dma_fence_put(wt.f);
}

static void DF11_test_stub(struct kunit *test)
{
	struct dma_fence *f[64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(f); i++) {
		f[i] = dma_fence_get_stub();
		KUNIT_ASSERT_NOT_NULL(test, f[i]);
		KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(f[i]));
	}
	KUNIT_EXPECT_EQ(test, f[0]->context, 0);
	KUNIT_EXPECT_EQ(test, f[0]->seqno, 0);
	for (i = 0; i < ARRAY_SIZE(f); i++)
		dma_fence_put(f[i]);
}

/*
 * Two threads hand fences to each other through two slots; each puts a callback on the other's while the
 * other may be signaling it. A callback that was added is run exactly once.
 */
struct race {
	struct dma_fence __rcu *slots[2];
	bool signals_before;
	struct kunit *test;
	unsigned long rounds[2];
	bool stop;
};

struct racer {
	struct race *race;
	int id;
};

struct race_cb {
	struct dma_fence_cb cb;
	atomic_t runs;
};

static void count_run(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	(void)fence;
	atomic_inc(&container_of(cb, struct race_cb, cb)->runs);
}

static int race_thread(void *data)
{
	struct racer *me = data;
	struct race *race = me->race;
	int failures = 0;

	while (!READ_ONCE(race->stop)) {
		struct dma_fence *mine = mock_fence_of(0, 0), *other;
		struct race_cb cb = {};
		bool added;

		dma_fence_enable_sw_signaling(mine);
		dma_fence_get(mine);
		rcu_assign_pointer(race->slots[me->id], mine);
		if (race->signals_before)
			dma_fence_signal(mine);

		do {
			cond_resched();
			rcu_read_lock();
			other = rcu_access_pointer(race->slots[!me->id]) ?
					dma_fence_get_rcu_safe(&race->slots[!me->id]) :
					NULL;
			rcu_read_unlock();
		} while (!other && !READ_ONCE(race->stop));

		if (!race->signals_before)
			dma_fence_signal(mine);
		if (other) {
			added = !dma_fence_add_callback(other, &cb.cb, count_run);
			if (!added)
				failures += dma_fence_get_status(other) != 1;
			else if (dma_fence_wait_timeout(other, false, 100 * HZ) <= 0)
				failures++;
			/* The end of a wait is the end of the callbacks. */
			failures += atomic_read(&cb.runs) != (added ? 1 : 0);
			dma_fence_put(other);
			race->rounds[me->id]++;
		}
		/* The other one may still have to find it signaled. */
		rcu_assign_pointer(race->slots[me->id], NULL);
		dma_fence_signal(mine);
		dma_fence_put(mine);
		dma_fence_put(mine);
	}
	return failures;
}

static void run_race(struct kunit *test, bool signals_before)
{
	struct race race = { .signals_before = signals_before, .test = test };
	struct racer racers[2] = { { &race, 0 }, { &race, 1 } };
	struct task_struct *tasks[2];
	unsigned long end;
	int i;

	for (i = 0; i < 2; i++) {
		tasks[i] = kthread_run(race_thread, &racers[i], "dma-fence");
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, tasks[i]);
	}
	end = jiffies + HZ / 20;
	while (time_before(jiffies, end))
		cond_resched();
	WRITE_ONCE(race.stop, true);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, kthread_stop(tasks[i]), 0);
	pr_info("%lu and %lu fences\n", race.rounds[0], race.rounds[1]);
	rcu_barrier();
}

static void DF12_race_signal_callback_before(struct kunit *test)
{
	run_race(test, true);
}

static void DF12_race_signal_callback_after(struct kunit *test)
{
	run_race(test, false);
}

static void end_case(struct kunit *test)
{
	(void)test;
	rcu_barrier();
}

static struct kunit_case dma_fence_cases[] = {
	KUNIT_CASE(DF01_sanitycheck),
	KUNIT_CASE(DF02_test_signaling),
	KUNIT_CASE(DF03_test_add_callback),
	KUNIT_CASE(DF04_test_late_add_callback),
	KUNIT_CASE(DF05_test_rm_callback),
	KUNIT_CASE(DF06_test_late_rm_callback),
	KUNIT_CASE(DF07_test_status),
	KUNIT_CASE(DF08_test_error),
	KUNIT_CASE(DF09_test_wait),
	KUNIT_CASE(DF10_test_wait_timeout),
	KUNIT_CASE(DF11_test_stub),
	KUNIT_CASE(DF12_race_signal_callback_before),
	KUNIT_CASE(DF12_race_signal_callback_after),
	{}
};

static struct kunit_suite dma_fence = {
	.name = "kernel_dma_fence",
	.exit = end_case,
	.test_cases = dma_fence_cases,
};

kunit_test_suite(dma_fence);

MODULE_DESCRIPTION("dma-fence conformance");
