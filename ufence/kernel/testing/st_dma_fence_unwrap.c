/* The rows DU of the conformance tables. */
#include <linux/dma-fence-array.h>
#include <linux/dma-fence-chain.h>
#include <linux/dma-fence-unwrap.h>
#include <linux/kernel.h>
#include <linux/slab.h>

#include <kunit/test.h>

#include "ufence/kernel/testing/mock_fence.h"

/* Owns the references of the fences. */
static struct dma_fence *mock_array(struct kunit *test, unsigned int n, struct dma_fence *a,
				    struct dma_fence *b)
{
	struct dma_fence **fences = kcalloc(n, sizeof(*fences), GFP_KERNEL);
	struct dma_fence_array *array;

	KUNIT_ASSERT_NOT_NULL(test, fences);
	fences[0] = a;
	if (n > 1)
		fences[1] = b;
	array = dma_fence_array_create((int)n, fences, dma_fence_context_alloc(1), 1);
	KUNIT_ASSERT_NOT_NULL(test, array);
	return &array->base;
}

static struct dma_fence *mock_chain(struct kunit *test, struct dma_fence *prev,
				    struct dma_fence *fence)
{
	struct dma_fence_chain *chain = dma_fence_chain_alloc();

	KUNIT_ASSERT_NOT_NULL(test, chain);
	dma_fence_chain_init(chain, prev, fence, 1);
	return &chain->base;
}

static struct dma_fence *enabled_fence(struct kunit *test, u64 context, u64 seqno)
{
	struct dma_fence *f = mock_fence_of(context, seqno);

	KUNIT_ASSERT_NOT_NULL(test, f);
	dma_fence_enable_sw_signaling(f);
	return f;
}

static struct dma_fence *any_fence(struct kunit *test)
{
	return enabled_fence(test, dma_fence_context_alloc(1), 1);
}

/* Unwraps to exactly these, each once, in any order. */
static void expect_leaves(struct kunit *test, struct dma_fence *head, struct dma_fence **want,
			  unsigned int n)
{
	struct dma_fence_unwrap cursor;
	struct dma_fence *leaf;
	unsigned int i, found = 0;
	u64 seen = 0;

	dma_fence_unwrap_for_each(leaf, &cursor, head) {
		for (i = 0; i < n && want[i] != leaf; i++)
			;
		KUNIT_EXPECT_TRUE(test, i < n);
		KUNIT_EXPECT_EQ(test, seen & BIT_ULL(i), 0);
		seen |= BIT_ULL(i);
		found++;
	}
	KUNIT_EXPECT_EQ(test, found, n);
}

/* Unwraps to exactly these in this order. */
static void expect_order(struct kunit *test, struct dma_fence *head, struct dma_fence **want,
			 unsigned int n)
{
	struct dma_fence_unwrap cursor;
	struct dma_fence *leaf;
	unsigned int found = 0;

	dma_fence_unwrap_for_each(leaf, &cursor, head) {
		KUNIT_EXPECT_TRUE(test, found < n && want[found] == leaf);
		found++;
	}
	KUNIT_EXPECT_EQ(test, found, n);
}

static void signal_and_put(struct dma_fence **fences, unsigned int n)
{
	while (n--) {
		dma_fence_signal(fences[n]);
		dma_fence_put(fences[n]);
	}
}

static void DU01_test_sanitycheck(struct kunit *test)
{
	struct dma_fence *f = any_fence(test);
	struct dma_fence *array = mock_array(test, 1, dma_fence_get(f), NULL);

	expect_leaves(test, array, &f, 1);
	expect_leaves(test, f, &f, 1);
	expect_leaves(test, NULL, &f, 0);
	dma_fence_put(array);
	signal_and_put(&f, 1);
}

static void DU02_test_unwrap_array(struct kunit *test)
{
	struct dma_fence *f[] = { any_fence(test), any_fence(test) };
	struct dma_fence *array = mock_array(test, 2, dma_fence_get(f[0]), dma_fence_get(f[1]));

	expect_order(test, array, f, 2);
	dma_fence_put(array);
	signal_and_put(f, 2);
}

static void DU03_test_unwrap_chain(struct kunit *test)
{
	struct dma_fence *f[] = { any_fence(test), any_fence(test) };
	struct dma_fence *chain = mock_chain(test, dma_fence_get(f[0]), dma_fence_get(f[1]));

	expect_leaves(test, chain, f, 2);
	dma_fence_put(chain);
	signal_and_put(f, 2);
}

