/* Reservation objects and their locks: which slot a fence takes, and how waits end. */
#include <pthread.h>
#include <signal.h>

#include <linux/dma-resv.h>
#include <linux/kernel.h>
#include <linux/kthread.h>

#include <kunit/test.h>

#include "ufence/kernel/testing/mock_fence.h"

static struct dma_resv locked_object(struct kunit *test)
{
	struct dma_resv obj;

	(void)test;
	dma_resv_init(&obj);
	return obj;
}

static bool is_complete;
static int polls;

static bool says_complete(struct dma_fence *f)
{
	(void)f;
	polls++;
	return is_complete;
}

static const struct dma_fence_ops polled_ops = {
	.get_driver_name = mock_name,
	.get_timeline_name = mock_name,
	.signaled = says_complete,
};

/* What the object has, in order; "12" are the second and the third of the fences. */
static void expect_fences(struct kunit *test, struct dma_resv *obj, struct dma_fence **fences, int n,
			  const char *expected)
{
	struct dma_resv_iter cursor;
	struct dma_fence *f;
	char found[16] = "";
	int at = 0, i;

	dma_resv_for_each_fence(&cursor, obj, DMA_RESV_USAGE_BOOKKEEP, f) {
		for (i = 0; i < n && fences[i] != f; i++)
			;
		found[at++] = (char)('0' + i);
	}
	found[at] = '\0';
	KUNIT_EXPECT_STREQ(test, found, expected);
}

static void put_all(struct dma_fence **fences, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		dma_fence_signal(fences[i]);
		dma_fence_put(fences[i]);
	}
}

static void regress_a_fence_takes_the_slot_of_the_first_one_that_it_replaces(struct kunit *test)
{
	u64 context = dma_fence_context_alloc(2);
	struct dma_fence *fences[] = { mock_fence_of(context, 1), mock_fence_of(context + 1, 1),
				       mock_fence_of(context, 2), mock_fence_of(context, 3),
				       mock_fence_of(context, 1) };
	struct dma_resv obj = locked_object(test);

	KUNIT_EXPECT_EQ(test, dma_resv_lock(&obj, NULL), 0);
	KUNIT_EXPECT_EQ(test, dma_resv_reserve_fences(&obj, 4), 0);
	dma_resv_add_fence(&obj, fences[0], DMA_RESV_USAGE_READ);
	dma_resv_add_fence(&obj, fences[1], DMA_RESV_USAGE_WRITE);
	expect_fences(test, &obj, fences, 5, "01");
	/* A later usage does not take the place of an earlier one: the older fence stays beside it. */
	dma_resv_add_fence(&obj, fences[2], DMA_RESV_USAGE_BOOKKEEP);
	expect_fences(test, &obj, fences, 5, "012");
	/* Of two that it may replace the first. */
	dma_resv_add_fence(&obj, fences[3], DMA_RESV_USAGE_WRITE);
	expect_fences(test, &obj, fences, 5, "312");
	KUNIT_EXPECT_EQ(test, kref_read(&fences[0]->refcount), 1);
	/* Not an earlier one. */
	dma_resv_add_fence(&obj, fences[4], DMA_RESV_USAGE_KERNEL);
	expect_fences(test, &obj, fences, 5, "3124");
	dma_resv_replace_fences(&obj, context, fences[2], DMA_RESV_USAGE_READ);
	expect_fences(test, &obj, fences, 5, "2122");
	KUNIT_EXPECT_EQ(test, kref_read(&fences[2]->refcount), 4);
	KUNIT_EXPECT_EQ(test, kref_read(&fences[3]->refcount), 1);
	dma_resv_unlock(&obj);
	dma_resv_fini(&obj);
	put_all(fences, 5);
}

static void regress_a_replacement_takes_nothing_of_what_is_reserved(struct kunit *test)
{
	u64 context = dma_fence_context_alloc(8);
	struct dma_fence *fences[7];
	struct dma_resv obj = locked_object(test);
	int i;

	for (i = 0; i < 7; i++)
		fences[i] = mock_fence_of(i < 5 ? context : context + (u64)i, (u64)i + 1);
	KUNIT_EXPECT_EQ(test, dma_resv_lock(&obj, NULL), 0);
	KUNIT_EXPECT_EQ(test, dma_resv_reserve_fences(&obj, 1), 0);
	for (i = 0; i < 5; i++)
		dma_resv_add_fence(&obj, fences[i], DMA_RESV_USAGE_WRITE);
	expect_fences(test, &obj, fences, 7, "4");
	dma_resv_unlock(&obj);
	/* The reservation is over. A replacement needs none. */
	KUNIT_EXPECT_EQ(test, dma_resv_lock(&obj, NULL), 0);
	dma_resv_add_fence(&obj, fences[4], DMA_RESV_USAGE_KERNEL);
	expect_fences(test, &obj, fences, 7, "4");
	/* One that is signaled makes room for any other. */
	dma_fence_signal(fences[4]);
	dma_resv_add_fence(&obj, fences[5], DMA_RESV_USAGE_BOOKKEEP);
	expect_fences(test, &obj, fences, 7, "5");
	KUNIT_EXPECT_EQ(test, dma_resv_reserve_fences(&obj, 1), 0);
	dma_resv_add_fence(&obj, fences[6], DMA_RESV_USAGE_KERNEL);
	expect_fences(test, &obj, fences, 7, "56");
	dma_resv_unlock(&obj);
	dma_resv_fini(&obj);
	put_all(fences, 7);
}

