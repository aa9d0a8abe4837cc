/* Containers that are polled in the callbacks of what completes them. */
#include <linux/dma-fence-array.h>
#include <linux/dma-fence-chain.h>
#include <linux/kernel.h>
#include <linux/kthread.h>

#include <kunit/test.h>

#include "ufence/kernel/testing/mock_fence.h"

/* What one callback does. */
struct act {
	struct dma_fence_cb cb;
	struct dma_fence *signals, *polls;
	int runs;
	bool was_signaled; /* what it polled */
	atomic_t *arrives, *waits_for; /* it sets the one, and waits until the other is set */
};

static void do_act(struct dma_fence *f, struct dma_fence_cb *cb)
{
	struct act *act = container_of(cb, struct act, cb);

	(void)f;
	act->runs++;
	if (act->arrives)
		atomic_set_release(act->arrives, 1);
	while (act->waits_for && !atomic_read_acquire(act->waits_for))
		cond_resched();
	if (act->signals)
		dma_fence_signal(act->signals);
	if (act->polls)
		act->was_signaled = dma_fence_is_signaled(act->polls);
}

static void on(struct kunit *test, struct dma_fence *f, struct act *act)
{
	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(f, &act->cb, do_act), 0);
}

/* A container that is signaled with this fence alone. */
typedef struct dma_fence *(*make_container)(struct kunit *test, struct dma_fence *last);

static struct dma_fence *make_array(struct kunit *test, struct dma_fence *last)
{
	struct dma_fence **fences = kcalloc(2, sizeof(*fences), GFP_KERNEL);
	struct dma_fence_array *array;

	KUNIT_ASSERT_NOT_NULL(test, fences);
	fences[0] = dma_fence_get(last);
	fences[1] = dma_fence_get_stub();
	array = dma_fence_array_create(2, fences, dma_fence_context_alloc(1), 1);
	KUNIT_ASSERT_NOT_NULL(test, array);
	return &array->base;
}

static struct dma_fence *make_chain(struct kunit *test, struct dma_fence *last)
{
	struct dma_fence_chain *chain = dma_fence_chain_alloc();

	KUNIT_ASSERT_NOT_NULL(test, chain);
	dma_fence_chain_init(chain, NULL, dma_fence_get(last), 1);
	return &chain->base;
}

static struct dma_fence *make_array_in_chain(struct kunit *test, struct dma_fence *last)
{
	struct dma_fence *array = make_array(test, last);
	struct dma_fence *chain = make_chain(test, array);

	dma_fence_put(array);
	return chain;
}

/*
 * The last fence of a container is signaled. One of its callbacks signals another fence, the next one
 * polls the container, whose own signaling still waits for the callbacks to end: the other fence is
 * signaled, and calls back, all the same.
 */
static void poll_while_it_is_queued(struct kunit *test, make_container make, bool polls_first)
{
	struct dma_fence *a = mock_fence(), *b = mock_fence(), *other = mock_fence();
	struct dma_fence *container = make(test, a);
	struct act of_container = {}, of_b = {}, of_other = {}, signals = {}, polls = {}, last = {};

	on(test, container, &of_container);
	on(test, b, &of_b);
	on(test, other, &of_other);
	signals.signals = b;
	polls.polls = container;
	last.signals = other;
	on(test, a, polls_first ? &polls : &signals);
	on(test, a, polls_first ? &signals : &polls);
	on(test, a, &last);
	dma_fence_signal(a);
	/* A container in another one has not called back yet. */
	KUNIT_EXPECT_TRUE(test, polls.was_signaled);
	KUNIT_EXPECT_TRUE(test, polls.runs == 1 && signals.runs == 1 && last.runs == 1);
	KUNIT_EXPECT_EQ(test, of_container.runs, 1);
	KUNIT_EXPECT_EQ(test, of_b.runs, 1);
	KUNIT_EXPECT_EQ(test, of_other.runs, 1);
	KUNIT_EXPECT_EQ(test, dma_fence_wait_timeout(b, false, 0), 1);
	KUNIT_EXPECT_EQ(test, dma_fence_wait_timeout(other, false, 0), 1);
	KUNIT_EXPECT_EQ(test, dma_fence_wait_timeout(container, false, 0), 1);
	KUNIT_EXPECT_EQ(test, kref_read(&container->refcount), 1);
	KUNIT_EXPECT_EQ(test, kref_read(&b->refcount), 1);
	dma_fence_put(container);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, kref_read(&a->refcount), 1);
	dma_fence_put(a);
	dma_fence_put(b);
	dma_fence_put(other);
}

