/* Lists that are walked inside RCU read sections, and changed under a lock. */
#ifndef UFENCE_LINUX_RCULIST_H
#define UFENCE_LINUX_RCULIST_H

#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/ufence.h>

static inline void INIT_LIST_HEAD_RCU(struct list_head *list)
{
	UFENCE_STORE(&list->next, list);
	UFENCE_STORE(&list->prev, list);
}

#define list_next_rcu(list) ((list)->next)

static inline void __list_add_rcu(struct list_head *entry, struct list_head *before,
				  struct list_head *after)
{
	entry->next = after;
	entry->prev = before;
	UFENCE_STORE_RELEASE(&before->next, entry);
	after->prev = entry;
}

static inline void list_add_rcu(struct list_head *entry, struct list_head *head)
{
	__list_add_rcu(entry, head, head->next);
}

static inline void list_add_tail_rcu(struct list_head *entry, struct list_head *head)
{
	__list_add_rcu(entry, head->prev, head);
}

/* Readers may still be at it, and go on: it is freed, or put into a list, after a grace period. */
static inline void list_del_rcu(struct list_head *entry)
{
	entry->next->prev = entry->prev;
	UFENCE_STORE(&entry->prev->next, entry->next);
	entry->prev = NULL;
}

static inline void list_replace_rcu(struct list_head *old, struct list_head *entry)
{
	entry->next = old->next;
	entry->prev = old->prev;
	UFENCE_STORE_RELEASE(&entry->prev->next, entry);
	entry->next->prev = entry;
	old->prev = NULL;
}

/* Waits for a grace period: readers of `list` are then through. */
static inline void list_splice_init_rcu(struct list_head *list, struct list_head *head,
					void (*sync)(void))
{
	struct list_head *first = list->next, *last = list->prev, *at = head->next;

	if (list_empty(list))
		return;
	INIT_LIST_HEAD_RCU(list);
	sync();
	last->next = at;
	UFENCE_STORE_RELEASE(&head->next, first);
	first->prev = head;
	at->prev = last;
}

#define list_entry_rcu(pointer, type, member) container_of(UFENCE_LOAD_ACQUIRE(&(pointer)), type, member)

/* In one look: a list may become empty meanwhile. */
#define list_first_or_null_rcu(head, type, member)                                                 \
	__extension__({                                                                            \
		struct list_head *ufence_head = (head);                                            \
		struct list_head *ufence_first = UFENCE_LOAD_ACQUIRE(&ufence_head->next);          \
		ufence_first != ufence_head ? container_of(ufence_first, type, member) : NULL;     \
	})
#define list_next_or_null_rcu(head, at, type, member)                                              \
	__extension__({                                                                            \
		struct list_head *ufence_next = UFENCE_LOAD_ACQUIRE(&(at)->next);                  \
		ufence_next != (head) ? container_of(ufence_next, type, member) : NULL;            \
	})

/* A condition for the kernel's checker may follow. */
#define list_for_each_entry_rcu(at, head, member, ...)                                             \
	for (at = list_entry_rcu((head)->next, __typeof__(*at), member);                           \
	     !list_entry_is_head(at, head, member);                                                \
	     at = list_entry_rcu(at->member.next, __typeof__(*at), member))
#define list_for_each_entry_continue_rcu(at, head, member)                                         \
	for (at = list_entry_rcu(at->member.next, __typeof__(*at), member);                        \
	     !list_entry_is_head(at, head, member);                                                \
	     at = list_entry_rcu(at->member.next, __typeof__(*at), member))
#define list_for_each_entry_from_rcu(at, head, member)                                             \
	for (; !list_entry_is_head(at, head, member);                                              \
	     at = list_entry_rcu(at->member.next, __typeof__(*at), member))
#define list_for_each_entry_srcu list_for_each_entry_rcu

#endif
