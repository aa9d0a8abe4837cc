/*
 * RCU. Deferred frees run in batches, on a thread that makes containers, waits, or calls rcu_barrier(),
 * where it holds no spinlock and is in no read section; and on one of the library's own where fences are
 * only made and signaled.
 */
#ifndef UFENCE_LINUX_RCUPDATE_H
#define UFENCE_LINUX_RCUPDATE_H

#include <linux/cleanup.h>
#include <linux/compiler.h>
#include <linux/types.h>
#include <linux/ufence.h>

/* dma-fence.h: readers are in sections of the library's. */
#define UFENCE_RCUPDATE 1

UFENCE_C_BEGIN

void rcu_read_lock(void) UFENCE_KERNEL(rcu_read_lock);
void rcu_read_unlock(void) UFENCE_KERNEL(rcu_read_unlock);
void synchronize_rcu(void) UFENCE_KERNEL(synchronize_rcu);
void rcu_barrier(void) UFENCE_KERNEL(rcu_barrier);
void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head)) UFENCE_KERNEL(call_rcu);
/* free()s what begins `offset` bytes before the head, a multiple of 8 below 4096. */
void ufence_free_rcu(struct rcu_head *head, size_t offset) UFENCE_EXPORT;

UFENCE_C_END

#define kfree_rcu(pointer, member)                                                                 \
	__extension__({                                                                            \
		UFENCE_STATIC_ASSERT(offsetof(__typeof__(*(pointer)), member) < 4096,              \
				     "the head lies in the first 4096 bytes");                     \
		ufence_free_rcu(&(pointer)->member, offsetof(__typeof__(*(pointer)), member));     \
	})

#define kvfree_rcu(pointer, member) kfree_rcu(pointer, member)
#define synchronize_rcu_expedited() synchronize_rcu()
#define call_rcu_hurry(head, func) call_rcu(head, func)
#define init_rcu_head(head) ((void)(head))
#define destroy_rcu_head(head) ((void)(head))
#define RCU_LOCKDEP_WARN(condition, text) ((void)0)

#define rcu_read_lock_held() 1
#define rcu_read_lock_any_held() 1
#define rcu_dereference(p) UFENCE_LOAD_ACQUIRE(&(p))
#define rcu_dereference_check(p, condition) UFENCE_LOAD_ACQUIRE(&(p))
#define rcu_dereference_raw(p) UFENCE_LOAD_ACQUIRE(&(p))
#define rcu_dereference_protected(p, condition) UFENCE_LOAD(&(p))
#define rcu_access_pointer(p) UFENCE_LOAD(&(p))
#define rcu_pointer_handoff(p) (p)
#define unrcu_pointer(p) (p)
#define rcu_assign_pointer(p, value) UFENCE_STORE_RELEASE(&(p), value)
#define RCU_INIT_POINTER(p, value) UFENCE_STORE(&(p), value)
#define RCU_INITIALIZER(value) (value)
#define rcu_replace_pointer(p, value, condition) UFENCE_EXCHANGE(&(p), value)
#define rcu_swap_protected(p, other, condition)                                                    \
	((other) = UFENCE_EXCHANGE(&(p), (other)))

/* cleanup.h may be another one. */
#ifdef DEFINE_LOCK_GUARD_1
DEFINE_LOCK_GUARD_0(rcu, rcu_read_lock(), rcu_read_unlock(), bool ufence_unused)
#endif

#endif