static void what_is_in_the_way_is_asked_whether_it_is_complete(struct kunit *test)
{
	struct dma_fence *f = kzalloc(sizeof(*f), GFP_KERNEL), *other = mock_fence();
	struct dma_fence *fences[] = { f, other };
	struct dma_resv obj = locked_object(test);

	KUNIT_ASSERT_TRUE(test, f && other);
	dma_fence_init(f, &polled_ops, NULL, dma_fence_context_alloc(1), 1);
	is_complete = true;
	polls = 0;
	KUNIT_EXPECT_EQ(test, dma_resv_lock(&obj, NULL), 0);
	KUNIT_EXPECT_EQ(test, dma_resv_reserve_fences(&obj, 1), 0);
	dma_resv_add_fence(&obj, f, DMA_RESV_USAGE_WRITE);
	KUNIT_EXPECT_EQ(test, polls, 0);
	dma_resv_add_fence(&obj, other, DMA_RESV_USAGE_WRITE);
	KUNIT_EXPECT_EQ(test, polls, 1);
	KUNIT_EXPECT_TRUE(test, dma_fence_test_signaled_flag(f));
	expect_fences(test, &obj, fences, 2, "1");
	dma_resv_unlock(&obj);
	dma_resv_fini(&obj);
	put_all(fences, 2);
}

static DEFINE_WW_CLASS(a_class);

static void locks_are_ww_mutexes(struct kunit *test)
{
	struct dma_resv obj = locked_object(test);
	struct ww_acquire_ctx older, younger;
	struct ww_mutex other;

	ww_mutex_init(&other, &a_class);
	ww_acquire_init(&older, &reservation_ww_class);
	ww_acquire_init(&younger, &reservation_ww_class);
	KUNIT_EXPECT_EQ(test, ww_mutex_lock(&obj.lock, &older), 0);
	KUNIT_EXPECT_TRUE(test, dma_resv_is_locked(&obj) && dma_resv_held(&obj));
	KUNIT_EXPECT_PTR_EQ(test, dma_resv_locking_ctx(&obj), &older);
	KUNIT_EXPECT_EQ(test, dma_resv_lock(&obj, &older), -EALREADY);
	KUNIT_EXPECT_FALSE(test, dma_resv_trylock(&obj));
	KUNIT_EXPECT_EQ(test, ww_mutex_trylock(&other, &younger), 1);
	KUNIT_EXPECT_EQ(test, ww_mutex_trylock(&other, NULL), 0);
	ww_mutex_unlock(&other);
	ww_mutex_unlock(&obj.lock);
	KUNIT_EXPECT_FALSE(test, dma_resv_is_locked(&obj));
	KUNIT_EXPECT_EQ(test, ww_mutex_lock_slow_interruptible(&other, &older), 0);
	KUNIT_EXPECT_EQ(test, ww_mutex_lock_interruptible(&obj.lock, &older), 0);
	ww_acquire_done(&older);
	ww_mutex_unlock(&other);
	ww_mutex_unlock(&obj.lock);
	ww_acquire_fini(&older);
	ww_acquire_fini(&younger);
	ww_mutex_destroy(&other);
	dma_resv_fini(&obj);
}

/* --- Waits that a signal ends --- */

static void do_nothing(int number)
{
	(void)number;
}

struct waiting {
	struct dma_fence *f;
	struct dma_resv *obj;
	struct mutex *mutex;
	long (*wait)(struct waiting *w);
	long result;
	atomic_t has_ended;
};

static long wait_for_one(struct waiting *w)
{
	return dma_fence_wait(w->f, true);
}

static long wait_for_one_in_time(struct waiting *w)
{
	return dma_fence_wait_timeout(w->f, true, 1000 * HZ);
}

static long wait_for_any(struct waiting *w)
{
	return dma_fence_wait_any_timeout(&w->f, 1, true, MAX_SCHEDULE_TIMEOUT, NULL);
}

