/* Beyond the tables: what kernel code relies on, and where it differs (ufence/kernel/README.md). */
#include <linux/dma-fence-array.h>
#include <linux/dma-fence-chain.h>
#include <linux/dma-fence-unwrap.h>
#include <linux/dma-resv.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
/* No <linux/slab.h>: as in the kernel, the header of chains gets it. */

#include <kunit/test.h>

/* An issuer's fence that notes what is asked of it. */
struct job {
	struct dma_fence base;
	spinlock_t *lock; /* held in its ops; NULL: the inline one */
	bool completes_at_enable;
	int error_at_enable;
	atomic_t is_complete; /* to `signaled` */
	int enables, polls, deadlines, waits, releases;
	bool lock_was_held;
	ktime_t deadline;
};

static struct job *job_of(struct dma_fence *f)
{
	return container_of(f, struct job, base);
}

static const char *driver_name(struct dma_fence *f)
{
	(void)f;
	return "driver";
}

static const char *timeline_name(struct dma_fence *f)
{
	(void)f;
	return "timeline";
}

static bool job_enable(struct dma_fence *f)
{
	struct job *job = job_of(f);

	job->enables++;
	job->lock_was_held = spin_is_locked(dma_fence_spinlock(f));
	if (job->error_at_enable)
		dma_fence_set_error(f, job->error_at_enable);
	return !job->completes_at_enable;
}

static bool job_signaled(struct dma_fence *f)
{
	job_of(f)->polls++;
	return atomic_read(&job_of(f)->is_complete);
}

static void job_set_deadline(struct dma_fence *f, ktime_t deadline)
{
	job_of(f)->deadlines++;
	job_of(f)->deadline = deadline;
}

static signed long job_wait(struct dma_fence *f, bool intr, signed long timeout)
{
	job_of(f)->waits++;
	return timeout < 10 ? -ERESTARTSYS : dma_fence_default_wait(f, intr, timeout);
}

static int releases;

static void job_release(struct dma_fence *f)
{
	releases++;
	dma_fence_free(f);
}

static const struct dma_fence_ops job_ops = {
	.get_driver_name = driver_name,
	.get_timeline_name = timeline_name,
	.enable_signaling = job_enable,
	.signaled = job_signaled,
	.set_deadline = job_set_deadline,
};

static const struct dma_fence_ops waiting_ops = {
	.get_driver_name = driver_name,
	.get_timeline_name = timeline_name,
	.wait = job_wait,
};

static const struct dma_fence_ops releasing_ops = {
	.get_driver_name = driver_name,
	.get_timeline_name = timeline_name,
	.release = job_release,
};

static struct job *new_job(struct kunit *test, const struct dma_fence_ops *ops, spinlock_t *lock)
{
	struct job *job = kzalloc(sizeof(*job), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, job);
	KUNIT_EXPECT_FALSE(test, dma_fence_was_initialized(&job->base));
	dma_fence_init64(&job->base, ops, lock, dma_fence_context_alloc(1), 7);
	return job;
}

static const struct dma_fence_ops job_ops_without_a_job = {
	.get_driver_name = driver_name,
	.get_timeline_name = timeline_name,
};

struct note_cb {
	struct dma_fence_cb cb;
	int runs;
	bool lock_was_held;
	int status;
	struct dma_fence *signals; /* in the callback */
	bool was_signaled_inside, had_settled_inside;
	struct note_cb *of_nested;
};

static void note_run(struct dma_fence *f, struct dma_fence_cb *cb)
{
	struct note_cb *note = container_of(cb, struct note_cb, cb);

	note->runs++;
	note->lock_was_held = spin_is_locked(dma_fence_spinlock(f));
	note->status = dma_fence_get_status_locked(f);
	if (note->signals) {
		dma_fence_signal(note->signals);
		note->was_signaled_inside = dma_fence_test_signaled_flag(note->signals);
		note->had_settled_inside = note->of_nested->runs != 0;
		/* Queued on this thread: signaled is enough. */
		if (dma_fence_wait(note->signals, false))
			note->was_signaled_inside = false;
	}
}

static void add(struct kunit *test, struct dma_fence *f, struct note_cb *note)
{
	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(f, &note->cb, note_run), 0);
}

static void the_struct_begins_with_the_fence_and_is_small(struct kunit *test)
{
	struct job *job = new_job(test, &job_ops, NULL);

	KUNIT_EXPECT_LE(test, sizeof(struct dma_fence), 128);
	KUNIT_EXPECT_EQ(test, job->base.seqno, 7);
	KUNIT_EXPECT_EQ(test, job->base.error, 0);
	KUNIT_EXPECT_EQ(test, kref_read(&job->base.refcount), 1);
	KUNIT_EXPECT_TRUE(test, dma_fence_was_initialized(&job->base));
	KUNIT_EXPECT_PTR_EQ(test, dma_fence_spinlock(&job->base), &job->base.inline_lock);
	dma_fence_put(&job->base);
}

