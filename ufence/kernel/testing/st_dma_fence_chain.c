/* The rows DC of the conformance tables. */
#include <linux/dma-fence-chain.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include <kunit/test.h>

/* With a lock in the object around it, and a release op: its ops stay. */
struct mock_fence {
	spinlock_t lock;
	struct dma_fence base;
	struct rcu_head rcu;
};

static atomic_t mocks_alive;

static const char *mock_name(struct dma_fence *fence)
{
	(void)fence;
	return "mock";
}

static void free_mock(struct rcu_head *head)
{
	kfree(container_of(head, struct mock_fence, rcu));
}

static void mock_release(struct dma_fence *fence)
{
	struct mock_fence *mock = container_of(fence, struct mock_fence, base);

	atomic_dec(&mocks_alive);
	call_rcu(&mock->rcu, free_mock);
}

static const struct dma_fence_ops mock_ops = {
	.get_driver_name = mock_name,
	.get_timeline_name = mock_name,
	.release = mock_release,
};

static struct dma_fence *mock_fence(void)
{
	struct mock_fence *mock = kzalloc(sizeof(*mock), GFP_KERNEL);

	if (!mock)
		return NULL;
	atomic_inc(&mocks_alive);
	spin_lock_init(&mock->lock);
	dma_fence_init(&mock->base, &mock_ops, &mock->lock, 0, 0);
	return &mock->base;
}

/* Takes references of its own. */
static struct dma_fence *mock_chain(struct dma_fence *prev, struct dma_fence *fence, u64 seqno)
{
	struct dma_fence_chain *chain = dma_fence_chain_alloc();

	if (!chain)
		return NULL;
	dma_fence_chain_init(chain, dma_fence_get(prev), dma_fence_get(fence), seqno);
	return &chain->base;
}

static void DC01_sanitycheck(struct kunit *test)
{
	struct dma_fence *f = mock_fence(), *chain;

	KUNIT_ASSERT_NOT_NULL(test, f);
	chain = mock_chain(NULL, f, 1);
	KUNIT_ASSERT_NOT_NULL(test, chain);
	dma_fence_enable_sw_signaling(chain);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_chain(chain));
	dma_fence_signal(f);
	KUNIT_EXPECT_TRUE(test, dma_fence_test_signaled_flag(chain));
	KUNIT_EXPECT_TRUE(test, dma_fence_is_chain(chain));
	dma_fence_put(f);
	dma_fence_put(chain);
}

struct fence_chains {
	unsigned int n;
	struct dma_fence **fences;
	struct dma_fence **chains;
	struct dma_fence *tail;
};

static u64 seqno_inc(unsigned int i)
{
	return i + 1;
}

static u64 seqno_gap(unsigned int i)
{
	return 2 * (i + 1);
}

static void chains_init(struct kunit *test, struct fence_chains *fc, unsigned int n,
			u64 (*seqno)(unsigned int))
{
	struct dma_fence *prev = NULL;
	unsigned int i;

	fc->n = n;
	fc->fences = kcalloc(n, sizeof(*fc->fences), GFP_KERNEL);
	fc->chains = kcalloc(n, sizeof(*fc->chains), GFP_KERNEL);
	KUNIT_ASSERT_TRUE(test, fc->fences && fc->chains);
	for (i = 0; i < n; i++) {
		fc->fences[i] = mock_fence();
		KUNIT_ASSERT_NOT_NULL(test, fc->fences[i]);
		fc->chains[i] = mock_chain(prev, fc->fences[i], seqno(i));
		KUNIT_ASSERT_NOT_NULL(test, fc->chains[i]);
		prev = fc->chains[i];
		/* Each would have its callback moved from fence to fence. */
		if (n <= 64)
			dma_fence_enable_sw_signaling(prev);
	}
	fc->tail = dma_fence_get(prev);
}

static void chains_fini(struct fence_chains *fc)
{
	unsigned int i;

	for (i = 0; i < fc->n; i++) {
		dma_fence_signal(fc->fences[i]);
		dma_fence_put(fc->fences[i]);
	}
	for (i = 0; i < fc->n; i++)
		dma_fence_put(fc->chains[i]);
	dma_fence_put(fc->tail);
	kfree(fc->fences);
	kfree(fc->chains);
}

