/* Checks: a WARN is a line on stderr, a BUG ends the process. */
#ifndef UFENCE_LINUX_BUG_H
#define UFENCE_LINUX_BUG_H

#include <stdio.h>
#include <stdlib.h>

#include <linux/compiler.h>
#include <linux/types.h>
#include <linux/ufence.h>

#define WARN(condition, ...)                                                                       \
	__extension__({                                                                            \
		const bool ufence_warns = !!(condition);                                           \
		if (unlikely(ufence_warns)) {                                                      \
			fprintf(stderr, "WARNING: %s:%d: ", __FILE__, __LINE__);                   \
			fprintf(stderr, __VA_ARGS__);                                              \
			fputc('\n', stderr);                                                       \
		}                                                                                  \
		ufence_warns;                                                                      \
	})
#define WARN_ON(condition) WARN(condition, "%s", #condition)
#define WARN_ONCE(condition, ...)                                                                  \
	__extension__({                                                                            \
		static bool ufence_warned;                                                         \
		const bool ufence_is_true = !!(condition);                                         \
		if (ufence_is_true && !UFENCE_EXCHANGE(&ufence_warned, true))                      \
			(void)WARN(true, __VA_ARGS__);                                             \
		ufence_is_true;                                                                    \
	})
#define WARN_ON_ONCE(condition) WARN_ONCE(condition, "%s", #condition)

#define BUG()                                                                                      \
	do {                                                                                       \
		fprintf(stderr, "BUG: %s:%d\n", __FILE__, __LINE__);                               \
		abort();                                                                           \
	} while (0)
#define BUG_ON(condition)                                                                          \
	do {                                                                                       \
		if (unlikely(condition))                                                           \
			BUG();                                                                     \
	} while (0)

#endif