static void ops_and_callbacks_run_with_the_lock_held(struct kunit *test)
{
	spinlock_t lock;
	struct job *inlined, *external;
	struct note_cb a = {}, b = {};

	spin_lock_init(&lock);
	inlined = new_job(test, &job_ops, NULL);
	external = new_job(test, &job_ops, &lock);
	KUNIT_EXPECT_PTR_EQ(test, dma_fence_spinlock(&external->base), &lock);
	add(test, &inlined->base, &a);
	add(test, &external->base, &b);
	KUNIT_EXPECT_TRUE(test, inlined->lock_was_held && external->lock_was_held);
	KUNIT_EXPECT_TRUE(test, inlined->enables == 1 && external->enables == 1);
	dma_fence_enable_sw_signaling(&inlined->base);
	KUNIT_EXPECT_EQ(test, inlined->enables, 1);
	dma_fence_signal(&inlined->base);
	dma_fence_signal(&external->base);
	KUNIT_EXPECT_TRUE(test, a.runs == 1 && a.lock_was_held && a.status == 1);
	KUNIT_EXPECT_TRUE(test, b.runs == 1 && b.lock_was_held && b.status == 1);
	KUNIT_EXPECT_FALSE(test, spin_is_locked(&lock));
	dma_fence_put(&inlined->base);
	dma_fence_put(&external->base);
}

static void callbacks_run_under_signal_locked_before_it_returns(struct kunit *test)
{
	spinlock_t lock;
	struct job *job;
	struct note_cb note = {};
	unsigned long flags;

	spin_lock_init(&lock);
	job = new_job(test, &job_ops, &lock);
	add(test, &job->base, &note);
	spin_lock_irqsave(&lock, flags);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled_locked(&job->base));
	KUNIT_EXPECT_FALSE(test, dma_fence_check_and_signal_locked(&job->base));
	KUNIT_EXPECT_EQ(test, note.runs, 1);
	KUNIT_EXPECT_TRUE(test, dma_fence_check_and_signal_locked(&job->base));
	spin_unlock_irqrestore(&lock, flags);
	dma_fence_put(&job->base);
}

static void an_enable_that_returns_false_signals(struct kunit *test)
{
	struct job *job = new_job(test, &job_ops, NULL);
	struct note_cb note = {};

	job->completes_at_enable = true;
	job->error_at_enable = -EIO;
	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(&job->base, &note.cb, note_run), -ENOENT);
	KUNIT_EXPECT_EQ(test, note.runs, 0);
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(&job->base), -EIO);
	dma_fence_put(&job->base);
}

static void looking_polls_and_signals(struct kunit *test)
{
	struct job *job = new_job(test, &job_ops, NULL);
	struct note_cb note = {};

	add(test, &job->base, &note);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(&job->base));
	KUNIT_EXPECT_EQ(test, job->polls, 1);
	atomic_set(&job->is_complete, 1);
	KUNIT_EXPECT_FALSE(test, dma_fence_test_signaled_flag(&job->base));
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(&job->base), 1);
	KUNIT_EXPECT_EQ(test, note.runs, 1);
	KUNIT_EXPECT_EQ(test, job->polls, 2);
	dma_fence_put(&job->base);
}

static void ops_are_detached_by_the_signal_unless_wait_or_release(struct kunit *test)
{
	struct job *plain = new_job(test, &job_ops, NULL);
	struct job *waiting = new_job(test, &waiting_ops, NULL);
	struct job *releasing = new_job(test, &releasing_ops, NULL);

	rcu_read_lock();
	KUNIT_EXPECT_STREQ(test, dma_fence_driver_name(&plain->base), "driver");
	KUNIT_EXPECT_STREQ(test, dma_fence_timeline_name(&plain->base), "timeline");
	rcu_read_unlock();
	dma_fence_signal(&plain->base);
	dma_fence_signal(&waiting->base);
	dma_fence_signal(&releasing->base);
	KUNIT_EXPECT_NULL(test, rcu_access_pointer(plain->base.ops));
	KUNIT_EXPECT_PTR_EQ(test, rcu_access_pointer(waiting->base.ops), &waiting_ops);
	KUNIT_EXPECT_PTR_EQ(test, rcu_access_pointer(releasing->base.ops), &releasing_ops);
	rcu_read_lock();
	KUNIT_EXPECT_STREQ(test, dma_fence_driver_name(&plain->base), "detached-driver");
	KUNIT_EXPECT_STREQ(test, dma_fence_timeline_name(&plain->base), "signaled-timeline");
	KUNIT_EXPECT_STREQ(test, dma_fence_driver_name(&releasing->base), "detached-driver");
	rcu_read_unlock();
	dma_fence_put(&plain->base);
	dma_fence_put(&waiting->base);
	dma_fence_put(&releasing->base);
	KUNIT_EXPECT_EQ(test, releases, 1);
	releases = 0;
}

