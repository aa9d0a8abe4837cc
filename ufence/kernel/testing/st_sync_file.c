/* Sync files through the kernel's interface. */
#include <poll.h>
#include <unistd.h>

#include <linux/file.h>
#include <linux/kernel.h>
#include <linux/sync_file.h>

#include <kunit/test.h>

#include "ufence/kernel/testing/mock_fence.h"

static short events_of(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	poll(&p, 1, 0);
	return p.revents;
}

static void a_file_is_readable_once_its_fence_is_signaled(struct kunit *test)
{
	struct dma_fence *f = mock_fence(), *again;
	struct sync_file *sync;
	struct pollfd p = { .events = POLLIN };
	char name[32], expected[32];
	int fd;

	KUNIT_ASSERT_NOT_NULL(test, f);
	fd = get_unused_fd_flags(O_CLOEXEC);
	KUNIT_ASSERT_TRUE(test, fd >= 0);
	sync = sync_file_create(f);
	KUNIT_ASSERT_NOT_NULL(test, sync);
	KUNIT_EXPECT_PTR_EQ(test, sync->fence, f);
	snprintf(expected, sizeof(expected), "mock-mock%llu-1", (unsigned long long)f->context);
	KUNIT_EXPECT_STREQ(test, sync_file_get_name(sync, name, sizeof(name)), expected);
	fd_install((unsigned int)fd, sync->file);
	KUNIT_EXPECT_TRUE(test, fcntl(fd, F_GETFD) & FD_CLOEXEC);
	KUNIT_EXPECT_EQ(test, events_of(fd), 0);

	again = sync_file_get_fence(fd);
	KUNIT_EXPECT_PTR_EQ(test, again, f);
	dma_fence_put(again);
	dma_fence_signal(f);
	p.fd = fd;
	KUNIT_EXPECT_EQ(test, poll(&p, 1, 60000), 1);
	KUNIT_EXPECT_TRUE(test, p.revents & POLLIN);
	close(fd);
	dma_fence_put(f);
}

static void a_file_that_is_not_installed_is_put(struct kunit *test)
{
	struct dma_fence *f = mock_fence();
	struct sync_file *sync;
	int fd = get_unused_fd_flags(0);

	KUNIT_ASSERT_NOT_NULL(test, f);
	dma_fence_signal(f);
	sync = sync_file_create(f);
	KUNIT_ASSERT_NOT_NULL(test, sync);
	fput(sync->file);
	put_unused_fd((unsigned int)fd);
	dma_fence_put(f);
}

static void what_is_no_sync_file_has_no_fence(struct kunit *test)
{
	int fd = get_unused_fd_flags(0);

	KUNIT_EXPECT_NULL(test, sync_file_get_fence(fd));
	KUNIT_EXPECT_NULL(test, sync_file_get_fence(-1));
	put_unused_fd((unsigned int)fd);
}

static void end_case(struct kunit *test)
{
	(void)test;
	rcu_barrier();
}

static struct kunit_case sync_file_cases[] = {
	KUNIT_CASE(a_file_is_readable_once_its_fence_is_signaled),
	KUNIT_CASE(a_file_that_is_not_installed_is_put),
	KUNIT_CASE(what_is_no_sync_file_has_no_fence),
	{}
};

static struct kunit_suite sync_file_suite = {
	.name = "kernel_sync_file",
	.exit = end_case,
	.test_cases = sync_file_cases,
};

kunit_test_suite(sync_file_suite);
