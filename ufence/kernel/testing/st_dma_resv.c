/* The rows DR of the conformance tables, each for every usage. */
#include <linux/dma-fence-array.h>
#include <linux/dma-resv.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/slab.h>

#include <kunit/test.h>

#include "ufence/kernel/testing/mock_fence.h"

static void for_each_usage(struct kunit *test,
			   void (*run)(struct kunit *test, struct dma_resv *resv, struct dma_fence *f,
				       enum dma_resv_usage usage))
{
	unsigned int usage;

	for (usage = DMA_RESV_USAGE_KERNEL; usage <= DMA_RESV_USAGE_BOOKKEEP; usage++) {
		struct dma_fence *f = mock_fence();
		struct dma_resv resv;

		KUNIT_ASSERT_NOT_NULL(test, f);
		dma_fence_enable_sw_signaling(f);
		dma_resv_init(&resv);
		KUNIT_ASSERT_EQ(test, dma_resv_lock(&resv, NULL), 0);
		KUNIT_ASSERT_EQ(test, dma_resv_reserve_fences(&resv, 1), 0);
		dma_resv_add_fence(&resv, f, (enum dma_resv_usage)usage);
		dma_resv_unlock(&resv);
		run(test, &resv, f, (enum dma_resv_usage)usage);
		dma_fence_signal(f);
		dma_resv_fini(&resv);
		dma_fence_put(f);
	}
}

static void DR01_sanitycheck(struct kunit *test)
{
	struct dma_resv resv;

	dma_resv_init(&resv);
	KUNIT_EXPECT_EQ(test, dma_resv_lock(&resv, NULL), 0);
	KUNIT_EXPECT_TRUE(test, dma_resv_is_locked(&resv));
	KUNIT_EXPECT_FALSE(test, dma_resv_trylock(&resv));
	dma_resv_unlock(&resv);
	KUNIT_EXPECT_FALSE(test, dma_resv_is_locked(&resv));
	dma_resv_fini(&resv);
}

static void signaling(struct kunit *test, struct dma_resv *resv, struct dma_fence *f,
		      enum dma_resv_usage usage)
{
	KUNIT_EXPECT_FALSE(test, dma_resv_test_signaled(resv, usage));
	if (usage > DMA_RESV_USAGE_KERNEL)
		KUNIT_EXPECT_TRUE(test,
				  dma_resv_test_signaled(resv, (enum dma_resv_usage)(usage - 1)));
	dma_fence_signal(f);
	KUNIT_EXPECT_TRUE(test, dma_resv_test_signaled(resv, usage));
}

static void DR02_test_signaling(struct kunit *test)
{
	for_each_usage(test, signaling);
}

static void walk_locked(struct kunit *test, struct dma_resv *resv, struct dma_fence *f,
			enum dma_resv_usage usage)
{
	struct dma_resv_iter cursor;
	struct dma_fence *fence;
	unsigned int found = 0;

	KUNIT_ASSERT_EQ(test, dma_resv_lock(resv, NULL), 0);
	dma_resv_for_each_fence(&cursor, resv, usage, fence) {
		KUNIT_EXPECT_PTR_EQ(test, fence, f);
		KUNIT_EXPECT_EQ(test, dma_resv_iter_usage(&cursor), usage);
		KUNIT_EXPECT_TRUE(test, dma_resv_iter_is_restarted(&cursor));
		found++;
	}
	KUNIT_EXPECT_EQ(test, found, 1);
	if (usage > DMA_RESV_USAGE_KERNEL)
		dma_resv_for_each_fence(&cursor, resv, (enum dma_resv_usage)(usage - 1), fence)
			found++;
	KUNIT_EXPECT_EQ(test, found, 1);
	dma_resv_unlock(resv);
}

static void DR03_test_for_each(struct kunit *test)
{
	for_each_usage(test, walk_locked);
}

static void walk_unlocked(struct kunit *test, struct dma_resv *resv, struct dma_fence *f,
			  enum dma_resv_usage usage)
{
	struct dma_resv_iter cursor;
	struct dma_fence *fence;
	unsigned int starts = 0, found = 0;

