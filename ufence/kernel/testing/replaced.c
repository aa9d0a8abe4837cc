/* All small headers are a program's own: its locks, its RCU, its reservation locks. */
#include <drm/drm_exec.h>
#include <linux/dma-fence-array.h>
#include <linux/dma-fence-chain.h>
#include <linux/dma-fence-unwrap.h>
#include <linux/dma-resv.h>
#include <string.h>

/* kunit/test.h is the tests' own, and so is what it includes. */
#include <kunit/test.h>

int replaced_readers, replaced_sections;
struct rcu_head *replaced_deferred;

/* The library's; this program's has another name. */
void ufence_rcu_barrier(void);

/* The end of a grace period: how many functions it ran. */
static int end_grace_period(void)
{
	struct rcu_head *head = __atomic_exchange_n(&replaced_deferred, NULL, __ATOMIC_SEQ_CST);
	int n = 0;

	for (; head; n++) {
		struct rcu_head *next = head->next;

		head->func(head);
		head = next;
	}
	return n;
}

static int readers_in_op;

static const char *name(struct dma_fence *f)
{
	(void)f;
	readers_in_op = replaced_readers;
	return "replaced";
}

static bool enable(struct dma_fence *f)
{
	(void)f;
	readers_in_op = replaced_readers;
	return true;
}

static bool is_complete;

static bool says_complete(struct dma_fence *f)
{
	(void)f;
	readers_in_op = replaced_readers;
	return is_complete;
}

static const struct dma_fence_ops ops = {
	.get_driver_name = name,
	.get_timeline_name = name,
	.enable_signaling = enable,
	.signaled = says_complete,
};

static struct dma_fence *new_fence(struct kunit *test)
{
	struct dma_fence *f = kzalloc(sizeof(*f), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, f);
	dma_fence_init(f, &ops, NULL, dma_fence_context_alloc(1), 1);
	is_complete = false;
	return f;
}

struct counting_cb {
	struct dma_fence_cb cb;
	int runs;
};

static void count(struct dma_fence *f, struct dma_fence_cb *cb)
{
	(void)f;
	container_of(cb, struct counting_cb, cb)->runs++;
}

static void frees_wait_for_both_grace_periods(struct kunit *test)
{
	struct dma_fence *f = new_fence(test);

	dma_fence_signal(f);
	dma_fence_put(f);
	ufence_rcu_barrier();
	KUNIT_EXPECT_EQ(test, f->seqno, 1); /* for readers of the program's own RCU */
	KUNIT_EXPECT_EQ(test, end_grace_period(), 1);
}

static void ops_run_inside_a_section_of_both(struct kunit *test)
{
	struct dma_fence *f = new_fence(test);
	struct counting_cb cb = { .runs = 0 };
	struct seq_file seq = { .used = 0 };

	readers_in_op = 0;
	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(f, &cb.cb, count), 0);
	KUNIT_EXPECT_EQ(test, readers_in_op, 1);
	readers_in_op = 0;
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(f));
	KUNIT_EXPECT_EQ(test, readers_in_op, 1);
	readers_in_op = 0;
	dma_fence_describe(f, &seq);
	KUNIT_EXPECT_EQ(test, readers_in_op, 1);
	KUNIT_EXPECT_TRUE(test, strstr(seq.text, "replaced replaced unsignalled") != NULL);
	is_complete = true;
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(f), 1);
	KUNIT_EXPECT_TRUE(test, cb.runs == 1 && list_empty(&cb.cb.node));
	KUNIT_EXPECT_EQ(test, replaced_readers, 0);
	dma_fence_put(f);
	ufence_rcu_barrier();
	KUNIT_EXPECT_EQ(test, end_grace_period(), 1);
}

