/* Loops that lock many objects: contention, errors, and what they keep. */
#include <pthread.h>
#include <signal.h>

#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/slab.h>

/* Of the arrays of a struct drm_exec; each case runs on one thread where it counts them. */
static int allocations, failing_allocation;

static void *allocate_array(size_t n, size_t bytes)
{
	return ++allocations == failing_allocation ? NULL : calloc(n, bytes);
}

#undef kvmalloc_array
#define kvmalloc_array(n, bytes, flags) allocate_array(n, bytes)

#include <drm/drm_exec.h>

#include <kunit/test.h>

#include "ufence/kernel/testing/mock_fence.h"

enum { many = 4 };
static struct drm_gem_object objects[many];
static struct drm_gem_object *const a = &objects[0], *const b = &objects[1];

static char freed[2 * many];

static void note_free(struct drm_gem_object *obj)
{
	const size_t n = strlen(freed);

	freed[n] = (char)('a' + (obj - objects));
	freed[n + 1] = '\0';
	drm_gem_object_release(obj);
}

static const struct drm_gem_object_funcs funcs = { .free = note_free };

static int begin_case(struct kunit *test)
{
	int i;

	(void)test;
	memset(objects, 0, sizeof(objects));
	memset(freed, 0, sizeof(freed));
	allocations = failing_allocation = 0;
	for (i = 0; i < many; i++) {
		objects[i].funcs = &funcs;
		drm_gem_private_object_init(NULL, &objects[i], 1);
	}
	return 0;
}

static bool is_free(struct drm_gem_object *obj)
{
	return !dma_resv_is_locked(obj->resv) && kref_read(&obj->refcount) == 1;
}

/* Those that are no case's own any more are freed. */
static void end_case(struct kunit *test)
{
	int i;

	for (i = 0; i < many; i++) {
		if (strchr(freed, 'a' + i))
			continue;
		KUNIT_EXPECT_TRUE(test, is_free(&objects[i]));
		drm_gem_object_put(&objects[i]);
	}
	KUNIT_EXPECT_EQ(test, strlen(freed), many);
}

/* What is locked, in order; of the first `n` it asks for. */
static int lock_first(struct drm_exec *exec, int n)
{
	int i, failed = 0;

	drm_exec_until_all_locked(exec) {
		failed = 0;
		for (i = 0; i < n && !failed; i++) {
			failed = drm_exec_lock_obj(exec, &objects[i]);
			drm_exec_retry_on_contention(exec);
		}
		if (failed)
			break;
	}
	return failed;
}

static void expect_locked(struct kunit *test, struct drm_exec *exec, const char *expected)
{
	struct drm_gem_object *obj;
	char found[2 * many] = "";
	int n = 0;

	drm_exec_for_each_locked_object(exec, obj) {
		KUNIT_EXPECT_PTR_EQ(test, dma_resv_locking_ctx(obj->resv), drm_exec_ticket(exec));
		found[n++] = (char)('a' + (obj - objects));
	}
	KUNIT_EXPECT_STREQ(test, found, expected);
}

static void locked_objects_are_walked_in_order_and_back(struct kunit *test)
{
	struct drm_exec exec;
	struct drm_gem_object *obj, *other;
	unsigned long index;
	int n = 0, pairs = 0;

	drm_exec_init(&exec, 0, 1);
	drm_exec_for_each_locked_object_reverse(&exec, obj)
		n = 9;
	KUNIT_EXPECT_EQ(test, lock_first(&exec, many), 0);
	expect_locked(test, &exec, "abcd");
	drm_exec_for_each_locked_object(&exec, index, obj)
		KUNIT_EXPECT_TRUE(test, obj == &objects[index] && n++ == (int)index);
	KUNIT_EXPECT_EQ(test, n, many);
	drm_exec_for_each_locked_object_reverse(&exec, index, obj)
		KUNIT_EXPECT_TRUE(test, obj == &objects[index] && --n == (int)index);
	KUNIT_EXPECT_EQ(test, n, 0);
	drm_exec_for_each_locked_object(&exec, obj)
		drm_exec_for_each_locked_object(&exec, other)
			pairs += obj != other;
	KUNIT_EXPECT_EQ(test, pairs, many * (many - 1));
	KUNIT_EXPECT_NULL(test, drm_exec_obj(&exec, many));
	drm_exec_for_each_locked_object_reverse(&exec, obj)
		if (obj == b || obj == &objects[3])
			drm_exec_unlock_obj(&exec, obj);
	expect_locked(test, &exec, "ac");
	KUNIT_EXPECT_TRUE(test, is_free(b));
	drm_exec_unlock_obj(&exec, b); /* it is not locked */
	expect_locked(test, &exec, "ac");
	drm_exec_fini(&exec);
}

