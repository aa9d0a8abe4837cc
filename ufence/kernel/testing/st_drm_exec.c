/* The kernel's cases of drm_exec, under its names, with what they leave looked at as well. */
#include <drm/drm_exec.h>
#include <linux/kernel.h>

#include <kunit/test.h>

static const size_t page = 4096;

static void expect_free(struct kunit *test, struct drm_gem_object *obj)
{
	KUNIT_EXPECT_FALSE(test, dma_resv_is_locked(obj->resv));
	KUNIT_EXPECT_EQ(test, kref_read(&obj->refcount), 1);
	drm_gem_private_object_fini(obj);
}

static void sanitycheck(struct kunit *test)
{
	struct drm_exec exec;

	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT, 0);
	drm_exec_fini(&exec);
	KUNIT_SUCCEED(test);
}

static void test_lock(struct kunit *test)
{
	struct drm_gem_object obj = { .size = 0 };
	struct drm_exec exec;
	int failed = -1;

	drm_gem_private_object_init(NULL, &obj, page);
	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT, 0);
	drm_exec_until_all_locked(&exec) {
		failed = drm_exec_lock_obj(&exec, &obj);
		drm_exec_retry_on_contention(&exec);
		if (failed)
			break;
	}
	KUNIT_EXPECT_EQ(test, failed, 0);
	KUNIT_EXPECT_TRUE(test, dma_resv_is_locked(obj.resv));
	drm_exec_fini(&exec);
	expect_free(test, &obj);
}

static void test_lock_unlock(struct kunit *test)
{
	struct drm_gem_object obj = { .size = 0 };
	struct drm_exec exec;
	int failed = -1;

	drm_gem_private_object_init(NULL, &obj, page);
	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT, 0);
	drm_exec_until_all_locked(&exec) {
		failed = drm_exec_lock_obj(&exec, &obj);
		drm_exec_retry_on_contention(&exec);
		if (failed)
			break;
		drm_exec_unlock_obj(&exec, &obj);
		KUNIT_EXPECT_FALSE(test, dma_resv_is_locked(obj.resv));
		failed = drm_exec_lock_obj(&exec, &obj);
		drm_exec_retry_on_contention(&exec);
		if (failed)
			break;
	}
	KUNIT_EXPECT_EQ(test, failed, 0);
	KUNIT_EXPECT_TRUE(test, dma_resv_is_locked(obj.resv));
	drm_exec_fini(&exec);
	expect_free(test, &obj);
}

static void test_duplicates(struct kunit *test)
{
	struct drm_gem_object obj = { .size = 0 };
	struct drm_exec exec;
	int i, failed = -1;

	drm_gem_private_object_init(NULL, &obj, page);
	drm_exec_init(&exec, DRM_EXEC_IGNORE_DUPLICATES, 0);
	drm_exec_until_all_locked(&exec) {
		for (i = 0; i < 2; i++) {
			failed = drm_exec_lock_obj(&exec, &obj);
			drm_exec_retry_on_contention(&exec);
			KUNIT_EXPECT_EQ(test, failed, 0);
		}
	}
	KUNIT_EXPECT_EQ(test, exec.num_objects, 1);
	drm_exec_unlock_obj(&exec, &obj);
	KUNIT_EXPECT_FALSE(test, dma_resv_is_locked(obj.resv));
	drm_exec_fini(&exec);
	expect_free(test, &obj);
}

static void test_prepare(struct kunit *test)
{
	struct drm_gem_object obj = { .size = 0 };
	struct drm_exec exec;
	int failed = -1;

	drm_gem_private_object_init(NULL, &obj, page);
	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT, 0);
	drm_exec_until_all_locked(&exec) {
		failed = drm_exec_prepare_obj(&exec, &obj, 1);
		drm_exec_retry_on_contention(&exec);
		if (failed)
			break;
	}
	KUNIT_EXPECT_EQ(test, failed, 0);
	drm_exec_fini(&exec);
	expect_free(test, &obj);
}

static void test_prepare_array(struct kunit *test)
{
	struct drm_gem_object first = { .size = 0 }, second = { .size = 0 };
	struct drm_gem_object *both[] = { &first, &second };
	struct drm_exec exec;
	int failed = -1;

	drm_gem_private_object_init(NULL, &first, page);
	drm_gem_private_object_init(NULL, &second, page);
	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT, 0);
	drm_exec_until_all_locked(&exec)
		failed = drm_exec_prepare_array(&exec, both, ARRAY_SIZE(both), 1);
	KUNIT_EXPECT_EQ(test, failed, 0);
	KUNIT_EXPECT_EQ(test, exec.num_objects, 2);
	drm_exec_fini(&exec);
	expect_free(test, &first);
	expect_free(test, &second);
}

static void test_multiple_loops(struct kunit *test)
{
	struct drm_exec exec;
	int runs = 0;

	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT, 0);
	drm_exec_until_all_locked(&exec) {
		runs++;
		break;
	}
	drm_exec_fini(&exec);
	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT, 0);
	drm_exec_until_all_locked(&exec) {
		runs++;
		break;
	}
	drm_exec_fini(&exec);
	KUNIT_EXPECT_EQ(test, runs, 2);
}

static struct kunit_case drm_exec_cases[] = {
	KUNIT_CASE(sanitycheck),
	KUNIT_CASE(test_lock),
	KUNIT_CASE(test_lock_unlock),
	KUNIT_CASE(test_duplicates),
	KUNIT_CASE(test_prepare),
	KUNIT_CASE(test_prepare_array),
	KUNIT_CASE(test_multiple_loops),
	{}
};

static struct kunit_suite drm_exec = {
	.name = "drm_exec",
	.test_cases = drm_exec_cases,
};

kunit_test_suite(drm_exec);
