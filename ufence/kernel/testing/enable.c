/* When an issuer is asked for the completion of its fence, and what adding a callback is one step with. */
#include <linux/kernel.h>
#include <linux/kthread.h>

#include <trace/events/dma_fence.h>

#include <kunit/test.h>

#include "ufence/kernel/testing/mock_fence.h"

/* A fence whose issuer notes what it is asked, and signals in its own way when it is enabled. */
struct job {
	struct dma_fence base;
	int enables, polls, deadlines;
	bool is_complete;	 /* to `signaled` */
	bool signals_in_enable;	 /* holding the lock, as the op is called */
	struct task_struct *task; /* that signals, begun by enable_signaling */
	atomic_t has_begun;
};

static struct job *job_of(struct dma_fence *f)
{
	return container_of(f, struct job, base);
}

static int signal_job(void *data)
{
	struct job *job = data;

	atomic_set_release(&job->has_begun, 1);
	dma_fence_signal(&job->base);
	return 0;
}

static bool job_enable(struct dma_fence *f)
{
	struct job *job = job_of(f);

	job->enables++;
	if (job->signals_in_enable)
		dma_fence_signal_locked(f);
	return true;
}

/* As a driver whose interrupt comes while it is switched on. */
static bool job_enable_and_be_signaled(struct dma_fence *f)
{
	struct job *job = job_of(f);

	job->enables++;
	job->task = kthread_run(signal_job, job, "signals");
	while (!atomic_read_acquire(&job->has_begun))
		cond_resched();
	return true;
}

static bool job_signaled(struct dma_fence *f)
{
	job_of(f)->polls++;
	return job_of(f)->is_complete;
}

static void job_set_deadline(struct dma_fence *f, ktime_t deadline)
{
	(void)deadline;
	job_of(f)->deadlines++;
}

static const struct dma_fence_ops all_ops = {
	.get_driver_name = mock_name,
	.get_timeline_name = mock_name,
	.enable_signaling = job_enable,
	.signaled = job_signaled,
	.set_deadline = job_set_deadline,
};

static const struct dma_fence_ops polled_ops = {
	.get_driver_name = mock_name,
	.get_timeline_name = mock_name,
	.signaled = job_signaled,
};

static const struct dma_fence_ops racing_ops = {
	.get_driver_name = mock_name,
	.get_timeline_name = mock_name,
	.enable_signaling = job_enable_and_be_signaled,
};

static struct job *new_job(struct kunit *test, const struct dma_fence_ops *ops)
{
	struct job *job = kzalloc(sizeof(*job), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, job);
	dma_fence_init(&job->base, ops, NULL, dma_fence_context_alloc(1), 1);
	return job;
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

static void regress_a_callback_is_added_though_enabling_signals(struct kunit *test)
{
	int i;

	for (i = 0; i < 300; i++) {
		struct job *job = new_job(test, &racing_ops);
		struct counting_cb cb = { .runs = 0 };

		KUNIT_EXPECT_EQ(test, dma_fence_add_callback(&job->base, &cb.cb, count), 0);
		KUNIT_ASSERT_FALSE(test, IS_ERR(job->task));
		KUNIT_EXPECT_EQ(test, kthread_stop(job->task), 0);
		KUNIT_EXPECT_TRUE(test, cb.runs == 1 && job->enables == 1);
		KUNIT_EXPECT_EQ(test, dma_fence_get_status(&job->base), 1);
		dma_fence_put(&job->base);
	}
}

static void a_callback_is_refused_where_the_op_itself_signals(struct kunit *test)
{
	struct job *job = new_job(test, &all_ops);
	struct counting_cb cb = { .runs = 0 };

	job->signals_in_enable = true;
	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(&job->base, &cb.cb, count), -ENOENT);
	KUNIT_EXPECT_TRUE(test, list_empty(&cb.cb.node));
	KUNIT_EXPECT_TRUE(test, cb.runs == 0 && job->enables == 1);
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(&job->base), 1);
	dma_fence_put(&job->base);
}

static void adding_and_enabling_do_not_poll(struct kunit *test)
{
	struct job *job = new_job(test, &all_ops);
	struct counting_cb first = { .runs = 0 }, second = { .runs = 0 };

	job->is_complete = true;
	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(&job->base, &first.cb, count), 0);
	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(&job->base, &second.cb, count), 0);
	dma_fence_enable_sw_signaling(&job->base);
	KUNIT_EXPECT_TRUE(test, job->enables == 1 && job->polls == 0);
	KUNIT_EXPECT_TRUE(test, ufence_dma_fence_has_callbacks(&job->base));
	KUNIT_EXPECT_TRUE(test, dma_fence_remove_callback(&job->base, &second.cb));
	KUNIT_EXPECT_TRUE(test, list_empty(&second.cb.node));
	KUNIT_EXPECT_EQ(test, job->polls, 0);
	KUNIT_EXPECT_EQ(test, first.runs, 0);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(&job->base));
	KUNIT_EXPECT_TRUE(test, job->polls == 1 && first.runs == 1 && second.runs == 0);
	KUNIT_EXPECT_FALSE(test, ufence_dma_fence_has_callbacks(&job->base));
	dma_fence_put(&job->base);
}