static void objects_live_while_they_are_locked_and_end_in_reverse_order(struct kunit *test)
{
	struct drm_exec exec;
	int i;

	drm_exec_init(&exec, 0, 0);
	KUNIT_EXPECT_EQ(test, lock_first(&exec, many), 0);
	for (i = 0; i < many; i++)
		drm_gem_object_put(&objects[i]);
	KUNIT_EXPECT_STREQ(test, freed, "");
	drm_exec_unlock_obj(&exec, b);
	KUNIT_EXPECT_STREQ(test, freed, "b");
	drm_exec_fini(&exec);
	KUNIT_EXPECT_STREQ(test, freed, "bdca");
}

static void one_that_is_locked_already_is_refused_or_ignored(struct kunit *test)
{
	struct drm_exec exec;
	int failed = 0;

	b->resv = a->resv;
	drm_exec_init(&exec, 0, 0);
	drm_exec_until_all_locked(&exec) {
		KUNIT_EXPECT_EQ(test, drm_exec_lock_obj(&exec, a), 0);
		KUNIT_EXPECT_EQ(test, drm_exec_lock_obj(&exec, a), -EALREADY);
		failed = drm_exec_lock_obj(&exec, b);
		KUNIT_EXPECT_FALSE(test, drm_exec_is_contended(&exec));
	}
	KUNIT_EXPECT_EQ(test, failed, -EALREADY);
	expect_locked(test, &exec, "a");
	drm_exec_fini(&exec);

	drm_exec_init(&exec, DRM_EXEC_IGNORE_DUPLICATES, 0);
	KUNIT_EXPECT_EQ(test, lock_first(&exec, 2), 0);
	expect_locked(test, &exec, "a");
	drm_exec_unlock_obj(&exec, b); /* a has the lock */
	expect_locked(test, &exec, "a");
	drm_exec_fini(&exec);
	KUNIT_EXPECT_TRUE(test, is_free(a));
	b->resv = &b->_resv;
}

static void what_is_prepared_takes_as_many_fences(struct kunit *test)
{
	struct dma_fence *f = mock_fence(), *g = mock_fence();
	struct drm_gem_object *both[] = { a, b }, *obj;
	struct drm_exec exec;
	int failed = 0;

	KUNIT_ASSERT_TRUE(test, f && g);
	drm_exec_init(&exec, 0, 2);
	drm_exec_until_all_locked(&exec) {
		failed = drm_exec_prepare_array(&exec, both, 2, 2);
		drm_exec_retry_on_contention(&exec);
	}
	KUNIT_EXPECT_EQ(test, failed, 0);
	drm_exec_for_each_locked_object(&exec, obj) {
		dma_resv_add_fence(obj->resv, f, DMA_RESV_USAGE_WRITE);
		dma_resv_add_fence(obj->resv, g, DMA_RESV_USAGE_WRITE);
	}
	drm_exec_fini(&exec);
	KUNIT_EXPECT_EQ(test, kref_read(&f->refcount), 3);
	KUNIT_EXPECT_FALSE(test, dma_resv_test_signaled(b->resv, DMA_RESV_USAGE_WRITE));
	dma_fence_signal(f);
	dma_fence_signal(g);
	KUNIT_EXPECT_TRUE(test, dma_resv_test_signaled(b->resv, DMA_RESV_USAGE_WRITE));
	dma_fence_put(f);
	dma_fence_put(g);
}

