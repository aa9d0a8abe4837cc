/* Names: an issuer that has signaled its fence and waited for a grace period is not asked any more. */
#include <linux/dma-fence-array.h>
#include <linux/dma-fence-chain.h>
#include <linux/kernel.h>
#include <linux/sync_file.h>

#include <kunit/test.h>

#include "ufence/kernel/testing/mock_fence.h"

static int times_asked;

static const char *ask_driver(struct dma_fence *f)
{
	(void)f;
	times_asked++;
	return "driver";
}

static const char *ask_timeline(struct dma_fence *f)
{
	(void)f;
	times_asked++;
	return "timeline";
}

static void release(struct dma_fence *f)
{
	dma_fence_free(f);
}

/* These stay with the fence after the signal, the plain ones go. */
static const struct dma_fence_ops plain_ops = {
	.get_driver_name = ask_driver,
	.get_timeline_name = ask_timeline,
};

static const struct dma_fence_ops releasing_ops = {
	.get_driver_name = ask_driver,
	.get_timeline_name = ask_timeline,
	.release = release,
};

static const struct dma_fence_ops waiting_ops = {
	.get_driver_name = ask_driver,
	.get_timeline_name = ask_timeline,
	.wait = dma_fence_default_wait,
};

static void expect_names(struct kunit *test, struct dma_fence *f, const char *driver,
			 const char *timeline)
{
	rcu_read_lock();
	KUNIT_EXPECT_STREQ(test, dma_fence_driver_name(f), driver);
	KUNIT_EXPECT_STREQ(test, dma_fence_timeline_name(f), timeline);
	rcu_read_unlock();
}

static void expect_placeholders(struct kunit *test, struct dma_fence *f)
{
	expect_names(test, f, "detached-driver", "signaled-timeline");
}

static void a_signaled_fence_has_placeholders(struct kunit *test, const struct dma_fence_ops *ops)
{
	struct dma_fence *f = kzalloc(sizeof(*f), GFP_KERNEL);
	struct sync_file *file;
	char text[128], expected[128];
	struct seq_file seq = { .buf = text, .size = sizeof(text) };

	KUNIT_ASSERT_NOT_NULL(test, f);
	dma_fence_init(f, ops, NULL, dma_fence_context_alloc(1), 7);
	expect_names(test, f, "driver", "timeline");
	dma_fence_describe(f, &seq);
	snprintf(expected, sizeof(expected), "%llu:7 timeline driver unsignalled\n", f->context);
	KUNIT_EXPECT_STREQ(test, text, expected);
	dma_fence_signal(f);
	times_asked = 0;
	expect_placeholders(test, f);
	seq.count = 0;
	dma_fence_describe(f, &seq);
	snprintf(expected, sizeof(expected), "%llu:7   signalled\n", f->context);
	KUNIT_EXPECT_STREQ(test, text, expected);
	file = sync_file_create(f);
	KUNIT_ASSERT_NOT_NULL(test, file);
	snprintf(expected, sizeof(expected), "detached-driver-signaled-timeline%llu-7", f->context);
	KUNIT_EXPECT_STREQ(test, sync_file_get_name(file, text, sizeof(text)), expected);
	fput(file->file);
	KUNIT_EXPECT_EQ(test, times_asked, 0);
	dma_fence_put(f);
}

static void regress_an_issuer_is_not_asked_for_names_after_the_signal(struct kunit *test)
{
	a_signaled_fence_has_placeholders(test, &plain_ops);
	a_signaled_fence_has_placeholders(test, &releasing_ops);
	a_signaled_fence_has_placeholders(test, &waiting_ops);
}

static void containers_have_names_until_they_are_signaled(struct kunit *test)
{
	struct dma_fence *f = mock_fence(), **fences = kcalloc(1, sizeof(*fences), GFP_KERNEL);
	struct dma_fence_chain *chain = dma_fence_chain_alloc();
	struct dma_fence_array *array;

	KUNIT_ASSERT_TRUE(test, f && fences && chain);
	fences[0] = dma_fence_get(f);
	array = dma_fence_array_create(1, fences, dma_fence_context_alloc(1), 1);
	KUNIT_ASSERT_NOT_NULL(test, array);
	dma_fence_chain_init(chain, NULL, dma_fence_get(f), 1);
	expect_names(test, &array->base, "dma_fence_array", "unbound");
	expect_names(test, &chain->base, "dma_fence_chain", "unbound");
	dma_fence_signal(f);
	/* Nobody has looked. */
	expect_names(test, &array->base, "dma_fence_array", "unbound");
	KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(&array->base));
	KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(&chain->base));
	expect_placeholders(test, &array->base);
	expect_placeholders(test, &chain->base);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_array(&array->base) && dma_fence_is_chain(&chain->base));
	dma_fence_put(&array->base);
	dma_fence_put(&chain->base);
	dma_fence_put(f);
}

static void stubs_were_signaled_by_an_issuer_that_has_gone(struct kunit *test)
{
	struct dma_fence *stub = dma_fence_get_stub();
	struct dma_fence *of_its_own = dma_fence_allocate_private_stub(12);

	KUNIT_ASSERT_NOT_NULL(test, of_its_own);
	expect_placeholders(test, stub);
	expect_placeholders(test, of_its_own);
	KUNIT_EXPECT_NULL(test, rcu_access_pointer(stub->ops));
	KUNIT_EXPECT_NULL(test, rcu_access_pointer(of_its_own->ops));
	KUNIT_EXPECT_TRUE(test, dma_fence_was_initialized(stub));
	KUNIT_EXPECT_EQ(test, dma_fence_timestamp(of_its_own), 12);
	dma_fence_put(stub);
	dma_fence_put(of_its_own);
}

static struct kunit_case names_cases[] = {
	KUNIT_CASE(regress_an_issuer_is_not_asked_for_names_after_the_signal),
	KUNIT_CASE(containers_have_names_until_they_are_signaled),
	KUNIT_CASE(stubs_were_signaled_by_an_issuer_that_has_gone),
	{}
};

static void end_case(struct kunit *test)
{
	(void)test;
	rcu_barrier();
}

static struct kunit_suite names = {
	.name = "kernel_names",
	.exit = end_case,
	.test_cases = names_cases,
};

kunit_test_suite(names);
