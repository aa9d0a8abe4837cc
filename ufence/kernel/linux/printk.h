/* Messages of the kernel's log go to stderr. */
#ifndef UFENCE_LINUX_PRINTK_H
#define UFENCE_LINUX_PRINTK_H

#include <stdio.h>

#include <linux/compiler.h>
#include <linux/types.h>

#ifndef KERN_INFO
#define KERN_EMERG ""
#define KERN_ALERT ""
#define KERN_CRIT ""
#define KERN_ERR ""
#define KERN_WARNING ""
#define KERN_NOTICE ""
#define KERN_INFO ""
#define KERN_DEBUG ""
#define KERN_CONT ""
#endif

#ifndef pr_fmt
#define pr_fmt(format) format
#endif
#ifndef printk
#define printk(...) ((void)fprintf(stderr, __VA_ARGS__))
#endif
#ifndef pr_err
#define pr_emerg(...) UFENCE_PR(__VA_ARGS__, 0)
#define pr_alert(...) UFENCE_PR(__VA_ARGS__, 0)
#define pr_crit(...) UFENCE_PR(__VA_ARGS__, 0)
#define pr_err(...) UFENCE_PR(__VA_ARGS__, 0)
#define pr_warn(...) UFENCE_PR(__VA_ARGS__, 0)
#define pr_notice(...) UFENCE_PR(__VA_ARGS__, 0)
#define pr_info(...) UFENCE_PR(__VA_ARGS__, 0)
#define pr_cont(...) UFENCE_PR(__VA_ARGS__, 0)
/* A last argument that the format does not name is ignored: so that there may be the format alone. */
#define UFENCE_PR(format, ...) UFENCE_PR_TEXT(pr_fmt(format), __VA_ARGS__)
#define UFENCE_PR_TEXT(format, ...)                                                                \
	do {                                                                                       \
		_Pragma("GCC diagnostic push")                                                     \
		_Pragma("GCC diagnostic ignored \"-Wformat-extra-args\"")                          \
		(void)fprintf(stderr, format, __VA_ARGS__);                                        \
		_Pragma("GCC diagnostic pop")                                                      \
	} while (0)
/* Looked at by the compiler, never printed. */
#define pr_debug(...)                                                                              \
	do {                                                                                       \
		if (0)                                                                             \
			pr_info(__VA_ARGS__);                                                      \
	} while (0)
#define pr_err_once(...) UFENCE_PR_ONCE(pr_err, __VA_ARGS__)
#define pr_warn_once(...) UFENCE_PR_ONCE(pr_warn, __VA_ARGS__)
#define pr_info_once(...) UFENCE_PR_ONCE(pr_info, __VA_ARGS__)
#define pr_err_ratelimited(...) pr_err(__VA_ARGS__)
#define pr_warn_ratelimited(...) pr_warn(__VA_ARGS__)
#define UFENCE_PR_ONCE(print, ...)                                                                 \
	do {                                                                                       \
		static bool ufence_was_printed;                                                    \
		if (!xchg(&ufence_was_printed, true))                                              \
			print(__VA_ARGS__);                                                        \
	} while (0)
#endif

#endif
