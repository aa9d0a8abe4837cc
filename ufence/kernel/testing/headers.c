/* The small headers beside those of fences. */
#include <linux/atomic.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/list.h>

#include <kunit/test.h>

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

static struct kunit_case header_cases[] = {
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