static void containers_lie_as_the_library_has_them(struct kunit *test)
{
	struct dma_fence *a = new_fence(test), *b = new_fence(test), *merged;
	struct dma_fence **fences = kcalloc(2, sizeof(*fences), GFP_KERNEL);
	struct dma_fence_chain *chain = dma_fence_chain_alloc();
	struct dma_fence_array *array;

	KUNIT_ASSERT_TRUE(test, fences && chain);
	fences[0] = dma_fence_get(a);
	fences[1] = dma_fence_get(b);
	array = dma_fence_array_create(2, fences, dma_fence_context_alloc(1), 1);
	KUNIT_ASSERT_NOT_NULL(test, array);
	KUNIT_EXPECT_TRUE(test, array->num_fences == 2 && array->fences == fences);
	dma_fence_chain_init(chain, NULL, dma_fence_get(&array->base), 7);
	KUNIT_EXPECT_TRUE(test, chain->fence == &array->base && chain->base.seqno == 7);
	merged = dma_fence_unwrap_merge(&chain->base, a);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_array(merged));
	dma_fence_enable_signaling(&chain->base);
	dma_fence_signal(a);
	KUNIT_EXPECT_EQ(test, dma_fence_wait_timeout(&chain->base, false, 0), 0);
	dma_fence_signal(b);
	KUNIT_EXPECT_EQ(test, dma_fence_wait(&chain->base, false), 0);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(merged));
	dma_fence_put(merged);
	dma_fence_put(&chain->base);
	dma_fence_put(&array->base);
	dma_fence_put(a);
	dma_fence_put(b);
	ufence_rcu_barrier();
	ufence_rcu_barrier(); /* what the first freed dropped others */
	KUNIT_EXPECT_EQ(test, end_grace_period(), 2);
}

static void objects_are_locked_by_another_ww_mutex(struct kunit *test)
{
	struct dma_fence *f = new_fence(test);
	struct ww_acquire_ctx ctx = { 0 };
	struct dma_resv obj;

	dma_resv_init(&obj);
	KUNIT_EXPECT_EQ(test, dma_resv_lock(&obj, &ctx), 0);
	KUNIT_EXPECT_PTR_EQ(test, dma_resv_locking_ctx(&obj), &ctx);
	KUNIT_EXPECT_EQ(test, dma_resv_lock(&obj, &ctx), -EALREADY);
	KUNIT_EXPECT_EQ(test, dma_resv_reserve_fences(&obj, 1), 0);
	dma_resv_add_fence(&obj, f, DMA_RESV_USAGE_WRITE);
	dma_resv_unlock(&obj);
	KUNIT_EXPECT_FALSE(test, dma_resv_test_signaled(&obj, DMA_RESV_USAGE_READ));
	dma_fence_signal(f);
	KUNIT_EXPECT_TRUE(test, dma_resv_wait_timeout(&obj, DMA_RESV_USAGE_READ, false, 0) == 1);
	dma_resv_fini(&obj);
	dma_fence_put(f);
	ufence_rcu_barrier();
	KUNIT_EXPECT_EQ(test, end_grace_period(), 1);
}

static void a_loop_locks_by_another_ww_mutex(struct kunit *test)
{
	struct drm_gem_object objects[2] = { 0 }, *obj;
	struct drm_exec exec;
	int i, failed = 0;

	for (i = 0; i < 2; i++)
		drm_gem_private_object_init(NULL, &objects[i], 1);
	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT, 1);
	drm_exec_until_all_locked(&exec) {
		failed = 0;
		for (i = 0; i < 2 && !failed; i++) {
			failed = drm_exec_prepare_obj(&exec, &objects[i], 1);
			drm_exec_retry_on_contention(&exec);
		}
	}
	KUNIT_EXPECT_EQ(test, failed, 0);
	i = 0;
	drm_exec_for_each_locked_object(&exec, obj)
		KUNIT_EXPECT_TRUE(test, obj == &objects[i++] &&
						dma_resv_locking_ctx(obj->resv) == drm_exec_ticket(&exec));
	KUNIT_EXPECT_EQ(test, i, 2);
	KUNIT_EXPECT_EQ(test, drm_exec_lock_obj(&exec, &objects[0]), -EALREADY);
	drm_exec_fini(&exec);
	for (i = 0; i < 2; i++) {
		KUNIT_EXPECT_FALSE(test, dma_resv_is_locked(objects[i].resv));
		drm_gem_object_release(&objects[i]);
	}
}

static struct kunit_case replaced_cases[] = {
	KUNIT_CASE(frees_wait_for_both_grace_periods),
	KUNIT_CASE(ops_run_inside_a_section_of_both),
	KUNIT_CASE(containers_lie_as_the_library_has_them),
	KUNIT_CASE(objects_are_locked_by_another_ww_mutex),
	KUNIT_CASE(a_loop_locks_by_another_ww_mutex),
	{}
};

static struct kunit_suite replaced = {
	.name = "kernel_replaced",
	.test_cases = replaced_cases,
};

kunit_test_suite(replaced);