static void describe_has_the_kernels_format(struct kunit *test)
{
	struct job *job = new_job(test, &job_ops, NULL);
	char text[128], expected[128];
	struct seq_file seq = { .buf = text, .size = sizeof(text) };

	dma_fence_describe(&job->base, &seq);
	snprintf(expected, sizeof(expected), "%llu:7 timeline driver unsignalled\n",
		 (unsigned long long)job->base.context);
	KUNIT_EXPECT_STREQ(test, text, expected);
	dma_fence_signal(&job->base);
	seq.count = 0;
	dma_fence_describe(&job->base, &seq);
	snprintf(expected, sizeof(expected), "%llu:7   signalled\n",
		 (unsigned long long)job->base.context);
	KUNIT_EXPECT_STREQ(test, text, expected);
	KUNIT_EXPECT_EQ(test, seq.count, strlen(expected));
	dma_fence_put(&job->base);
}

static void the_error_is_that_of_before_the_signal(struct kunit *test)
{
	struct job *job = new_job(test, &job_ops, NULL);

	dma_fence_set_error(&job->base, -EIO);
	dma_fence_set_error(&job->base, -ENODATA);
	dma_fence_signal_timestamp(&job->base, 12345);
	KUNIT_EXPECT_EQ(test, job->base.error, -ENODATA);
	KUNIT_EXPECT_EQ(test, dma_fence_timestamp(&job->base), 12345);
	KUNIT_EXPECT_TRUE(test, test_bit(DMA_FENCE_FLAG_TIMESTAMP_BIT, &job->base.flags));
	dma_fence_put(&job->base);
}

static void regress_a_signal_has_the_time_that_it_is_given(struct kunit *test)
{
	struct job *job = new_job(test, &job_ops, NULL);

	dma_fence_signal_timestamp(&job->base, 0);
	KUNIT_EXPECT_EQ(test, dma_fence_timestamp(&job->base), 0);
	dma_fence_put(&job->base);
}

static void a_deadline_reaches_the_op_until_the_signal(struct kunit *test)
{
	struct job *job = new_job(test, &job_ops, NULL);

	dma_fence_set_deadline(&job->base, 99);
	KUNIT_EXPECT_TRUE(test, job->deadlines == 1 && job->deadline == 99);
	dma_fence_signal(&job->base);
	dma_fence_set_deadline(&job->base, 98);
	KUNIT_EXPECT_EQ(test, job->deadlines, 1);
	dma_fence_put(&job->base);
}

static void a_wait_op_is_asked(struct kunit *test)
{
	struct job *job = new_job(test, &waiting_ops, NULL);

	KUNIT_EXPECT_EQ(test, dma_fence_wait_timeout(&job->base, true, 1), -ERESTARTSYS);
	dma_fence_signal(&job->base);
	KUNIT_EXPECT_EQ(test, dma_fence_wait_timeout(&job->base, true, 50), 50);
	KUNIT_EXPECT_EQ(test, job->waits, 2);
	dma_fence_put(&job->base);
}

static void wait_any_tells_which(struct kunit *test)
{
	struct job *a = new_job(test, &job_ops, NULL), *b = new_job(test, &job_ops, NULL);
	struct dma_fence *both[] = { &a->base, &b->base };
	u32 index = 7;

	KUNIT_EXPECT_EQ(test, dma_fence_wait_any_timeout(both, 2, false, 0, &index), 0);
	KUNIT_EXPECT_EQ(test, dma_fence_wait_any_timeout(both, 2, false, 1, &index), 0);
	KUNIT_EXPECT_EQ(test, index, 7);
	dma_fence_signal(&b->base);
	KUNIT_EXPECT_EQ(test, dma_fence_wait_any_timeout(both, 2, false, 0, &index), 1);
	KUNIT_EXPECT_EQ(test, index, 1);
	KUNIT_EXPECT_EQ(test,
			dma_fence_wait_any_timeout(both, 2, false, MAX_SCHEDULE_TIMEOUT, &index),
			MAX_SCHEDULE_TIMEOUT);
	KUNIT_EXPECT_EQ(test, index, 1);
	dma_fence_signal(&a->base);
	dma_fence_put(&a->base);
	dma_fence_put(&b->base);
}