static long wait_for_object(struct waiting *w)
{
	return dma_resv_wait_timeout(w->obj, DMA_RESV_USAGE_READ, true, MAX_SCHEDULE_TIMEOUT);
}

static long wait_for_lock(struct waiting *w)
{
	return dma_resv_lock_interruptible(w->obj, NULL);
}

static long wait_for_mutex(struct waiting *w)
{
	return mutex_lock_interruptible(w->mutex);
}

static long wait_whatever_comes(struct waiting *w)
{
	return dma_fence_wait(w->f, false);
}

static void *run_wait(void *data)
{
	struct waiting *w = data;

	w->result = w->wait(w);
	atomic_set_release(&w->has_ended, 1);
	return NULL;
}

static void a_signal_ends_a_wait_that_a_caller_has_interruptible(struct kunit *test)
{
	long (*const waits[])(struct waiting *) = { wait_for_one,    wait_for_one_in_time,
						    wait_for_any,    wait_for_object,
						    wait_for_lock,   wait_for_mutex };
	struct sigaction action = { .sa_handler = do_nothing }, before;
	struct dma_resv obj = locked_object(test);
	DEFINE_MUTEX(mutex);
	struct waiting w = { .f = mock_fence(), .obj = &obj, .mutex = &mutex };
	size_t i;

	KUNIT_EXPECT_EQ(test, sigaction(SIGUSR1, &action, &before), 0);
	KUNIT_EXPECT_EQ(test, dma_resv_lock(&obj, NULL), 0);
	mutex_lock(&mutex);
	KUNIT_EXPECT_EQ(test, dma_resv_reserve_fences(&obj, 1), 0);
	dma_resv_add_fence(&obj, w.f, DMA_RESV_USAGE_WRITE);
	for (i = 0; i < ARRAY_SIZE(waits); i++) {
		pthread_t thread;

		w.wait = waits[i];
		atomic_set(&w.has_ended, 0);
		KUNIT_ASSERT_EQ(test, pthread_create(&thread, NULL, run_wait, &w), 0);
		/* Until one comes while it sleeps. */
		while (!atomic_read_acquire(&w.has_ended)) {
			pthread_kill(thread, SIGUSR1);
			cond_resched();
		}
		pthread_join(thread, NULL);
		KUNIT_EXPECT_EQ(test, w.result, i < 4 ? -ERESTARTSYS : -EINTR);
	}
	dma_resv_unlock(&obj);
	mutex_unlock(&mutex);
	KUNIT_EXPECT_TRUE(test, mutex_trylock(&mutex) && dma_resv_trylock(&obj));
	mutex_unlock(&mutex);
	dma_resv_unlock(&obj);
	dma_resv_fini(&obj);
	dma_fence_signal(w.f);
	KUNIT_EXPECT_EQ(test, kref_read(&w.f->refcount), 1);
	dma_fence_put(w.f);
	KUNIT_EXPECT_EQ(test, sigaction(SIGUSR1, &before, NULL), 0);
}

static void a_signal_does_not_end_another_wait(struct kunit *test)
{
	struct sigaction action = { .sa_handler = do_nothing }, before;
	struct waiting w = { .f = mock_fence(), .wait = wait_whatever_comes };
	pthread_t thread;
	int i;

	KUNIT_EXPECT_EQ(test, sigaction(SIGUSR1, &action, &before), 0);
	KUNIT_ASSERT_EQ(test, pthread_create(&thread, NULL, run_wait, &w), 0);
	for (i = 0; i < 1000; i++)
		pthread_kill(thread, SIGUSR1);
	KUNIT_EXPECT_FALSE(test, atomic_read_acquire(&w.has_ended));
	dma_fence_signal(w.f);
	pthread_join(thread, NULL);
	KUNIT_EXPECT_EQ(test, w.result, 0);
	dma_fence_put(w.f);
	KUNIT_EXPECT_EQ(test, sigaction(SIGUSR1, &before, NULL), 0);
}

static struct kunit_case resv_cases[] = {
	KUNIT_CASE(regress_a_fence_takes_the_slot_of_the_first_one_that_it_replaces),
	KUNIT_CASE(regress_a_replacement_takes_nothing_of_what_is_reserved),
	KUNIT_CASE(what_is_in_the_way_is_asked_whether_it_is_complete),
	KUNIT_CASE(locks_are_ww_mutexes),
	KUNIT_CASE(a_signal_ends_a_wait_that_a_caller_has_interruptible),
	KUNIT_CASE(a_signal_does_not_end_another_wait),
	{}
};

static void end_case(struct kunit *test)
{
	(void)test;
	rcu_barrier();
}

static struct kunit_suite resv = {
	.name = "kernel_resv",
	.exit = end_case,
	.test_cases = resv_cases,
};

kunit_test_suite(resv);
