/* The small headers beside those of fences. */
#include <linux/atomic.h>
#include <linux/bitops.h>
#include <linux/cleanup.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rculist.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/ww_mutex.h>

#include <string.h>

#include <kunit/test.h>

#include "ufence/kernel/testing/brings.h"
#include "ufence/kernel/testing/mock_fence.h"

/* The compiler checks formats. */
static void numbers_are_printed_with_the_kernels_formats(struct kunit *test)
{
	u64 most = ~0ULL;
	s64 least = -1;
	ktime_t time = ns_to_ktime(17);
	char text[64];

	snprintf(text, sizeof(text), "%llu %lld %llx", most, least, most);
	KUNIT_EXPECT_STREQ(test, text, "18446744073709551615 -1 ffffffffffffffff");
	snprintf(text, sizeof(text), "%lld", time);
	KUNIT_EXPECT_STREQ(test, text, "17");
}

struct message {
	int text;
	bool is_sent;
};

static int send(void *data)
{
	struct message *message = data;

	message->text = 42;
	smp_wmb();
	WRITE_ONCE(message->is_sent, true);
	return 0;
}

static void barriers_order_what_is_not_atomic(struct kunit *test)
{
	struct message message = { 0 };
	struct task_struct *task = kthread_run(send, &message, "sender");

	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	while (!READ_ONCE(message.is_sent))
		cond_resched();
	smp_rmb();
	KUNIT_EXPECT_EQ(test, message.text, 42);
	smp_mb();
	KUNIT_EXPECT_EQ(test, kthread_stop(task), 0);
}

struct item {
	int number;
	struct list_head link;
};
struct hashed {
	int number;
	struct hlist_node link;
};

/* The numbers of a list, as one number. */
static int numbers_of(struct list_head *list)
{
	struct item *item;
	int numbers = 0;

	list_for_each_entry(item, list, link)
		numbers = numbers * 10 + item->number;
	return numbers;
}

static void lists_are_walked_and_changed(struct kunit *test)
{
	struct item a = { .number = 1 }, b = { .number = 2 }, c = { .number = 3 }, d = { .number = 4 };
	struct item *item, *next;
	int numbers = 0;
	LIST_HEAD(list);

	list_add_tail(&a.link, &list);
	list_add_tail(&b.link, &list);
	list_add_tail(&c.link, &list);
	item = &a;
	list_for_each_entry_continue(item, &list, link)
		numbers = numbers * 10 + item->number;
	KUNIT_EXPECT_EQ(test, numbers, 23);
	list_replace(&b.link, &d.link);
	KUNIT_EXPECT_EQ(test, numbers_of(&list), 143);
	list_replace_init(&d.link, &b.link);
	KUNIT_EXPECT_TRUE(test, list_empty(&d.link));
	KUNIT_EXPECT_EQ(test, numbers_of(&list), 123);
	numbers = 0;
	list_for_each_entry_safe_reverse(item, next, &list, link) {
		numbers = numbers * 10 + item->number;
		list_del_init(&item->link);
	}
	KUNIT_EXPECT_EQ(test, numbers, 321);
	KUNIT_EXPECT_TRUE(test, list_empty(&list));
}

/* Where the entry around the head of a list would be, it would not be aligned. */
static void lists_of_aligned_entries_end_without_one(struct kunit *test)
{
	struct aligned_item {
		struct list_head link;
		u64 number;
	} __attribute__((aligned(64))) a = { .number = 1 }, b = { .number = 2 }, *item, *next;
	struct {
		u64 before;
		struct list_head head;
	} __attribute__((aligned(64))) list;
	u64 numbers = 0;

	INIT_LIST_HEAD(&list.head);
	list_for_each_entry_safe(item, next, &list.head, link)
		numbers = 9;
	list_add_tail(&a.link, &list.head);
	list_add_tail(&b.link, &list.head);
	list_for_each_entry(item, &list.head, link)
		numbers = numbers * 10 + item->number;
	KUNIT_EXPECT_TRUE(test, list_entry_is_head(item, &list.head, link));
	list_for_each_entry_safe_reverse(item, next, &list.head, link)
		numbers = numbers * 10 + item->number;
	list_for_each_entry_safe(item, next, &list.head, link)
		list_del_init(&item->link);
	KUNIT_EXPECT_EQ(test, numbers, 1221);
	KUNIT_EXPECT_TRUE(test, list_empty(&list.head));
}