	dma_resv_iter_begin(&cursor, resv, usage);
	dma_resv_for_each_fence_unlocked(&cursor, fence) {
		if (dma_resv_iter_is_restarted(&cursor)) {
			starts++;
			found = 0;
		}
		found++;
		KUNIT_EXPECT_PTR_EQ(test, fence, f);
		KUNIT_EXPECT_EQ(test, dma_resv_iter_usage(&cursor), usage);
		/* As if the list had been replaced. */
		if (starts == 1)
			cursor.fences = NULL;
	}
	dma_resv_iter_end(&cursor);
	KUNIT_EXPECT_EQ(test, starts, 2);
	KUNIT_EXPECT_EQ(test, found, 1);

	/* And really. */
	starts = 0;
	dma_resv_iter_begin(&cursor, resv, usage);
	dma_resv_for_each_fence_unlocked(&cursor, fence) {
		if (dma_resv_iter_is_restarted(&cursor) && !starts++) {
			KUNIT_ASSERT_EQ(test, dma_resv_lock(resv, NULL), 0);
			KUNIT_EXPECT_EQ(test, dma_resv_reserve_fences(resv, 100), 0);
			dma_resv_unlock(resv);
		}
	}
	dma_resv_iter_end(&cursor);
	KUNIT_EXPECT_EQ(test, starts, 2);
}

static void DR04_test_for_each_unlocked(struct kunit *test)
{
	for_each_usage(test, walk_unlocked);
}

static void get_fences(struct kunit *test, struct dma_resv *resv, struct dma_fence *f,
		       enum dma_resv_usage usage)
{
	struct dma_fence **fences;
	unsigned int n;

	KUNIT_ASSERT_EQ(test, dma_resv_get_fences(resv, usage, &n, &fences), 0);
	KUNIT_EXPECT_TRUE(test, n == 1 && fences[0] == f);
	while (n--)
		dma_fence_put(fences[n]);
	kfree(fences);
}

static void DR05_test_get_fences(struct kunit *test)
{
	for_each_usage(test, get_fences);
}

static void waits_and_singletons(struct kunit *test, struct dma_resv *resv, struct dma_fence *f,
				 enum dma_resv_usage usage)
{
	struct dma_fence *one, *second = mock_fence();

	KUNIT_EXPECT_EQ(test, dma_resv_wait_timeout(resv, usage, false, 0), 0);
	KUNIT_EXPECT_EQ(test, dma_resv_get_singleton(resv, usage, &one), 0);
	KUNIT_EXPECT_PTR_EQ(test, one, f);
	dma_fence_put(one);

	KUNIT_ASSERT_NOT_NULL(test, second);
	KUNIT_ASSERT_EQ(test, dma_resv_lock(resv, NULL), 0);
	KUNIT_ASSERT_EQ(test, dma_resv_reserve_fences(resv, 1), 0);
	dma_resv_add_fence(resv, second, usage);
	dma_resv_unlock(resv);
	KUNIT_EXPECT_EQ(test, dma_resv_get_singleton(resv, usage, &one), 0);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_array(one));
	dma_fence_enable_sw_signaling(one);
	dma_fence_signal(f);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(one));
	dma_fence_signal(second);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(one));
	KUNIT_EXPECT_EQ(test, dma_resv_wait_timeout(resv, usage, false, 0), 1);
	KUNIT_EXPECT_EQ(test, dma_resv_wait_timeout(resv, usage, false, 77), 77);
	dma_fence_put(one);
	KUNIT_EXPECT_EQ(test, dma_resv_get_singleton(resv, usage, &one), 0);
	KUNIT_EXPECT_NULL(test, one);
	dma_fence_put(second);
}

static void waits_and_singletons_follow_the_fences(struct kunit *test)
{
	for_each_usage(test, waits_and_singletons);
}

static void copies(struct kunit *test, struct dma_resv *resv, struct dma_fence *f,
		   enum dma_resv_usage usage)
{
	struct dma_fence *other = mock_fence_of(f->context, 2);
	struct dma_resv copy;
	char text[256], expected[256];
	static const char *const names[] = { "kernel", "write", "read" };
	struct seq_file seq = { .buf = text, .size = sizeof(text) };