static void a_nested_signal_decides_at_once_and_calls_back_later(struct kunit *test)
{
	struct job *outer = new_job(test, &job_ops, NULL), *inner = new_job(test, &job_ops, NULL);
	struct note_cb of_inner = {};
	struct note_cb of_outer = { .signals = &inner->base, .of_nested = &of_inner };

	add(test, &outer->base, &of_outer);
	add(test, &inner->base, &of_inner);
	dma_fence_signal(&outer->base);
	KUNIT_EXPECT_TRUE(test, of_outer.was_signaled_inside);
	KUNIT_EXPECT_FALSE(test, of_outer.had_settled_inside);
	KUNIT_EXPECT_EQ(test, of_inner.runs, 1);
	KUNIT_EXPECT_TRUE(test, of_inner.lock_was_held);
	dma_fence_put(&outer->base);
	dma_fence_put(&inner->base);
}

/* Blocks its callback until it is let go. */
struct slow_cb {
	struct dma_fence_cb cb;
	atomic_t state; /* 1: it runs; 2: let go; 3: about to return */
};

static void run_slowly(struct dma_fence *f, struct dma_fence_cb *cb)
{
	struct slow_cb *slow = container_of(cb, struct slow_cb, cb);

	(void)f;
	atomic_set_release(&slow->state, 1);
	while (atomic_read_acquire(&slow->state) != 2)
		cond_resched();
	atomic_set_release(&slow->state, 3);
}

static int signal_it(void *data)
{
	dma_fence_signal(data);
	return 0;
}

struct settled_waiter {
	struct dma_fence *f;
	struct slow_cb *slow;
	bool by_lock;
	atomic_t begun;
};

/* 0: the callback had returned. */
static int wait_for_callbacks(void *data)
{
	struct settled_waiter *w = data;
	unsigned long flags;

	atomic_set_release(&w->begun, 1);
	if (w->by_lock) {
		dma_fence_lock_irqsave(w->f, flags);
		dma_fence_unlock_irqrestore(w->f, flags);
	} else if (dma_fence_wait(w->f, false)) {
		return -1;
	}
	return atomic_read_acquire(&w->slow->state) == 3 ? 0 : 1;
}

static void ends_with_the_callbacks(struct kunit *test, bool by_lock)
{
	struct job *job = new_job(test, &job_ops, NULL);
	struct slow_cb slow = {};
	struct settled_waiter w = { .f = &job->base, .slow = &slow, .by_lock = by_lock };
	struct task_struct *signaler, *waiter;

	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(&job->base, &slow.cb, run_slowly), 0);
	signaler = kthread_run(signal_it, &job->base, "signaler");
	while (atomic_read_acquire(&slow.state) != 1)
		cond_resched();
	KUNIT_EXPECT_TRUE(test, dma_fence_test_signaled_flag(&job->base));
	waiter = kthread_run(wait_for_callbacks, &w, "waiter");
	while (!atomic_read_acquire(&w.begun))
		cond_resched();
	atomic_set_release(&slow.state, 2);
	KUNIT_EXPECT_EQ(test, kthread_stop(waiter), 0);
	kthread_stop(signaler);
	dma_fence_put(&job->base);
}

static void a_wait_ends_with_the_callbacks(struct kunit *test)
{
	ends_with_the_callbacks(test, false);
}

static void the_lock_of_a_signaled_fence_comes_after_the_callbacks(struct kunit *test)
{
	ends_with_the_callbacks(test, true);
}

static void put_in_callback(struct dma_fence *f, struct dma_fence_cb *cb)
{
	kfree(container_of(cb, struct note_cb, cb));
	dma_fence_put(f);
}

static void a_callback_may_free_its_node_and_drop_the_last_reference(struct kunit *test)
{
	struct job *job = new_job(test, &job_ops, NULL);
	struct note_cb *note = kzalloc(sizeof(*note), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, note);
	KUNIT_EXPECT_EQ(test, dma_fence_add_callback(&job->base, &note->cb, put_in_callback), 0);
	dma_fence_signal(&job->base);
}

static void a_node_that_was_never_queued_can_be_removed(struct kunit *test)
{
	struct job *job = new_job(test, &job_ops, NULL);
	struct note_cb note;

	memset(&note, 0xa5, sizeof(note));
	INIT_LIST_HEAD(&note.cb.node);
	KUNIT_EXPECT_FALSE(test, dma_fence_remove_callback(&job->base, &note.cb));
	dma_fence_put(&job->base);
}