static void counters_tell_what_they_were(struct kunit *test)
{
	atomic64_t v = ATOMIC64_INIT(5);
	s64 old = 4;

	KUNIT_EXPECT_EQ(test, atomic64_fetch_add(3, &v), 5);
	KUNIT_EXPECT_EQ(test, atomic64_fetch_sub(1, &v), 8);
	KUNIT_EXPECT_FALSE(test, atomic64_try_cmpxchg(&v, &old, 1));
	KUNIT_EXPECT_EQ(test, old, 7);
	KUNIT_EXPECT_TRUE(test, atomic64_try_cmpxchg(&v, &old, 1));
	KUNIT_EXPECT_EQ(test, atomic64_read(&v), 1);
}

static void counters_of_longs_and_their_relatives(struct kunit *test)
{
	atomic_t v = ATOMIC_INIT(1);
	atomic_long_t l = ATOMIC_LONG_INIT(1L << 40);

	KUNIT_EXPECT_EQ(test, atomic_fetch_inc(&v), 1);
	KUNIT_EXPECT_EQ(test, atomic_fetch_dec_release(&v), 2);
	KUNIT_EXPECT_EQ(test, atomic_inc_return_relaxed(&v), 2);
	KUNIT_EXPECT_EQ(test, atomic_fetch_or(4, &v), 2);
	KUNIT_EXPECT_EQ(test, atomic_fetch_andnot(2, &v), 6);
	KUNIT_EXPECT_EQ(test, atomic_fetch_xor(5, &v), 4);
	KUNIT_EXPECT_EQ(test, atomic_read(&v), 1);
	KUNIT_EXPECT_FALSE(test, atomic_add_unless(&v, 1, 1));
	KUNIT_EXPECT_EQ(test, atomic_fetch_add_unless(&v, 2, 0), 1);
	KUNIT_EXPECT_EQ(test, atomic_dec_if_positive(&v), 2);
	atomic_set(&v, 0);
	KUNIT_EXPECT_EQ(test, atomic_dec_if_positive(&v), -1);
	KUNIT_EXPECT_FALSE(test, atomic_inc_not_zero(&v));
	KUNIT_EXPECT_TRUE(test, atomic_add_negative(-1, &v));
	KUNIT_EXPECT_FALSE(test, atomic_inc_unless_negative(&v));
	KUNIT_EXPECT_TRUE(test, atomic_inc_and_test(&v));
	KUNIT_EXPECT_TRUE(test, atomic_sub_and_test(0, &v));
	KUNIT_EXPECT_EQ(test, atomic_long_inc_return(&l), (1L << 40) + 1);
	KUNIT_EXPECT_EQ(test, atomic_long_xchg_acquire(&l, 3), (1L << 40) + 1);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&l), 3);
}

/* What the compiler would not take for two types. */
static void a_u64_is_a_uint64_t(struct kunit *test)
{
	uint64_t number = 7;
	u64 *same = &number;
	int64_t less = -7;
	s64 *same_less = &less;

	KUNIT_EXPECT_TRUE(test, *same == 7 && *same_less == -7);
	KUNIT_EXPECT_TRUE(test, __builtin_types_compatible_p(uint64_t, u64));
}