static void DU04_test_unwrap_chain_array(struct kunit *test)
{
	struct dma_fence *f[] = { any_fence(test), any_fence(test) };
	struct dma_fence *array = mock_array(test, 2, dma_fence_get(f[0]), dma_fence_get(f[1]));
	struct dma_fence *chain = mock_chain(test, NULL, array);

	expect_leaves(test, chain, f, 2);
	dma_fence_put(chain);
	signal_and_put(f, 2);
}

static void DU05_test_unwrap_merge(struct kunit *test)
{
	struct dma_fence *f[] = { any_fence(test), any_fence(test) };
	struct dma_fence *merged = dma_fence_unwrap_merge(f[0], f[1]);

	KUNIT_ASSERT_NOT_NULL(test, merged);
	KUNIT_EXPECT_EQ(test, merged->seqno, 1);
	expect_leaves(test, merged, f, 2);
	dma_fence_put(merged);
	signal_and_put(f, 2);
}

static void DU06_test_unwrap_merge_duplicate(struct kunit *test)
{
	struct dma_fence *f = any_fence(test);
	struct dma_fence *merged = dma_fence_unwrap_merge(f, f);

	KUNIT_EXPECT_PTR_EQ(test, merged, f);
	expect_leaves(test, merged, &f, 1);
	dma_fence_put(merged);
	signal_and_put(&f, 1);
}

static void DU07_test_unwrap_merge_seqno(struct kunit *test)
{
	u64 first = dma_fence_context_alloc(2), second = first + 1;
	struct dma_fence *f[] = { enabled_fence(test, first, 1), enabled_fence(test, first, 2),
				  enabled_fence(test, second, 1) };
	struct dma_fence *merged = dma_fence_unwrap_merge(f[2], f[0], f[1]);

	KUNIT_ASSERT_NOT_NULL(test, merged);
	expect_order(test, merged, &f[1], 2);
	dma_fence_put(merged);
	signal_and_put(f, 3);
}

static void DU08_test_unwrap_merge_order(struct kunit *test)
{
	struct dma_fence *f[] = { any_fence(test), any_fence(test) };
	struct dma_fence *one = mock_array(test, 2, dma_fence_get(f[0]), dma_fence_get(f[1]));
	struct dma_fence *other = mock_array(test, 2, dma_fence_get(f[1]), dma_fence_get(f[0]));
	struct dma_fence *merged;

	merged = dma_fence_unwrap_merge(one, other);
	expect_order(test, merged, f, 2);
	dma_fence_put(merged);
	merged = dma_fence_unwrap_merge(other, one);
	expect_order(test, merged, f, 2);
	dma_fence_put(merged);
	dma_fence_put(one);
	dma_fence_put(other);
	signal_and_put(f, 2);
}

static void DU09_test_unwrap_merge_complex(struct kunit *test)
{
	struct dma_fence *f[] = { any_fence(test), any_fence(test), any_fence(test), any_fence(test),
				  any_fence(test) };
	struct dma_fence *array = mock_array(test, 2, dma_fence_get(f[0]), dma_fence_get(f[1]));
	struct dma_fence *chain = mock_chain(test, NULL, dma_fence_get(f[3]));
	struct dma_fence *inner = dma_fence_unwrap_merge(f[2], chain);
	struct dma_fence *merged = dma_fence_unwrap_merge(array, inner, f[4], f[1], NULL);

	KUNIT_ASSERT_NOT_NULL(test, merged);
	expect_leaves(test, merged, f, 5);
	dma_fence_put(merged);
	dma_fence_put(inner);
	dma_fence_put(chain);
	dma_fence_put(array);
	signal_and_put(f, 5);
}

static void DU10_test_unwrap_merge_complex_seqno(struct kunit *test)
{
	u64 x = dma_fence_context_alloc(2), y = x + 1;
	struct dma_fence *f[] = { enabled_fence(test, x, 3), enabled_fence(test, y, 5), any_fence(test),
				  enabled_fence(test, x, 1), enabled_fence(test, y, 2) };
	struct dma_fence *array = mock_array(test, 2, dma_fence_get(f[0]), dma_fence_get(f[4]));
	struct dma_fence *inner = dma_fence_unwrap_merge(f[1], f[3]);
	struct dma_fence *merged = dma_fence_unwrap_merge(f[3], array, f[2], inner);

	KUNIT_ASSERT_NOT_NULL(test, merged);
	expect_leaves(test, merged, f, 3);
	dma_fence_put(merged);
	dma_fence_put(inner);
	dma_fence_put(array);
	signal_and_put(f, 5);
}