/* The error is the array's, the one before stays locked, the one that it is of does not. */
static void what_cannot_be_prepared_is_not_locked(struct kunit *test)
{
	struct drm_gem_object *both[] = { a, b };
	struct drm_exec exec;
	int failed = 0;

	drm_exec_init(&exec, 0, 0);
	drm_exec_until_all_locked(&exec) {
		KUNIT_EXPECT_EQ(test, drm_exec_prepare_obj(&exec, b, 1U << 31), -ENOMEM);
		KUNIT_EXPECT_TRUE(test, is_free(b));
		KUNIT_EXPECT_EQ(test, drm_exec_lock_obj(&exec, &objects[2]), 0);
		failed = drm_exec_prepare_array(&exec, both, 2, 1U << 31);
		if (failed)
			break;
	}
	KUNIT_EXPECT_EQ(test, failed, -ENOMEM);
	expect_locked(test, &exec, "c");
	drm_exec_fini(&exec);
}

/* The first allocation fails, then the second, ... until none is left; then the first two. */
static void each_allocation_may_fail(struct kunit *test)
{
	struct drm_exec exec;
	int failed;

	do {
		char locked[] = "abcd";

		allocations = 0;
		failing_allocation++;
		drm_exec_init(&exec, 0, 1);
		KUNIT_EXPECT_EQ(test, exec.max_objects, failing_allocation != 1);
		failed = lock_first(&exec, many);
		/* That of drm_exec_init() is made up for by the first lock; with each other one a lock fails. */
		locked[failed ? failing_allocation - 1 : many] = '\0';
		KUNIT_EXPECT_EQ(test, failed,
				allocations < failing_allocation || failing_allocation == 1 ? 0 : -ENOMEM);
		expect_locked(test, &exec, locked);
		KUNIT_EXPECT_TRUE(test, !failed || is_free(&objects[exec.num_objects]));
		drm_exec_fini(&exec);
	} while (allocations >= failing_allocation);
	KUNIT_EXPECT_EQ(test, failing_allocation, 4);

	allocations = 0;
	failing_allocation = 1;
	drm_exec_init(&exec, 0, 0);
	failing_allocation = 2;
	KUNIT_EXPECT_EQ(test, lock_first(&exec, 1), -ENOMEM);
	KUNIT_EXPECT_TRUE(test, exec.num_objects == 0 && is_free(a));
	drm_exec_fini(&exec);
}

static void a_loop_begins_again_with_what_is_begun_anew(struct kunit *test)
{
	struct drm_exec exec;
	int runs = 0;

	drm_exec_init(&exec, 0, 0);
	drm_exec_until_all_locked(&exec) {
		KUNIT_EXPECT_EQ(test, drm_exec_lock_obj(&exec, runs ? b : a), 0);
		if (runs++)
			break;
		drm_exec_fini(&exec);
		KUNIT_EXPECT_TRUE(test, is_free(a));
		drm_exec_init(&exec, 0, 0);
		drm_exec_retry(&exec);
	}
	KUNIT_EXPECT_EQ(test, runs, 2);
	expect_locked(test, &exec, "b");
	drm_exec_fini(&exec);
}

/* --- Contention --- */

/*
 * Two threads. The older one has a, the younger one b, and each wants the other: the younger one gives way,
 * whether it asks before or after the older one. What it does when its loop begins again is `again`; a becomes
 * free when the older one ends.
 */
struct meeting {
	struct kunit *test;
	u32 flags; /* of the younger one */
	int (*again)(struct meeting *m, struct drm_exec *exec);
	int runs, result;
	bool has_b, has_ended;
};

static int ask_for_b_and_a(struct meeting *m, struct drm_exec *exec)
{
	KUNIT_EXPECT_EQ(m->test, exec->num_objects, 0);
	if (drm_exec_lock_obj(exec, b))
		return -EIO;
	KUNIT_EXPECT_PTR_EQ(m->test, exec->prelocked, a);
	expect_locked(m->test, exec, "ab");
	return 0;
}

static int ask_for_all(struct meeting *m, struct drm_exec *exec)
{
	int failed = ask_for_b_and_a(m, exec);

	if (!failed)
		failed = drm_exec_lock_obj(exec, a);
	KUNIT_EXPECT_NULL(m->test, exec->prelocked);
	expect_locked(m->test, exec, "ab");
	return failed ? failed : drm_exec_lock_obj(exec, a); /* a second time */
}