static void lists_are_spliced_and_cut(struct kunit *test)
{
	struct item a = { .number = 1 }, b = { .number = 2 }, c = { .number = 3 };
	struct item *item, *next;
	LIST_HEAD(list);
	LIST_HEAD(other);

	list_add_tail(&a.link, &other);
	list_add_tail(&b.link, &other);
	list_add_tail(&c.link, &list);
	list_splice_tail(&other, &list);
	KUNIT_EXPECT_EQ(test, numbers_of(&list), 312);
	list_cut_position(&other, &list, &a.link);
	KUNIT_EXPECT_EQ(test, numbers_of(&other), 31);
	KUNIT_EXPECT_EQ(test, numbers_of(&list), 2);
	list_splice(&other, &list);
	KUNIT_EXPECT_EQ(test, numbers_of(&list), 312);
	KUNIT_EXPECT_EQ(test, list_count_nodes(&list), 3);
	KUNIT_EXPECT_TRUE(test, list_is_first(&c.link, &list) && list_is_last(&b.link, &list));
	list_rotate_left(&list);
	KUNIT_EXPECT_EQ(test, numbers_of(&list), 123);
	list_swap(&a.link, &c.link);
	KUNIT_EXPECT_EQ(test, numbers_of(&list), 321);
	list_swap(&c.link, &b.link);
	KUNIT_EXPECT_EQ(test, numbers_of(&list), 231);
	list_bulk_move_tail(&list, &b.link, &c.link);
	KUNIT_EXPECT_EQ(test, numbers_of(&list), 123);
	item = &b;
	list_for_each_entry_safe_from(item, next, &list, link)
		list_del_init_careful(&item->link);
	KUNIT_EXPECT_EQ(test, numbers_of(&list), 1);
	KUNIT_EXPECT_TRUE(test, list_empty_careful(&b.link) && !list_empty_careful(&list));
}

static void lists_are_walked_under_rcu(struct kunit *test)
{
	struct item a = { .number = 1 }, b = { .number = 2 }, c = { .number = 3 }, *item;
	int numbers = 0;
	LIST_HEAD(list);
	LIST_HEAD(other);

	KUNIT_EXPECT_NULL(test, list_first_or_null_rcu(&list, struct item, link));
	list_add_rcu(&b.link, &list);
	list_add_tail_rcu(&c.link, &list);
	list_add_rcu(&a.link, &list);
	rcu_read_lock();
	list_for_each_entry_rcu(item, &list, link)
		numbers = numbers * 10 + item->number;
	KUNIT_EXPECT_EQ(test, numbers, 123);
	KUNIT_EXPECT_PTR_EQ(test, list_first_or_null_rcu(&list, struct item, link), &a);
	KUNIT_EXPECT_PTR_EQ(test, list_next_or_null_rcu(&list, &b.link, struct item, link), &c);
	KUNIT_EXPECT_NULL(test, list_next_or_null_rcu(&list, &c.link, struct item, link));
	rcu_read_unlock();
	list_del_rcu(&b.link);
	KUNIT_EXPECT_PTR_EQ(test, b.link.next, &c.link); /* for readers that are at it */
	KUNIT_EXPECT_EQ(test, numbers_of(&list), 13);
	list_replace_rcu(&a.link, &b.link);
	KUNIT_EXPECT_EQ(test, numbers_of(&list), 23);
	list_splice_init_rcu(&list, &other, synchronize_rcu);
	KUNIT_EXPECT_TRUE(test, list_empty(&list));
	KUNIT_EXPECT_EQ(test, numbers_of(&other), 23);
}

static bool is_held_inside(spinlock_t *lock)
{
	guard(spinlock_irqsave)(lock);
	return spin_is_locked(lock);
}

static struct item *make_item(int number, bool fails)
{
	struct item *item __free(kfree) = kzalloc(sizeof(*item), GFP_KERNEL);

	if (!item || fails)
		return NULL;
	item->number = number;
	return_ptr(item);
}

static void guards_end_with_their_scope(struct kunit *test)
{
	spinlock_t lock;
	int runs = 0;
	struct item *item __free(kfree) = make_item(3, false);

	spin_lock_init(&lock);
	KUNIT_EXPECT_TRUE(test, is_held_inside(&lock) && !spin_is_locked(&lock));
	scoped_guard(spinlock, &lock) {
		runs++;
		KUNIT_EXPECT_TRUE(test, spin_is_locked(&lock));
	}
	KUNIT_EXPECT_TRUE(test, runs == 1 && !spin_is_locked(&lock));
	scoped_guard(rcu)
		runs++;
	spin_lock(&lock);
	scoped_guard(spinlock_try, &lock)
		runs = 9;
	scoped_cond_guard(spinlock_try, runs++, &lock)
		runs = 9;
	spin_unlock(&lock);
	KUNIT_EXPECT_EQ(test, runs, 3);
	KUNIT_ASSERT_NOT_NULL(test, item);
	KUNIT_EXPECT_EQ(test, item->number, 3);
	KUNIT_EXPECT_NULL(test, make_item(4, true));
}