/* From a reference of its own; NULL if it fails, with the errno. */
static struct dma_fence *find(struct dma_fence *from, u64 seqno, int *err)
{
	struct dma_fence *found = dma_fence_get(from);

	*err = dma_fence_chain_find_seqno(&found, seqno);
	if (*err) {
		dma_fence_put(found);
		return NULL;
	}
	return found;
}

static void DC02_find_seqno(struct kunit *test)
{
	struct fence_chains fc;
	struct dma_fence *found;
	unsigned int i;
	int err;

	chains_init(test, &fc, 64, seqno_inc);
	found = find(fc.tail, 0, &err);
	KUNIT_EXPECT_EQ(test, err, 0);
	dma_fence_put(found);
	for (i = 0; i < fc.n; i++) {
		found = find(fc.tail, i + 1, &err);
		KUNIT_EXPECT_EQ(test, err, 0);
		KUNIT_EXPECT_PTR_EQ(test, found, fc.chains[i]);
		dma_fence_put(found);

		found = find(fc.chains[i], i + 1, &err);
		KUNIT_EXPECT_EQ(test, err, 0);
		KUNIT_EXPECT_PTR_EQ(test, found, fc.chains[i]);
		dma_fence_put(found);

		found = find(fc.chains[i], i + 2, &err);
		KUNIT_EXPECT_EQ(test, err, -EINVAL);

		found = find(fc.chains[i], i, &err);
		KUNIT_EXPECT_EQ(test, err, 0);
		/* Nothing waits for point 0. */
		KUNIT_EXPECT_PTR_EQ(test, found, i ? fc.chains[i - 1] : fc.chains[0]);
		dma_fence_put(found);
	}
	chains_fini(&fc);
}

static void DC03_find_signaled(struct kunit *test)
{
	struct fence_chains fc;
	struct dma_fence *found;
	int err;

	chains_init(test, &fc, 2, seqno_inc);
	dma_fence_signal(fc.fences[0]);
	found = find(fc.tail, 1, &err);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_TRUE(test, !found || found == fc.chains[0]);
	dma_fence_put(found);
	chains_fini(&fc);
}

static void DC04_find_out_of_order(struct kunit *test)
{
	struct fence_chains fc;
	struct dma_fence *found;
	int err;

	chains_init(test, &fc, 3, seqno_inc);
	dma_fence_signal(fc.fences[1]);
	found = find(fc.tail, 2, &err);
	KUNIT_EXPECT_EQ(test, err, 0);
	KUNIT_EXPECT_PTR_EQ(test, found, fc.chains[0]);
	dma_fence_put(found);
	chains_fini(&fc);
}

static void DC05_find_gap(struct kunit *test)
{
	struct fence_chains fc;
	struct dma_fence *found;
	unsigned int i, n;
	int err;

	chains_init(test, &fc, 64, seqno_gap);
	for (i = 0; i < fc.n; i++) {
		for (n = 2 * i + 1; n <= 2 * i + 2; n++) {
			found = find(fc.tail, n, &err);
			KUNIT_EXPECT_EQ(test, err, 0);
			KUNIT_EXPECT_PTR_EQ(test, found, fc.chains[i]);
			dma_fence_put(found);
		}
	}
	chains_fini(&fc);
}

struct find_race {
	struct fence_chains fc;
	unsigned int searches;
};

static int find_race_thread(void *data)
{
	struct find_race *race = data;
	struct dma_fence *found, *again;
	unsigned int i;
	int failures = 0, err;
	u64 seqno;

	for (i = 0; i < race->searches; i++) {
		seqno = 1 + get_random_u32_below(race->fc.n);
		found = find(race->fc.tail, seqno, &err);
		if (err)
			failures++;
		if (found && found->seqno == seqno) {
			again = find(found, seqno, &err);
			if (err)
				failures++;
			dma_fence_put(again);
		}
		dma_fence_put(found);
		/* Any but the last. */
		dma_fence_signal(race->fc.fences[get_random_u32_below(race->fc.n - 1)]);
	}
	return failures;
}