static int unlock_a_and_ask_for_it(struct meeting *m, struct drm_exec *exec)
{
	int failed = ask_for_b_and_a(m, exec);

	drm_exec_unlock_obj(exec, a);
	KUNIT_EXPECT_NULL(m->test, exec->prelocked);
	KUNIT_EXPECT_FALSE(m->test, dma_resv_is_locked(a->resv));
	expect_locked(m->test, exec, "b");
	if (!failed)
		failed = drm_exec_lock_obj(exec, a);
	expect_locked(m->test, exec, "ba");
	return failed;
}

static int ask_for_nothing(struct meeting *m, struct drm_exec *exec)
{
	KUNIT_EXPECT_PTR_EQ(m->test, exec->contended, a);
	KUNIT_EXPECT_EQ(m->test, exec->num_objects, 0);
	return -ECANCELED;
}

static int ask_for_b(struct meeting *m, struct drm_exec *exec)
{
	int failed = drm_exec_lock_obj(exec, b);

	if (failed) {
		KUNIT_EXPECT_EQ(m->test, exec->num_objects, 0);
		KUNIT_EXPECT_FALSE(m->test, drm_exec_is_contended(exec));
		KUNIT_EXPECT_NULL(m->test, exec->prelocked);
	}
	return failed;
}

static void *be_the_younger_one(void *data)
{
	struct meeting *m = data;
	struct drm_exec exec;

	drm_exec_init(&exec, m->flags, 0);
	drm_exec_until_all_locked(&exec) {
		if (m->runs++) {
			m->result = m->again(m, &exec);
			break;
		}
		KUNIT_EXPECT_EQ(m->test, drm_exec_lock_obj(&exec, b), 0);
		smp_store_release(&m->has_b, true);
		KUNIT_EXPECT_EQ(m->test, drm_exec_lock_obj(&exec, a), -EDEADLK);
		KUNIT_EXPECT_PTR_EQ(m->test, exec.contended, a);
		drm_exec_retry_on_contention(&exec);
	}
	drm_exec_fini(&exec);
	smp_store_release(&m->has_ended, true);
	return NULL;
}

static void meet(struct kunit *test, struct meeting *m, bool interrupts)
{
	struct drm_exec exec;
	pthread_t younger;

	m->test = test;
	drm_exec_init(&exec, 0, 0);
	drm_exec_until_all_locked(&exec) {
		KUNIT_EXPECT_EQ(test, drm_exec_lock_obj(&exec, a), 0);
		KUNIT_ASSERT_EQ(test, pthread_create(&younger, NULL, be_the_younger_one, m), 0);
		while (!smp_load_acquire(&m->has_b))
			cond_resched();
		KUNIT_EXPECT_EQ(test, drm_exec_lock_obj(&exec, b), 0);
		drm_exec_retry_on_contention(&exec);
	}
	expect_locked(test, &exec, "ab");
	while (interrupts && !smp_load_acquire(&m->has_ended)) {
		pthread_kill(younger, SIGUSR1);
		cond_resched();
	}
	drm_exec_fini(&exec);
	pthread_join(younger, NULL);
	KUNIT_EXPECT_EQ(test, m->runs, 2);
	KUNIT_EXPECT_TRUE(test, is_free(a) && is_free(b));
}

static void what_was_contended_is_locked_first(struct kunit *test)
{
	struct meeting m = { .again = ask_for_all, .flags = DRM_EXEC_IGNORE_DUPLICATES };

	meet(test, &m, false);
	KUNIT_EXPECT_EQ(test, m.result, 0);
	m = (struct meeting){ .again = ask_for_all, .flags = DRM_EXEC_INTERRUPTIBLE_WAIT };
	meet(test, &m, false);
	KUNIT_EXPECT_EQ(test, m.result, -EALREADY);
}

static void what_was_locked_first_and_nobody_asked_for_is_dropped(struct kunit *test)
{
	struct meeting m = { .again = ask_for_b_and_a };

	meet(test, &m, false);
	KUNIT_EXPECT_EQ(test, m.result, 0);
}

static void regress_what_was_locked_first_and_unlocked_is_locked_again(struct kunit *test)
{
	struct meeting m = { .again = unlock_a_and_ask_for_it };

	meet(test, &m, false);
	KUNIT_EXPECT_EQ(test, m.result, 0);
}