static struct dma_fence_array *array_of(struct kunit *test, struct dma_fence *a, struct dma_fence *b,
					bool any)
{
	struct dma_fence **fences = kcalloc(2, sizeof(*fences), GFP_KERNEL);
	struct dma_fence_array *array;

	KUNIT_ASSERT_NOT_NULL(test, fences);
	fences[0] = dma_fence_get(a);
	fences[1] = dma_fence_get(b);
	array = dma_fence_array_create(2, fences, dma_fence_context_alloc(1), 1, any);
	KUNIT_ASSERT_NOT_NULL(test, array);
	return array;
}

static void an_array_is_signaled_with_the_last_and_has_the_first_error(struct kunit *test)
{
	struct job *a = new_job(test, &job_ops, NULL), *b = new_job(test, &job_ops, NULL);
	struct dma_fence_array *array = array_of(test, &a->base, &b->base, false);
	struct note_cb note = {};

	KUNIT_EXPECT_PTR_EQ(test, to_dma_fence_array(&array->base), array);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_container(&array->base));
	add(test, &array->base, &note);
	dma_fence_set_error(&b->base, -EIO);
	dma_fence_signal(&b->base);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(&array->base));
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(&array->base), 0);
	dma_fence_set_error(&a->base, -ENODATA);
	dma_fence_signal(&a->base);
	KUNIT_EXPECT_TRUE(test, dma_fence_test_signaled_flag(&array->base));
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(&array->base), -EIO);
	KUNIT_EXPECT_TRUE(test, note.runs == 1 && note.status == -EIO && note.lock_was_held);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_array(&array->base));
	dma_fence_put(&array->base);
	dma_fence_put(&a->base);
	dma_fence_put(&b->base);
}

static void a_polled_array_keeps_an_error(struct kunit *test)
{
	struct job *a = new_job(test, &job_ops, NULL), *b = new_job(test, &job_ops, NULL);
	struct dma_fence_array *array = array_of(test, &a->base, &b->base, false);

	dma_fence_signal(&a->base);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(&array->base));
	dma_fence_set_error(&b->base, -EIO);
	dma_fence_signal(&b->base);
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(&array->base), -EIO);
	dma_fence_put(&array->base);
	dma_fence_put(&a->base);
	dma_fence_put(&b->base);
}

static void an_array_for_any_is_signaled_with_the_first(struct kunit *test)
{
	struct job *a = new_job(test, &job_ops, NULL), *b = new_job(test, &job_ops, NULL);
	struct dma_fence_array *array = array_of(test, &a->base, &b->base, true);

	dma_fence_enable_sw_signaling(&array->base);
	dma_fence_signal(&b->base);
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(&array->base), 1);
	dma_fence_set_error(&a->base, -EIO);
	dma_fence_signal(&a->base);
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(&array->base), 1);
	dma_fence_put(&array->base);
	dma_fence_put(&a->base);
	dma_fence_put(&b->base);
}

/* Fences of one ring share its lock, and are signaled under it. */
static void containers_over_fences_of_one_lock_do_not_want_it_while_it_is_held(struct kunit *test)
{
	spinlock_t ring;
	struct job *a, *b;
	struct dma_fence_array *array;
	struct dma_fence_chain *first = dma_fence_chain_alloc(), *last = dma_fence_chain_alloc();
	struct note_cb of_array = {}, of_chain = {};
	unsigned long flags;

	KUNIT_ASSERT_TRUE(test, first && last);
	spin_lock_init(&ring);
	a = new_job(test, &job_ops, &ring);
	b = new_job(test, &job_ops, &ring);
	array = array_of(test, &a->base, &b->base, false);
	dma_fence_chain_init(first, NULL, dma_fence_get(&a->base), 1);
	dma_fence_chain_init(last, &first->base, dma_fence_get(&b->base), 2);
	add(test, &last->base, &of_chain); /* waits for b first */
	add(test, &array->base, &of_array);

	spin_lock_irqsave(&ring, flags);
	dma_fence_signal_locked(&b->base); /* the chain now has to enable a, under the same lock */
	KUNIT_EXPECT_EQ(test, of_chain.runs, 0);
	spin_unlock_irqrestore(&ring, flags);
	KUNIT_EXPECT_TRUE(test, of_chain.runs == 0 && of_array.runs == 0);

	spin_lock_irqsave(&ring, flags);
	dma_fence_signal_locked(&a->base);
	KUNIT_EXPECT_TRUE(test, of_chain.runs == 0 && of_array.runs == 0);
	spin_unlock_irqrestore(&ring, flags);
	KUNIT_EXPECT_TRUE(test, of_chain.runs == 1 && of_array.runs == 1);

	dma_fence_put(&array->base);
	dma_fence_put(&last->base);
	dma_fence_put(&a->base);
	dma_fence_put(&b->base);
}