static void DC06_find_race(struct kunit *test)
{
	struct find_race race = { .searches = 1024 };
	struct task_struct *tasks[8];
	unsigned int i, n = min(num_online_cpus(), 8U), pending = 0;

	chains_init(test, &race.fc, 4096, seqno_inc);
	for (i = 0; i < n; i++) {
		tasks[i] = kthread_run(find_race_thread, &race, "dma-fence-chain");
		KUNIT_ASSERT_NOT_ERR_OR_NULL(test, tasks[i]);
	}
	for (i = 0; i < n; i++)
		KUNIT_EXPECT_EQ(test, kthread_stop(tasks[i]), 0);
	for (i = 0; i < race.fc.n; i++)
		pending += !dma_fence_is_signaled(race.fc.fences[i]);
	KUNIT_EXPECT_GT(test, pending, 0U);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(race.fc.tail));
	chains_fini(&race.fc);
}

static void DC07_signal_forward(struct kunit *test)
{
	struct fence_chains fc;
	unsigned int i;

	chains_init(test, &fc, 64, seqno_inc);
	for (i = 0; i < fc.n; i++) {
		dma_fence_signal(fc.fences[i]);
		KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(fc.chains[i]));
		if (i + 1 < fc.n)
			KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(fc.chains[i + 1]));
	}
	chains_fini(&fc);
}

static void DC08_signal_backward(struct kunit *test)
{
	struct fence_chains fc;
	unsigned int i;

	chains_init(test, &fc, 64, seqno_inc);
	for (i = fc.n; i--;) {
		dma_fence_signal(fc.fences[i]);
		if (i > 0)
			KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(fc.chains[i]));
	}
	for (i = 0; i < fc.n; i++)
		KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(fc.chains[i]));
	chains_fini(&fc);
}

static int wait_for_tail(void *data)
{
	struct fence_chains *fc = data;

	return (int)dma_fence_wait(fc->tail, false);
}

/* Signals them in this order while a thread waits for the last. */
static void signal_under_wait(struct kunit *test, struct fence_chains *fc, const unsigned int *order)
{
	struct task_struct *task = kthread_run(wait_for_tail, fc, "wait");
	unsigned int i;

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, task);
	for (i = 0; i < fc->n; i++)
		dma_fence_signal(fc->fences[order[i]]);
	KUNIT_EXPECT_EQ(test, kthread_stop(task), 0);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(fc->tail));
}

static void wait_in_order(struct kunit *test, unsigned int (*at)(unsigned int i, unsigned int n))
{
	struct fence_chains fc;
	unsigned int *order, i, j;

	chains_init(test, &fc, 4096, seqno_inc);
	order = kcalloc(fc.n, sizeof(*order), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, order);
	for (i = 0; i < fc.n; i++)
		order[i] = i;
	for (i = 0; i < fc.n; i++) {
		j = at(i, fc.n);
		swap(order[i], order[j]);
	}
	signal_under_wait(test, &fc, order);
	kfree(order);
	chains_fini(&fc);
}

static unsigned int itself(unsigned int i, unsigned int n)
{
	(void)n;
	return i;
}

static unsigned int from_the_end(unsigned int i, unsigned int n)
{
	return i < n / 2 ? n - 1 - i : i;
}

static unsigned int anywhere(unsigned int i, unsigned int n)
{
	return i + get_random_u32_below(n - i);
}

static void DC09_wait_forward(struct kunit *test)
{
	wait_in_order(test, itself);
}

static void DC10_wait_backward(struct kunit *test)
{
	wait_in_order(test, from_the_end);
}

static void DC11_wait_random(struct kunit *test)
{
	wait_in_order(test, anywhere);
}

static void end_case(struct kunit *test)
{
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_read(&mocks_alive), 0);
}

static struct kunit_case dma_fence_chain_cases[] = {
	KUNIT_CASE(DC01_sanitycheck),
	KUNIT_CASE(DC02_find_seqno),
	KUNIT_CASE(DC03_find_signaled),
	KUNIT_CASE(DC04_find_out_of_order),
	KUNIT_CASE(DC05_find_gap),
	KUNIT_CASE(DC06_find_race),
	KUNIT_CASE(DC07_signal_forward),
	KUNIT_CASE(DC08_signal_backward),
	KUNIT_CASE(DC09_wait_forward),
	KUNIT_CASE(DC10_wait_backward),
	KUNIT_CASE(DC11_wait_random),
	{}
};

static struct kunit_suite dma_fence_chain = {
	.name = "kernel_dma_fence_chain",
	.exit = end_case,
	.test_cases = dma_fence_chain_cases,
};

kunit_test_suite(dma_fence_chain);