static void a_loop_may_end_while_something_is_contended(struct kunit *test)
{
	struct meeting m = { .again = ask_for_nothing };

	meet(test, &m, false);
	KUNIT_EXPECT_EQ(test, m.result, -ECANCELED);
}

/* --- Interruptible waits --- */

static void do_nothing(int signal)
{
	(void)signal;
}

static void a_signal_ends_the_wait_for_what_was_contended(struct kunit *test)
{
	struct meeting m = { .again = ask_for_b, .flags = DRM_EXEC_INTERRUPTIBLE_WAIT };
	struct sigaction action = { .sa_handler = do_nothing }, before;

	KUNIT_EXPECT_EQ(test, sigaction(SIGUSR1, &action, &before), 0);
	meet(test, &m, true);
	KUNIT_EXPECT_EQ(test, m.result, -EINTR);
	KUNIT_EXPECT_EQ(test, sigaction(SIGUSR1, &before, NULL), 0);
}

static void *lock_a(void *data)
{
	struct meeting *m = data;
	struct drm_exec exec;

	drm_exec_init(&exec, m->flags, 0);
	m->result = lock_first(&exec, 1);
	expect_locked(m->test, &exec, m->result ? "" : "a");
	KUNIT_EXPECT_FALSE(m->test, m->result && drm_exec_is_contended(&exec));
	drm_exec_fini(&exec);
	smp_store_release(&m->has_ended, true);
	return NULL;
}

static void a_signal_ends_a_wait_only_if_that_is_asked_for(struct kunit *test)
{
	struct sigaction action = { .sa_handler = do_nothing }, before;
	u32 flags;
	int i;

	KUNIT_EXPECT_EQ(test, sigaction(SIGUSR1, &action, &before), 0);
	for (flags = 0; flags <= DRM_EXEC_INTERRUPTIBLE_WAIT; flags++) {
		struct meeting m = { .test = test, .flags = flags };
		pthread_t thread;

		KUNIT_EXPECT_EQ(test, dma_resv_lock(a->resv, NULL), 0);
		KUNIT_ASSERT_EQ(test, pthread_create(&thread, NULL, lock_a, &m), 0);
		/* Until one comes while it sleeps; or some, which change nothing. */
		for (i = 0; flags ? !smp_load_acquire(&m.has_ended) : i < 100; i++) {
			pthread_kill(thread, SIGUSR1);
			cond_resched();
		}
		dma_resv_unlock(a->resv);
		pthread_join(thread, NULL);
		KUNIT_EXPECT_EQ(test, m.result, flags ? -EINTR : 0);
		KUNIT_EXPECT_TRUE(test, is_free(a));
	}
	KUNIT_EXPECT_EQ(test, sigaction(SIGUSR1, &before, NULL), 0);
}

static struct kunit_case locking_cases[] = {
	KUNIT_CASE(locked_objects_are_walked_in_order_and_back),
	KUNIT_CASE(objects_live_while_they_are_locked_and_end_in_reverse_order),
	KUNIT_CASE(one_that_is_locked_already_is_refused_or_ignored),
	KUNIT_CASE(what_is_prepared_takes_as_many_fences),
	KUNIT_CASE(what_cannot_be_prepared_is_not_locked),
	KUNIT_CASE(each_allocation_may_fail),
	KUNIT_CASE(a_loop_begins_again_with_what_is_begun_anew),
	KUNIT_CASE(what_was_contended_is_locked_first),
	KUNIT_CASE(what_was_locked_first_and_nobody_asked_for_is_dropped),
	KUNIT_CASE(regress_what_was_locked_first_and_unlocked_is_locked_again),
	KUNIT_CASE(a_loop_may_end_while_something_is_contended),
	KUNIT_CASE(a_signal_ends_the_wait_for_what_was_contended),
	KUNIT_CASE(a_signal_ends_a_wait_only_if_that_is_asked_for),
	{}
};

static struct kunit_suite drm_exec_locking = {
	.name = "drm_exec_locking",
	.init = begin_case,
	.exit = end_case,
	.test_cases = locking_cases,
};

kunit_test_suite(drm_exec_locking);