static void a_deadline_reaches_all_inside(struct kunit *test)
{
	struct job *a = new_job(test, &job_ops, NULL), *b = new_job(test, &job_ops, NULL);
	struct dma_fence_chain *chain = dma_fence_chain_alloc();
	struct dma_fence_array *array = array_of(test, &a->base, &b->base, false);

	KUNIT_ASSERT_NOT_NULL(test, chain);
	dma_fence_chain_init(chain, NULL, &array->base, 1);
	dma_fence_set_deadline(&chain->base, 5);
	KUNIT_EXPECT_TRUE(test, a->deadline == 5 && b->deadline == 5);
	KUNIT_EXPECT_TRUE(test, dma_fence_match_context(&a->base, a->base.context));
	KUNIT_EXPECT_FALSE(test, dma_fence_match_context(&array->base, a->base.context));
	dma_fence_signal(&a->base);
	dma_fence_signal(&b->base);
	dma_fence_put(&chain->base);
	dma_fence_put(&a->base);
	dma_fence_put(&b->base);
}

struct domino {
	struct dma_fence base;
	struct dma_fence_cb cb;
	struct domino *following;
};

static void topple(struct dma_fence *f, struct dma_fence_cb *cb)
{
	struct domino *following = container_of(cb, struct domino, cb)->following;

	(void)f;
	if (following)
		dma_fence_signal(&following->base);
}

static void a_cascade_of_100000_does_not_recurse(struct kunit *test)
{
	struct domino *first = NULL, *following;
	int i;

	for (i = 0; i < 100000; i++) {
		struct domino *domino = kzalloc(sizeof(*domino), GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, domino);
		dma_fence_init(&domino->base, &job_ops_without_a_job, NULL, 1, 1);
		KUNIT_ASSERT_EQ(test, dma_fence_add_callback(&domino->base, &domino->cb, topple), 0);
		domino->following = first;
		first = domino;
	}
	dma_fence_signal(&first->base);
	for (i = 0; first; first = following) {
		following = first->following;
		i += dma_fence_test_signaled_flag(&first->base);
		dma_fence_put(&first->base);
	}
	KUNIT_EXPECT_EQ(test, i, 100000);
}

static void a_chain_of_100000_ends_without_recursion(struct kunit *test)
{
	struct job *job = new_job(test, &job_ops, NULL);
	struct dma_fence *tail = NULL;
	int i;

	for (i = 1; i <= 100000; i++) {
		struct dma_fence_chain *node = dma_fence_chain_alloc();

		KUNIT_ASSERT_NOT_NULL(test, node);
		dma_fence_chain_init(node, tail, dma_fence_get(&job->base), (u64)i);
		tail = &node->base;
	}
	dma_fence_put(tail);
	KUNIT_EXPECT_EQ(test, kref_read(&job->base.refcount), 1);
	dma_fence_put(&job->base);
}

static void later_is_wrapped_unless_seqnos_have_64_bits(struct kunit *test)
{
	struct job *narrow = kzalloc(sizeof(*narrow), GFP_KERNEL), *wide = new_job(test, &job_ops, NULL);

	KUNIT_ASSERT_NOT_NULL(test, narrow);
	dma_fence_init(&narrow->base, &job_ops, NULL, wide->base.context, 3);
	KUNIT_EXPECT_TRUE(test, __dma_fence_is_later(&narrow->base, 2, UINT32_MAX));
	KUNIT_EXPECT_FALSE(test, __dma_fence_is_later(&narrow->base, 2, 2));
	KUNIT_EXPECT_FALSE(test, __dma_fence_is_later(&wide->base, 2, UINT32_MAX));
	KUNIT_EXPECT_TRUE(test, dma_fence_is_later(&wide->base, &narrow->base));
	KUNIT_EXPECT_TRUE(test, dma_fence_is_later_or_same(&wide->base, &wide->base));
	KUNIT_EXPECT_PTR_EQ(test, dma_fence_later(&wide->base, &narrow->base), &wide->base);
	dma_fence_signal(&wide->base);
	KUNIT_EXPECT_NULL(test, dma_fence_later(&wide->base, &narrow->base));
	dma_fence_put(&wide->base);
	dma_fence_put(&narrow->base);
}