static void regress_an_array_polled_while_it_is_queued(struct kunit *test)
{
	poll_while_it_is_queued(test, make_array, false);
	poll_while_it_is_queued(test, make_array, true);
}

static void regress_a_chain_polled_while_it_is_queued(struct kunit *test)
{
	poll_while_it_is_queued(test, make_chain, false);
	poll_while_it_is_queued(test, make_chain, true);
}

/* The array is not queued when the chain is polled: it is signaled by the poll alone. */
static void regress_an_array_in_a_chain_polled_while_it_is_queued(struct kunit *test)
{
	poll_while_it_is_queued(test, make_array_in_chain, false);
	poll_while_it_is_queued(test, make_array_in_chain, true);
}

static int signal_it(void *data)
{
	dma_fence_signal(data);
	return 0;
}

/* The same, where another thread polls, itself in a callback. */
static void poll_elsewhere(struct kunit *test, make_container make)
{
	struct dma_fence *a = mock_fence(), *b = mock_fence(), *elsewhere = mock_fence();
	struct dma_fence *container = make(test, a);
	struct act of_container = {}, of_b = {}, signals = {}, stays = {}, polls = {}, then = {};
	atomic_t is_queued = ATOMIC_INIT(0), is_polled = ATOMIC_INIT(0);
	struct task_struct *task;

	on(test, container, &of_container);
	on(test, b, &of_b);
	stays.arrives = &is_queued;
	stays.waits_for = &is_polled;
	signals.signals = b;
	on(test, a, &stays);
	on(test, a, &signals);
	polls.waits_for = &is_queued;
	polls.polls = container;
	then.arrives = &is_polled;
	on(test, elsewhere, &polls);
	on(test, elsewhere, &then);
	task = kthread_run(signal_it, elsewhere, "polls");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	dma_fence_signal(a);
	KUNIT_EXPECT_EQ(test, kthread_stop(task), 0);
	KUNIT_EXPECT_TRUE(test, polls.was_signaled);
	KUNIT_EXPECT_EQ(test, of_container.runs, 1);
	KUNIT_EXPECT_EQ(test, of_b.runs, 1);
	KUNIT_EXPECT_EQ(test, dma_fence_wait_timeout(b, false, 0), 1);
	KUNIT_EXPECT_EQ(test, kref_read(&container->refcount), 1);
	dma_fence_put(container);
	dma_fence_put(a);
	dma_fence_put(b);
	dma_fence_put(elsewhere);
}

static void regress_a_container_polled_by_another_thread_while_it_is_queued(struct kunit *test)
{
	int i;

	for (i = 0; i < 100; i++) {
		poll_elsewhere(test, make_array);
		poll_elsewhere(test, make_chain);
	}
}

/* A chain whose node before is pending goes on to that, polled or not. */
static void a_chain_polled_while_it_is_queued_goes_on(struct kunit *test)
{
	struct dma_fence *a = mock_fence(), *b = mock_fence();
	struct dma_fence_chain *first = dma_fence_chain_alloc(), *last = dma_fence_chain_alloc();
	struct act of_chain = {}, polls = {};

	KUNIT_ASSERT_TRUE(test, first && last);
	dma_fence_chain_init(first, NULL, dma_fence_get(a), 1);
	dma_fence_chain_init(last, &first->base, dma_fence_get(b), 2);
	on(test, &last->base, &of_chain);
	polls.polls = &last->base;
	on(test, b, &polls);
	dma_fence_signal(b);
	KUNIT_EXPECT_TRUE(test, polls.runs == 1 && !polls.was_signaled && of_chain.runs == 0);
	dma_fence_signal(a);
	KUNIT_EXPECT_EQ(test, of_chain.runs, 1);
	dma_fence_put(&last->base);
	dma_fence_put(a);
	dma_fence_put(b);
}

static struct kunit_case nested_cases[] = {
	KUNIT_CASE(regress_an_array_polled_while_it_is_queued),
	KUNIT_CASE(regress_a_chain_polled_while_it_is_queued),
	KUNIT_CASE(regress_an_array_in_a_chain_polled_while_it_is_queued),
	KUNIT_CASE(regress_a_container_polled_by_another_thread_while_it_is_queued),
	KUNIT_CASE(a_chain_polled_while_it_is_queued_goes_on),
	{}
};

static void end_case(struct kunit *test)
{
	(void)test;
	rcu_barrier();
}

static struct kunit_suite nested = {
	.name = "kernel_nested",
	.exit = end_case,
	.test_cases = nested_cases,
};

kunit_test_suite(nested);
