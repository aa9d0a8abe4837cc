/* Fences with spinlocks and a kfree() that the library does not know. */
#include <linux/dma-fence-array.h>
#include <linux/slab.h>

#include <kunit/test.h>

#include "ufence/kernel/testing/mock_fence.h"

static atomic_t freed;

void other_kfree(void *fence)
{
	atomic_inc(&freed);
	kfree(fence);
}

struct look_cb {
	struct dma_fence_cb cb;
	int runs;
	bool was_held;
};

static void look(struct dma_fence *f, struct dma_fence_cb *cb)
{
	struct look_cb *looked = container_of(cb, struct look_cb, cb);

	looked->runs++;
	looked->was_held = READ_ONCE(dma_fence_spinlock(f)->holders) == 1;
}

static void callbacks_run_under_the_shims_lock(struct kunit *test)
{
	struct dma_fence *f = mock_fence();
	struct look_cb cb = { .runs = 0 };
	unsigned long flags;

	KUNIT_ASSERT_NOT_NULL(test, f);
	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(f, &cb.cb, look), 0);
	dma_fence_signal(f);
	KUNIT_EXPECT_TRUE(test, cb.runs == 1 && cb.was_held);
	KUNIT_EXPECT_EQ(test, f->inline_lock.holders, 0U);
	dma_fence_lock_irqsave(f, flags);
	KUNIT_EXPECT_EQ(test, f->inline_lock.holders, 1U);
	dma_fence_unlock_irqrestore(f, flags);
	KUNIT_EXPECT_GT(test, f->inline_lock.taken, 1U);
	dma_fence_put(f);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_xchg(&freed, 0), 1);
}

static void containers_work_when_signal_locked_returns(struct kunit *test)
{
	struct dma_fence **fences = kcalloc(2, sizeof(*fences), GFP_KERNEL);
	struct dma_fence *a = mock_fence(), *b = mock_fence();
	struct dma_fence_array *array;

	KUNIT_ASSERT_TRUE(test, fences && a && b);
	fences[0] = dma_fence_get(a);
	fences[1] = dma_fence_get(b);
	array = dma_fence_array_create(2, fences, dma_fence_context_alloc(1), 1);
	KUNIT_ASSERT_NOT_NULL(test, array);
	dma_fence_enable_sw_signaling(&array->base);
	dma_fence_signal(a);
	spin_lock(dma_fence_spinlock(b));
	dma_fence_signal_locked(b);
	KUNIT_EXPECT_TRUE(test, dma_fence_test_signaled_flag(&array->base));
	spin_unlock(dma_fence_spinlock(b));
	dma_fence_put(&array->base);
	dma_fence_put(a);
	dma_fence_put(b);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_xchg(&freed, 0), 2);
}

static struct kunit_case other_shim_cases[] = {
	KUNIT_CASE(callbacks_run_under_the_shims_lock),
	KUNIT_CASE(containers_work_when_signal_locked_returns),
	{}
};

static struct kunit_suite other_shim = {
	.name = "kernel_other_shim",
	.test_cases = other_shim_cases,
};

kunit_test_suite(other_shim);
