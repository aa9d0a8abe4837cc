/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_RCUPDATE_H
#define UFENCE_REPLACED_LINUX_RCUPDATE_H

#include <linux/types.h>
/* One that a test can look into: readers are counted, what is deferred waits for replaced_rcu_end(). */
extern int replaced_readers, replaced_sections;
extern struct rcu_head *replaced_deferred;
static inline void rcu_read_lock(void)
{
	__atomic_add_fetch(&replaced_readers, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&replaced_sections, 1, __ATOMIC_SEQ_CST);
}
static inline void rcu_read_unlock(void)
{
	__atomic_sub_fetch(&replaced_readers, 1, __ATOMIC_SEQ_CST);
}
static inline void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
	head->func = func;
	head->next = __atomic_load_n(&replaced_deferred, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&replaced_deferred, &head->next, head, 0,
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}
#define rcu_access_pointer(p) __atomic_load_n(&(p), __ATOMIC_RELAXED)
#define rcu_dereference(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define RCU_INIT_POINTER(p, value) __atomic_store_n(&(p), value, __ATOMIC_RELAXED)

#endif