static void end_case(struct kunit *test)
{
	(void)test;
	rcu_barrier();
}

static void later_kernels_call_it_enable_signaling(struct kunit *test)
{
	struct job *job = new_job(test, &job_ops, NULL);

	dma_fence_enable_signaling(&job->base);
	KUNIT_EXPECT_EQ(test, job->enables, 1);
	KUNIT_EXPECT_TRUE(test, test_bit(DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT, &job->base.flags));
	dma_fence_enable_sw_signaling(&job->base);
	KUNIT_EXPECT_EQ(test, job->enables, 1);
	dma_fence_signal(&job->base);
	dma_fence_put(&job->base);
}

struct waiting_reader {
	bool is_reading, may_end;
};

/* What kernel code does that looks for a fence until another thread has published one. */
static int read_until_told(void *data)
{
	struct waiting_reader *reader = data;
	unsigned long end = jiffies + 20 * HZ;
	int gave_up = 0;

	rcu_read_lock();
	WRITE_ONCE(reader->is_reading, true);
	while (!gave_up && !READ_ONCE(reader->may_end)) {
		gave_up = time_after(jiffies, end);
		cond_resched();
	}
	rcu_read_unlock();
	return gave_up;
}

static void regress_an_init_waits_for_no_reader(struct kunit *test)
{
	struct waiting_reader reader = { false, false };
	struct task_struct *task = kthread_run(read_until_told, &reader, "reader");
	int i;

	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	while (!READ_ONCE(reader.is_reading))
		cond_resched();
	/* More than what is given back at once. */
	for (i = 0; i < 5000; i++) {
		struct job *job = new_job(test, &job_ops, NULL);

		dma_fence_signal(&job->base);
		dma_fence_put(&job->base);
	}
	WRITE_ONCE(reader.may_end, true);
	KUNIT_EXPECT_EQ(test, kthread_stop(task), 0);
	rcu_barrier();
}

/* Each makes, signals or waits, while thousands of frees wait for a reader. */
static void make_signal_and_wait(struct kunit *test)
{
	struct job *job = new_job(test, &job_ops, NULL);
	struct dma_fence **fences = kmalloc_array(2, sizeof(*fences), GFP_KERNEL);
	struct dma_fence_chain *link = dma_fence_chain_alloc();
	struct dma_fence *stub = dma_fence_allocate_private_stub(ktime_get());
	struct dma_fence_array *array;
	struct dma_fence *merged;
	struct dma_resv resv;

	KUNIT_ASSERT_TRUE(test, fences && link && stub);
	fences[0] = dma_fence_get(&job->base);
	fences[1] = stub;
	array = dma_fence_array_create(2, fences, dma_fence_context_alloc(1), 1, false);
	KUNIT_ASSERT_NOT_NULL(test, array);
	dma_fence_chain_init(link, NULL, dma_fence_get(&array->base), 1);
	merged = dma_fence_unwrap_merge(&link->base, stub);
	KUNIT_ASSERT_NOT_NULL(test, merged);
	dma_resv_init(&resv);
	dma_resv_lock(&resv, NULL);
	KUNIT_EXPECT_EQ(test, dma_resv_reserve_fences(&resv, 1), 0);
	dma_resv_add_fence(&resv, &job->base, DMA_RESV_USAGE_WRITE);
	dma_resv_unlock(&resv);
	dma_fence_signal(&job->base);
	KUNIT_EXPECT_EQ(test, dma_fence_wait(&job->base, false), 0);
	KUNIT_EXPECT_EQ(test, dma_fence_wait(&link->base, false), 0);
	KUNIT_EXPECT_GT(test, dma_fence_wait_timeout(merged, false, HZ), 0);
	dma_resv_fini(&resv);
	dma_fence_put(merged);
	dma_fence_put(&link->base);
	dma_fence_put(&array->base);
	dma_fence_put(&job->base);
}

static void regress_nobody_waits_for_a_reader(struct kunit *test)
{
	struct waiting_reader reader = { false, false };
	struct task_struct *task = kthread_run(read_until_told, &reader, "reader");
	int i;

	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	while (!READ_ONCE(reader.is_reading))
		cond_resched();
	for (i = 0; i < 500; i++)
		make_signal_and_wait(test);
	WRITE_ONCE(reader.may_end, true);
	KUNIT_EXPECT_EQ(test, kthread_stop(task), 0);
	rcu_barrier();
}

static int releases;
static void count_release(struct kref *kref)
{
	(void)kref;
	releases++;
}