static void bits_and_times(struct kunit *test)
{
	unsigned long bits[2] = { 0, 0 };
	struct timespec64 ts = ktime_to_timespec64(-1);

	assign_bit(65, bits, true);
	KUNIT_EXPECT_TRUE(test, __test_and_clear_bit(65, bits) && !test_and_set_bit_lock(64, bits));
	KUNIT_EXPECT_TRUE(test, test_and_change_bit(64, bits));
	KUNIT_EXPECT_EQ(test, bits[1], 0);
	KUNIT_EXPECT_EQ(test, GENMASK(5, 4), 0x30);
	KUNIT_EXPECT_EQ(test, nsecs_to_jiffies64(2999999), 2);
	KUNIT_EXPECT_TRUE(test, time_in_range(5, 5, 6) && !time_in_range(7, 5, 6));
	KUNIT_EXPECT_TRUE(test, ts.tv_sec == -1 && ts.tv_nsec == 999999999);
	KUNIT_EXPECT_EQ(test, ktime_add_safe(KTIME_MAX, 1), KTIME_MAX);
	KUNIT_EXPECT_EQ(test, timespec64_to_ktime(ts), -1);
}

struct event {
	wait_queue_head_t queue;
	bool has_come;
};

static int tell_event(void *data)
{
	struct event *event = data;

	WRITE_ONCE(event->has_come, true);
	wake_up_all(&event->queue);
	return 0;
}

static void threads_wait_for_events(struct kunit *test)
{
	struct event event = { .has_come = false };
	struct task_struct *task;

	init_waitqueue_head(&event.queue);
	KUNIT_EXPECT_EQ(test, wait_event_timeout(event.queue, event.has_come, 1), 0);
	KUNIT_EXPECT_EQ(test, wait_event_timeout(event.queue, event.has_come, 0), 0);
	task = kthread_run(tell_event, &event, "tells");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	wait_event(event.queue, READ_ONCE(event.has_come));
	KUNIT_EXPECT_TRUE(test, READ_ONCE(event.has_come));
	KUNIT_EXPECT_EQ(test, wait_event_interruptible(event.queue, READ_ONCE(event.has_come)), 0);
	KUNIT_EXPECT_EQ(test, wait_event_timeout(event.queue, READ_ONCE(event.has_come), 0), 1);
	KUNIT_EXPECT_GT(test, wait_event_timeout(event.queue, READ_ONCE(event.has_come), 1000 * HZ), 0);
	KUNIT_EXPECT_EQ(test, kthread_stop(task), 0);
}

static int numbers_in(struct hlist_head *bucket)
{
	struct hashed *at;
	int numbers = 0;

	hlist_for_each_entry(at, bucket, link)
		numbers = numbers * 10 + at->number;
	return numbers;
}

static void buckets_are_walked_and_changed(struct kunit *test)
{
	HLIST_HEAD(bucket);
	struct hlist_head other;
	struct hashed a = { .number = 1 }, b = { .number = 2 }, c = { .number = 3 }, *at;
	struct hlist_node *following;

	INIT_HLIST_NODE(&c.link);
	KUNIT_EXPECT_TRUE(test, hlist_empty(&bucket) && hlist_unhashed(&c.link));
	hlist_del_init(&c.link);
	hlist_add_head(&b.link, &bucket);
	hlist_add_before(&a.link, &b.link);
	hlist_add_behind(&c.link, &b.link);
	KUNIT_EXPECT_EQ(test, numbers_in(&bucket), 123);
	hlist_del_init(&b.link);
	KUNIT_EXPECT_TRUE(test, hlist_unhashed(&b.link) && !hlist_unhashed(&c.link));
	KUNIT_EXPECT_EQ(test, numbers_in(&bucket), 13);
	hlist_move_list(&bucket, &other);
	hlist_add_head(&b.link, &other);
	KUNIT_EXPECT_TRUE(test, hlist_empty(&bucket));
	KUNIT_EXPECT_EQ(test, numbers_in(&other), 213);
	hlist_for_each_entry_safe(at, following, &other, link)
		hlist_del(&at->link);
	KUNIT_EXPECT_TRUE(test, hlist_empty(&other) && hlist_unhashed(&a.link));
}