static void a_wait_does_not_poll(struct kunit *test)
{
	struct job *job = new_job(test, &all_ops);

	job->is_complete = true;
	KUNIT_EXPECT_EQ(test, dma_fence_wait_timeout(&job->base, false, 0), 0);
	KUNIT_EXPECT_EQ(test, dma_fence_wait_timeout(&job->base, false, 1), 0);
	KUNIT_EXPECT_EQ(test, job->polls, 0);
	dma_fence_signal(&job->base);
	dma_fence_put(&job->base);
}

static void regress_a_deadline_polls_only_for_an_issuer_that_is_told(struct kunit *test)
{
	struct job *told = new_job(test, &all_ops), *not_told = new_job(test, &polled_ops);

	told->is_complete = not_told->is_complete = true;
	dma_fence_set_deadline(&not_told->base, 1);
	KUNIT_EXPECT_EQ(test, not_told->polls, 0);
	KUNIT_EXPECT_FALSE(test, dma_fence_test_signaled_flag(&not_told->base));
	dma_fence_set_deadline(&told->base, 1);
	KUNIT_EXPECT_TRUE(test, told->polls == 1 && told->deadlines == 0);
	KUNIT_EXPECT_TRUE(test, dma_fence_test_signaled_flag(&told->base));
	dma_fence_signal(&not_told->base);
	dma_fence_put(&told->base);
	dma_fence_put(&not_told->base);
}

static void an_issuer_may_fire_the_trace_points(struct kunit *test)
{
	struct job *job = new_job(test, &all_ops);
	unsigned long flags = job->base.flags;

	if (trace_dma_fence_emit_enabled())
		trace_dma_fence_emit(&job->base);
	trace_dma_fence_init(&job->base);
	trace_dma_fence_enable_signal(&job->base);
	trace_dma_fence_wait_start(&job->base);
	trace_dma_fence_wait_end(&job->base);
	trace_dma_fence_signaled(&job->base);
	trace_dma_fence_destroy(&job->base);
	KUNIT_EXPECT_TRUE(test, job->enables == 0 && job->polls == 0);
	KUNIT_EXPECT_EQ(test, job->base.flags, flags);
	KUNIT_EXPECT_EQ(test, kref_read(&job->base.refcount), 1);
	dma_fence_signal(&job->base);
	dma_fence_put(&job->base);
}

/* A fence on the stack of the thread that waits for it, as drivers have it for what they do at once. */
static void regress_a_wait_ends_when_the_signal_is_done_with_the_fence(struct kunit *test)
{
	int i;

	for (i = 0; i < 300; i++) {
		struct job on_stack = { .enables = 0 };
		struct counting_cb cb = { .runs = 0 };
		struct task_struct *task;

		dma_fence_init(&on_stack.base, &all_ops, NULL, 1, 1);
		if (i % 2)
			KUNIT_EXPECT_EQ(test, dma_fence_add_callback(&on_stack.base, &cb.cb, count),
					0);
		task = kthread_run(signal_job, &on_stack, "signals");
		KUNIT_ASSERT_FALSE(test, IS_ERR(task));
		KUNIT_EXPECT_EQ(test, dma_fence_wait(&on_stack.base, false), 0);
		KUNIT_EXPECT_EQ(test, cb.runs, i % 2);
		memset(&on_stack, 0x5a, sizeof(on_stack));
		KUNIT_EXPECT_EQ(test, kthread_stop(task), 0);
		KUNIT_EXPECT_EQ(test, on_stack.base.flags, 0x5a5a5a5a5a5a5a5aUL);
		KUNIT_EXPECT_EQ(test, on_stack.base.ufence_state, 0x5a5a5a5aU);
		KUNIT_EXPECT_EQ(test, kref_read(&on_stack.base.refcount), 0x5a5a5a5aU);
	}
}

static struct kunit_case enable_cases[] = {
	KUNIT_CASE(regress_a_callback_is_added_though_enabling_signals),
	KUNIT_CASE(a_callback_is_refused_where_the_op_itself_signals),
	KUNIT_CASE(adding_and_enabling_do_not_poll),
	KUNIT_CASE(a_wait_does_not_poll),
	KUNIT_CASE(regress_a_deadline_polls_only_for_an_issuer_that_is_told),
	KUNIT_CASE(an_issuer_may_fire_the_trace_points),
	KUNIT_CASE(regress_a_wait_ends_when_the_signal_is_done_with_the_fence),
	{}
};

static void end_case(struct kunit *test)
{
	(void)test;
	rcu_barrier();
}

static struct kunit_suite enable = {
	.name = "kernel_enable",
	.exit = end_case,
	.test_cases = enable_cases,
};

kunit_test_suite(enable);