static void regress_references_saturate(struct kunit *test)
{
	struct kref kref;
	int i;

	releases = 0;
	kref_init(&kref);
	kref_get(&kref);
	KUNIT_EXPECT_EQ(test, kref_put(&kref, count_release), 0);
	KUNIT_EXPECT_EQ(test, kref_put(&kref, count_release), 1);
	KUNIT_EXPECT_EQ(test, releases, 1);
	KUNIT_EXPECT_FALSE(test, kref_get_unless_zero(&kref));

	/* 2^31 references were lost. */
	refcount_set(&kref.refcount, INT_MIN);
	kref_get(&kref);
	KUNIT_EXPECT_TRUE(test, kref_get_unless_zero(&kref));
	for (i = 0; i < 1000; i++)
		KUNIT_EXPECT_EQ(test, kref_put(&kref, count_release), 0);
	KUNIT_EXPECT_TRUE(test, kref_get_unless_zero(&kref));
	KUNIT_EXPECT_EQ(test, releases, 1);
}

static atomic_t given_back;

static void free_job(struct rcu_head *head)
{
	kfree(job_of(container_of(head, struct dma_fence, rcu)));
	atomic_inc(&given_back);
}

static void deferring_release(struct dma_fence *f)
{
	call_rcu(&f->rcu, free_job);
}

static const struct dma_fence_ops deferring_ops = {
	.get_driver_name = driver_name,
	.get_timeline_name = timeline_name,
	.release = deferring_release,
};

static void fences_that_are_only_made_and_signaled_are_given_back(struct kunit *test)
{
	unsigned long end = jiffies + 20 * HZ;
	int made = 0;

	atomic_set(&given_back, 0);
	while (atomic_read(&given_back) == 0 && time_before(jiffies, end)) {
		struct job *job = new_job(test, &deferring_ops, NULL);

		made++;
		dma_fence_signal(&job->base);
		dma_fence_put(&job->base);
	}
	KUNIT_EXPECT_GT(test, atomic_read(&given_back), 0);
	rcu_barrier();
	KUNIT_EXPECT_EQ(test, atomic_read(&given_back), made);
}

static struct kunit_case behaviour_cases[] = {
	KUNIT_CASE(the_struct_begins_with_the_fence_and_is_small),
	KUNIT_CASE(ops_and_callbacks_run_with_the_lock_held),
	KUNIT_CASE(callbacks_run_under_signal_locked_before_it_returns),
	KUNIT_CASE(an_enable_that_returns_false_signals),
	KUNIT_CASE(looking_polls_and_signals),
	KUNIT_CASE(ops_are_detached_by_the_signal_unless_wait_or_release),
	KUNIT_CASE(describe_has_the_kernels_format),
	KUNIT_CASE(the_error_is_that_of_before_the_signal),
	KUNIT_CASE(regress_a_signal_has_the_time_that_it_is_given),
	KUNIT_CASE(a_deadline_reaches_the_op_until_the_signal),
	KUNIT_CASE(a_wait_op_is_asked),
	KUNIT_CASE(wait_any_tells_which),
	KUNIT_CASE(a_nested_signal_decides_at_once_and_calls_back_later),
	KUNIT_CASE(a_wait_ends_with_the_callbacks),
	KUNIT_CASE(the_lock_of_a_signaled_fence_comes_after_the_callbacks),
	KUNIT_CASE(a_callback_may_free_its_node_and_drop_the_last_reference),
	KUNIT_CASE(a_node_that_was_never_queued_can_be_removed),
	KUNIT_CASE(an_array_is_signaled_with_the_last_and_has_the_first_error),
	KUNIT_CASE(a_polled_array_keeps_an_error),
	KUNIT_CASE(an_array_for_any_is_signaled_with_the_first),
	KUNIT_CASE(containers_over_fences_of_one_lock_do_not_want_it_while_it_is_held),
	KUNIT_CASE(a_deadline_reaches_all_inside),
	KUNIT_CASE(a_cascade_of_100000_does_not_recurse),
	KUNIT_CASE(a_chain_of_100000_ends_without_recursion),
	KUNIT_CASE(later_is_wrapped_unless_seqnos_have_64_bits),
	KUNIT_CASE(regress_an_init_waits_for_no_reader),
	KUNIT_CASE(regress_nobody_waits_for_a_reader),
	KUNIT_CASE(regress_references_saturate),
	KUNIT_CASE(fences_that_are_only_made_and_signaled_are_given_back),
	KUNIT_CASE(later_kernels_call_it_enable_signaling),
	{}
};

static struct kunit_suite dma_fence_behaviour = {
	.name = "kernel_api",
	.exit = end_case,
	.test_cases = behaviour_cases,
};

kunit_test_suite(dma_fence_behaviour);