static void merge_of_signaled_is_signaled_with_the_newest_timestamp(struct kunit *test)
{
	struct dma_fence *f[] = { any_fence(test), any_fence(test) };
	struct dma_fence *merged;

	dma_fence_signal_timestamp(f[0], 200);
	dma_fence_signal_timestamp(f[1], 100);
	merged = dma_fence_unwrap_merge(f[0], f[1]);
	KUNIT_ASSERT_NOT_NULL(test, merged);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(merged));
	KUNIT_EXPECT_EQ(test, dma_fence_timestamp(merged), 200);
	dma_fence_put(merged);
	signal_and_put(f, 2);
}

static void dedup_of_nothing_is_nothing(struct kunit *test)
{
	u64 context = dma_fence_context_alloc(1);
	struct dma_fence *f[] = { enabled_fence(test, context, UINT32_MAX),
				  enabled_fence(test, context, 0) };
	struct dma_fence *list[] = { dma_fence_get(f[0]), dma_fence_get(f[1]) };

	KUNIT_EXPECT_EQ(test, dma_fence_dedup_array(list, 0), 0);
	/* 0 comes after the largest 32-bit seqno. */
	KUNIT_EXPECT_EQ(test, dma_fence_dedup_array(list, 2), 1);
	KUNIT_EXPECT_PTR_EQ(test, list[0], f[1]);
	dma_fence_put(list[0]);
	signal_and_put(f, 2);
}

/* Also where they have no order, since they are 2^31 or more apart. */
static void regress_dedup_of_seqnos_that_wrap_keeps_the_last(struct kunit *test)
{
	enum { n = 64 };
	u64 context = dma_fence_context_alloc(2);
	struct dma_fence *list[n], *last = NULL;
	unsigned int i;

	for (i = 0; i < n; i++) {
		list[i * 37 % n] = last = mock_fence_of(context, (u32)(UINT32_MAX - 20 + i));
		KUNIT_ASSERT_NOT_NULL(test, last);
	}
	KUNIT_EXPECT_EQ(test, dma_fence_dedup_array(list, n), 1);
	KUNIT_EXPECT_PTR_EQ(test, list[0], last);
	dma_fence_put(list[0]);
	for (i = 0; i < n; i++) {
		list[i] = mock_fence_of(context + 1, (u32)(i * 0x55555555U));
		KUNIT_ASSERT_NOT_NULL(test, list[i]);
	}
	KUNIT_EXPECT_EQ(test, dma_fence_dedup_array(list, n), 1);
	dma_fence_put(list[0]);
}

static void end_case(struct kunit *test)
{
	(void)test;
	rcu_barrier();
}

static struct kunit_case dma_fence_unwrap_cases[] = {
	KUNIT_CASE(DU01_test_sanitycheck),
	KUNIT_CASE(DU02_test_unwrap_array),
	KUNIT_CASE(DU03_test_unwrap_chain),
	KUNIT_CASE(DU04_test_unwrap_chain_array),
	KUNIT_CASE(DU05_test_unwrap_merge),
	KUNIT_CASE(DU06_test_unwrap_merge_duplicate),
	KUNIT_CASE(DU07_test_unwrap_merge_seqno),
	KUNIT_CASE(DU08_test_unwrap_merge_order),
	KUNIT_CASE(DU09_test_unwrap_merge_complex),
	KUNIT_CASE(DU10_test_unwrap_merge_complex_seqno),
	KUNIT_CASE(merge_of_signaled_is_signaled_with_the_newest_timestamp),
	KUNIT_CASE(dedup_of_nothing_is_nothing),
	KUNIT_CASE(regress_dedup_of_seqnos_that_wrap_keeps_the_last),
	{}
};

static struct kunit_suite dma_fence_unwrap = {
	.name = "kernel_dma_fence_unwrap",
	.exit = end_case,
	.test_cases = dma_fence_unwrap_cases,
};

kunit_test_suite(dma_fence_unwrap);