	KUNIT_ASSERT_NOT_NULL(test, other);
	dma_resv_init(&copy);
	KUNIT_ASSERT_EQ(test, dma_resv_lock(&copy, NULL), 0);
	KUNIT_EXPECT_EQ(test, dma_resv_copy_fences(&copy, resv), 0);
	text[0] = 0;
	dma_resv_describe(&copy, &seq);
	if (usage == DMA_RESV_USAGE_BOOKKEEP)
		expected[0] = 0;
	else
		snprintf(expected, sizeof(expected), "\t%s fence:%llu:1 mock mock unsignalled\n",
			 names[usage], (unsigned long long)f->context);
	KUNIT_EXPECT_STREQ(test, text, expected);
	dma_resv_replace_fences(&copy, f->context, other, usage);
	dma_resv_unlock(&copy);
	dma_fence_signal(f);
	KUNIT_EXPECT_TRUE(test, dma_resv_test_signaled(resv, usage));
	KUNIT_EXPECT_FALSE(test, dma_resv_test_signaled(&copy, usage));
	dma_fence_signal(other);
	KUNIT_EXPECT_TRUE(test, dma_resv_test_signaled(&copy, usage));
	dma_resv_fini(&copy);
	dma_fence_put(other);
}

static void copying_replacing_and_describing(struct kunit *test)
{
	for_each_usage(test, copies);
	KUNIT_EXPECT_EQ(test, dma_resv_usage_rw(true), DMA_RESV_USAGE_READ);
	KUNIT_EXPECT_EQ(test, dma_resv_usage_rw(false), DMA_RESV_USAGE_WRITE);
}

/* Two threads lock two objects in opposite orders, and back off as kernel code does. */
struct both {
	struct dma_resv resv[2];
	int counter;
};

struct locker {
	struct both *both;
	int first;
};

static int lock_both(void *data)
{
	struct locker *me = data;
	struct dma_resv *a, *b;
	struct ww_acquire_ctx ctx;
	int i, failures = 0;

	for (i = 0; i < 1000; i++) {
		a = &me->both->resv[me->first];
		b = &me->both->resv[!me->first];
		ww_acquire_init(&ctx, &reservation_ww_class);
		failures += dma_resv_lock(a, &ctx) != 0;
		while (dma_resv_lock(b, &ctx) == -EDEADLK) {
			dma_resv_unlock(a);
			swap(a, b);
			dma_resv_lock_slow(a, &ctx);
		}
		failures += dma_resv_lock(a, &ctx) != -EALREADY;
		failures += dma_resv_locking_ctx(a) != &ctx;
		ww_acquire_done(&ctx);
		me->both->counter++;
		dma_resv_unlock(a);
		dma_resv_unlock(b);
		ww_acquire_fini(&ctx);
	}
	return failures;
}

static void locking_backs_off(struct kunit *test)
{
	struct both both = { .counter = 0 };
	struct locker lockers[2] = { { &both, 0 }, { &both, 1 } };
	struct task_struct *tasks[2];
	int i;

	for (i = 0; i < 2; i++)
		dma_resv_init(&both.resv[i]);
	for (i = 0; i < 2; i++) {
		tasks[i] = kthread_run(lock_both, &lockers[i], "dma-resv");
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, tasks[i]);
	}
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, kthread_stop(tasks[i]), 0);
	KUNIT_EXPECT_EQ(test, both.counter, 2000);
	for (i = 0; i < 2; i++)
		dma_resv_fini(&both.resv[i]);
}

static void end_case(struct kunit *test)
{
	(void)test;
	rcu_barrier();
}

static struct kunit_case dma_resv_cases[] = {
	KUNIT_CASE(DR01_sanitycheck),
	KUNIT_CASE(DR02_test_signaling),
	KUNIT_CASE(DR03_test_for_each),
	KUNIT_CASE(DR04_test_for_each_unlocked),
	KUNIT_CASE(DR05_test_get_fences),
	KUNIT_CASE(waits_and_singletons_follow_the_fences),
	KUNIT_CASE(copying_replacing_and_describing),
	KUNIT_CASE(locking_backs_off),
	{}
};

static struct kunit_suite dma_resv = {
	.name = "kernel_dma_resv",
	.exit = end_case,
	.test_cases = dma_resv_cases,
};

kunit_test_suite(dma_resv);