static void references_are_counted_by_several(struct kunit *test)
{
	refcount_t r = REFCOUNT_INIT(1);
	struct mutex lock = { 0 };

	refcount_add(4, &r);
	refcount_dec(&r);
	KUNIT_EXPECT_EQ(test, refcount_read(&r), 4U);
	KUNIT_EXPECT_FALSE(test, refcount_sub_and_test(2, &r));
	KUNIT_EXPECT_TRUE(test, refcount_add_not_zero(1, &r));
	KUNIT_EXPECT_FALSE(test, refcount_dec_if_one(&r));
	KUNIT_EXPECT_TRUE(test, refcount_dec_not_one(&r));
	KUNIT_EXPECT_FALSE(test, refcount_dec_and_mutex_lock(&r, &lock));
	KUNIT_EXPECT_FALSE(test, mutex_is_locked(&lock));
	KUNIT_EXPECT_FALSE(test, refcount_dec_not_one(&r));
	KUNIT_EXPECT_TRUE(test, refcount_dec_and_mutex_lock(&r, &lock));
	KUNIT_EXPECT_TRUE(test, mutex_is_locked(&lock));
	mutex_unlock(&lock);
	KUNIT_EXPECT_EQ(test, refcount_read(&r), 0U);
	KUNIT_EXPECT_FALSE(test, refcount_add_not_zero(1, &r));
	refcount_set(&r, 1);
	KUNIT_EXPECT_TRUE(test, refcount_dec_if_one(&r));
	refcount_set(&r, 3);
	KUNIT_EXPECT_TRUE(test, refcount_sub_and_test(3, &r));
}

static DEFINE_WW_CLASS(defined_class);
static DEFINE_WW_MUTEX(defined_mutex, &defined_class);

static void a_defined_ww_mutex_is_an_initialized_one(struct kunit *test)
{
	static struct ww_mutex made; /* zero where nobody looks */
	struct ww_acquire_ctx context;

	ww_mutex_init(&made, &defined_class);
	KUNIT_EXPECT_EQ(test, memcmp(&made, &defined_mutex, sizeof(made)), 0);
	ww_acquire_init(&context, &defined_class);
	KUNIT_EXPECT_EQ(test, ww_mutex_lock(&defined_mutex, &context), 0);
	KUNIT_EXPECT_EQ(test, ww_mutex_lock(&defined_mutex, &context), -EALREADY);
	KUNIT_EXPECT_FALSE(test, ww_mutex_trylock(&defined_mutex, NULL));
	ww_mutex_unlock(&defined_mutex);
	ww_acquire_fini(&context);
	ww_mutex_destroy(&made);
}

static void regress_dma_fence_h_brings_what_the_kernels_does(struct kunit *test)
{
	struct dma_fence *f = mock_fence();

	KUNIT_ASSERT_NOT_NULL(test, f);
	KUNIT_EXPECT_EQ(test, what_dma_fence_h_brings(f), 0);
	dma_fence_put(f);
}

static struct kunit_case header_cases[] = {
	KUNIT_CASE(regress_dma_fence_h_brings_what_the_kernels_does),
	KUNIT_CASE(buckets_are_walked_and_changed),
	KUNIT_CASE(references_are_counted_by_several),
	KUNIT_CASE(a_defined_ww_mutex_is_an_initialized_one),
	KUNIT_CASE(threads_wait_for_events),
	KUNIT_CASE(counters_of_longs_and_their_relatives),
	KUNIT_CASE(a_u64_is_a_uint64_t),
	KUNIT_CASE(lists_are_spliced_and_cut),
	KUNIT_CASE(lists_are_walked_under_rcu),
	KUNIT_CASE(guards_end_with_their_scope),
	KUNIT_CASE(bits_and_times),
	KUNIT_CASE(numbers_are_printed_with_the_kernels_formats),
	KUNIT_CASE(barriers_order_what_is_not_atomic),
	KUNIT_CASE(lists_are_walked_and_changed),
	KUNIT_CASE(lists_of_aligned_entries_end_without_one),
	KUNIT_CASE(counters_tell_what_they_were),
	{}
};

static struct kunit_suite headers = {
	.name = "kernel_headers",
	.test_cases = header_cases,
};

kunit_test_suite(headers);
