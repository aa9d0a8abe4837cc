/* The macros of the kernel's unit tests; a failure goes to the test runner of kunit_test.cc. */
#ifndef UFENCE_SHIM_KUNIT_TEST_H
#define UFENCE_SHIM_KUNIT_TEST_H

#include <setjmp.h>

#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/types.h>

UFENCE_C_BEGIN

struct kunit {
	jmp_buf end; /* of the case, for assertions */
};

struct kunit_case {
	void (*run_case)(struct kunit *test);
	const char *name;
};

struct kunit_suite {
	const char *name;
	int (*init)(struct kunit *test);
	void (*exit)(struct kunit *test);
	struct kunit_case *test_cases;
};

void kunit_report(const char *file, int line, const char *text);

UFENCE_C_END

#define KUNIT_CASE(function) { function, #function }
#define kunit_test_suite(suite) struct kunit_suite *const kunit_##suite = &suite

#define KUNIT_EXPECT_TRUE(test, condition)                                                         \
	do {                                                                                       \
		(void)(test);                                                                      \
		if (!(condition))                                                                  \
			kunit_report(__FILE__, __LINE__, #condition);                              \
	} while (0)
#define KUNIT_ASSERT_TRUE(test, condition)                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			kunit_report(__FILE__, __LINE__, #condition);                              \
			longjmp((test)->end, 1);                                                   \
		}                                                                                  \
	} while (0)
#define KUNIT_EXPECT_FALSE(test, condition) KUNIT_EXPECT_TRUE(test, !(condition))
#define KUNIT_EXPECT_EQ(test, a, b) KUNIT_EXPECT_TRUE(test, (a) == (b))
#define KUNIT_EXPECT_NE(test, a, b) KUNIT_EXPECT_TRUE(test, (a) != (b))
#define KUNIT_EXPECT_GT(test, a, b) KUNIT_EXPECT_TRUE(test, (a) > (b))
#define KUNIT_EXPECT_LE(test, a, b) KUNIT_EXPECT_TRUE(test, (a) <= (b))
#define KUNIT_EXPECT_PTR_EQ(test, a, b) KUNIT_EXPECT_TRUE(test, (a) == (b))
#define KUNIT_EXPECT_PTR_NE(test, a, b) KUNIT_EXPECT_TRUE(test, (a) != (b))
#define KUNIT_EXPECT_NULL(test, a) KUNIT_EXPECT_TRUE(test, (a) == NULL)
#define KUNIT_EXPECT_NOT_NULL(test, a) KUNIT_EXPECT_TRUE(test, (a) != NULL)
#define KUNIT_ASSERT_FALSE(test, condition) KUNIT_ASSERT_TRUE(test, !(condition))
#define KUNIT_ASSERT_EQ(test, a, b) KUNIT_ASSERT_TRUE(test, (a) == (b))
#define KUNIT_ASSERT_NOT_NULL(test, a) KUNIT_ASSERT_TRUE(test, (a) != NULL)
#define KUNIT_ASSERT_NOT_ERR_OR_NULL(test, a) KUNIT_ASSERT_TRUE(test, !IS_ERR_OR_NULL(a))
#define KUNIT_SUCCEED(test) ((void)(test))
#define KUNIT_FAIL(test, text) KUNIT_EXPECT_TRUE(test, !text)
#define KUNIT_EXPECT_STREQ(test, a, b) KUNIT_EXPECT_TRUE(test, strcmp(a, b) == 0)

#endif
