/* One-shot timers, each on a thread of its own. */
#ifndef UFENCE_SHIM_LINUX_TIMER_H
#define UFENCE_SHIM_LINUX_TIMER_H

#include <pthread.h>

#include <linux/container_of.h>
#include <linux/jiffies.h>

UFENCE_C_BEGIN

struct timer_list {
	void (*function)(struct timer_list *timer);
	unsigned long expires;
	pthread_t thread;
	bool is_started;
};

void timer_setup(struct timer_list *timer, void (*function)(struct timer_list *), unsigned int flags);
/* Once in the life of a timer. */
int mod_timer(struct timer_list *timer, unsigned long expires);
/* Waits until it has run. */
int timer_delete_sync(struct timer_list *timer);

UFENCE_C_END

#define timer_container_of(object, timer, member)                                                  \
	container_of(timer, __typeof__(*object), member)

#endif
