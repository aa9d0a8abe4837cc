/* Circular doubly linked lists; and lists whose head is a single pointer. */
#ifndef UFENCE_LINUX_LIST_H
#define UFENCE_LINUX_LIST_H

#include <linux/compiler.h>
#include <linux/container_of.h>
#include <linux/types.h>
#include <linux/ufence.h>

#define LIST_HEAD_INIT(name) { &(name), &(name) }
#define LIST_HEAD(name) struct list_head name = LIST_HEAD_INIT(name)

static inline void INIT_LIST_HEAD(struct list_head *list)
{
	WRITE_ONCE(list->next, list);
	WRITE_ONCE(list->prev, list);
}

static inline void __list_add(struct list_head *entry, struct list_head *before,
			      struct list_head *after)
{
	entry->next = after;
	entry->prev = before;
	after->prev = entry;
	WRITE_ONCE(before->next, entry);
}

static inline void list_add(struct list_head *entry, struct list_head *head)
{
	__list_add(entry, head, head->next);
}

static inline void list_add_tail(struct list_head *entry, struct list_head *head)
{
	__list_add(entry, head->prev, head);
}

static inline void __list_del_entry(struct list_head *entry)
{
	entry->next->prev = entry->prev;
	WRITE_ONCE(entry->prev->next, entry->next);
}

static inline void list_del(struct list_head *entry)
{
	__list_del_entry(entry);
	entry->next = NULL;
	entry->prev = NULL;
}

static inline void list_del_init(struct list_head *entry)
{
	__list_del_entry(entry);
	INIT_LIST_HEAD(entry);
}

static inline void list_replace(struct list_head *old, struct list_head *entry)
{
	entry->next = old->next;
	entry->next->prev = entry;
	entry->prev = old->prev;
	WRITE_ONCE(entry->prev->next, entry);
}

static inline void list_replace_init(struct list_head *old, struct list_head *entry)
{
	list_replace(old, entry);
	INIT_LIST_HEAD(old);
}

static inline void list_move(struct list_head *entry, struct list_head *head)
{
	__list_del_entry(entry);
	list_add(entry, head);
}

static inline void list_move_tail(struct list_head *entry, struct list_head *head)
{
	__list_del_entry(entry);
	list_add_tail(entry, head);
}

static inline bool list_empty(const struct list_head *head)
{
	return READ_ONCE(head->next) == head;
}

/* For those who hold no lock, where entries are only deleted, with list_del_init_careful(). */
static inline bool list_empty_careful(const struct list_head *head)
{
	const struct list_head *next = UFENCE_LOAD_ACQUIRE(&head->next);

	return next == head && next == READ_ONCE(head->prev);
}

static inline void list_del_init_careful(struct list_head *entry)
{
	__list_del_entry(entry);
	WRITE_ONCE(entry->prev, entry);
	UFENCE_STORE_RELEASE(&entry->next, entry);
}

static inline void list_swap(struct list_head *a, struct list_head *b)
{
	struct list_head *before = b->prev;

	list_del(b);
	list_replace(a, b);
	if (before == a)
		before = b;
	list_add(a, before);
}

static inline void list_rotate_left(struct list_head *head)
{
	if (!list_empty(head))
		list_move_tail(head->next, head);
}

/* Moves from `first` to `last`, of one list, to the end of another one. */
static inline void list_bulk_move_tail(struct list_head *head, struct list_head *first,
				       struct list_head *last)
{
	first->prev->next = last->next;
	last->next->prev = first->prev;
	head->prev->next = first;
	first->prev = head->prev;
	last->next = head;
	head->prev = last;
}

static inline bool list_is_singular(const struct list_head *head)
{
	return !list_empty(head) && head->next == head->prev;
}

static inline bool list_is_last(const struct list_head *entry, const struct list_head *head)
{
	return entry->next == head;
}

static inline bool list_is_first(const struct list_head *entry, const struct list_head *head)
{
	return entry->prev == head;
}

static inline bool list_is_head(const struct list_head *entry, const struct list_head *head)
{
	return entry == head;
}

/* Moves what stands up to and with `last` to an empty list. */
static inline void list_cut_position(struct list_head *list, struct list_head *head,
				     struct list_head *last)
{
	struct list_head *first = head->next;

	if (list_empty(head) || last == head) {
		INIT_LIST_HEAD(list);
		return;
	}
	head->next = last->next;
	last->next->prev = head;
	list->next = first;
	first->prev = list;
	list->prev = last;
	last->next = list;
}

static inline void __list_splice(struct list_head *list, struct list_head *before,
				 struct list_head *after)
{
	struct list_head *first = list->next, *last = list->prev;

	first->prev = before;
	before->next = first;
	last->next = after;
	after->prev = last;
}

static inline void list_splice(struct list_head *list, struct list_head *head)
{
	if (!list_empty(list))
		__list_splice(list, head, head->next);
}

static inline void list_splice_tail(struct list_head *list, struct list_head *head)
{
	if (!list_empty(list))
		__list_splice(list, head->prev, head);
}

static inline void list_splice_init(struct list_head *list, struct list_head *head)
{
	if (list_empty(list))
		return;
	__list_splice(list, head, head->next);
	INIT_LIST_HEAD(list);
}

static inline void list_splice_tail_init(struct list_head *list, struct list_head *head)
{
	if (list_empty(list))
		return;
	__list_splice(list, head->prev, head);
	INIT_LIST_HEAD(list);
}

#define list_entry(pointer, type, member) container_of(pointer, type, member)
#define list_first_entry(head, type, member) list_entry((head)->next, type, member)
#define list_last_entry(head, type, member) list_entry((head)->prev, type, member)
#define list_first_entry_or_null(head, type, member)                                               \
	(list_empty(head) ? NULL : list_first_entry(head, type, member))
/* By addresses: around the head there is no entry, which might have to be aligned. */
#define ufence_link_of(at, member)                                                                 \
	((struct list_head *)((uintptr_t)(at) + offsetof(__typeof__(*(at)), member)))
#define list_next_entry(at, member)                                                                \
	list_entry(ufence_link_of(at, member)->next, __typeof__(*(at)), member)
#define list_prev_entry(at, member)                                                                \
	list_entry(ufence_link_of(at, member)->prev, __typeof__(*(at)), member)
#define list_entry_is_head(at, head, member) (ufence_link_of(at, member) == (head))

static inline size_t list_count_nodes(struct list_head *head)
{
	size_t n = 0;
	struct list_head *at;

	for (at = head->next; at != head; at = at->next)
		n++;
	return n;
}

/* `at`, or for a list_for_each_entry_continue() over all of it the head as an entry. */
#define list_prepare_entry(at, head, member) ((at) ? (at) : list_entry(head, __typeof__(*at), member))

#define list_for_each_prev(at, head) for (at = (head)->prev; at != (head); at = at->prev)
#define list_for_each(at, head) for (at = (head)->next; at != (head); at = at->next)
#define list_for_each_safe(at, following, head)                                                    \
	for (at = (head)->next, following = at->next; at != (head);                                \
	     at = following, following = at->next)
#define list_for_each_entry(at, head, member)                                                      \
	for (at = list_first_entry(head, __typeof__(*at), member);                                 \
	     !list_entry_is_head(at, head, member); at = list_next_entry(at, member))
#define list_for_each_entry_reverse(at, head, member)                                              \
	for (at = list_last_entry(head, __typeof__(*at), member);                                  \
	     !list_entry_is_head(at, head, member); at = list_prev_entry(at, member))
/* From the one after `at` on. */
#define list_for_each_entry_continue(at, head, member)                                             \
	for (at = list_next_entry(at, member); !list_entry_is_head(at, head, member);              \
	     at = list_next_entry(at, member))
#define list_for_each_entry_continue_reverse(at, head, member)                                      \
	for (at = list_prev_entry(at, member); !list_entry_is_head(at, head, member);              \
	     at = list_prev_entry(at, member))
/* From `at` on. */
#define list_for_each_entry_from(at, head, member)                                                 \
	for (; !list_entry_is_head(at, head, member); at = list_next_entry(at, member))
#define list_for_each_entry_from_reverse(at, head, member)                                         \
	for (; !list_entry_is_head(at, head, member); at = list_prev_entry(at, member))
#define list_for_each_entry_safe_from(at, following, head, member)                                 \
	for (following = list_next_entry(at, member); !list_entry_is_head(at, head, member);       \
	     at = following, following = list_next_entry(following, member))
#define list_for_each_entry_safe_continue(at, following, head, member)                             \
	for (at = list_next_entry(at, member), following = list_next_entry(at, member);            \
	     !list_entry_is_head(at, head, member);                                                \
	     at = following, following = list_next_entry(following, member))
#define list_for_each_entry_safe_reverse(at, following, head, member)                              \
	for (at = list_last_entry(head, __typeof__(*at), member),                                  \
	    following = list_prev_entry(at, member);                                               \
	     !list_entry_is_head(at, head, member);                                                \
	     at = following, following = list_prev_entry(following, member))
#define list_for_each_entry_safe(at, following, head, member)                                      \
	for (at = list_first_entry(head, __typeof__(*at), member),                                 \
	    following = list_next_entry(at, member);                                               \
	     !list_entry_is_head(at, head, member);                                                \
	     at = following, following = list_next_entry(following, member))

/* Lists whose head is a single pointer: buckets of hash tables. With our types.h. */
#ifdef UFENCE_HLIST
#define HLIST_HEAD_INIT { NULL }
#define HLIST_HEAD(name) struct hlist_head name = HLIST_HEAD_INIT
#define INIT_HLIST_HEAD(head) ((head)->first = NULL)

static inline void INIT_HLIST_NODE(struct hlist_node *node)
{
	node->next = NULL;
	node->pprev = NULL;
}

static inline bool hlist_unhashed(const struct hlist_node *node)
{
	return !node->pprev;
}

static inline bool hlist_empty(const struct hlist_head *head)
{
	return !READ_ONCE(head->first);
}

static inline void __hlist_del(struct hlist_node *node)
{
	WRITE_ONCE(*node->pprev, node->next);
	if (node->next)
		node->next->pprev = node->pprev;
}

static inline void hlist_del(struct hlist_node *node)
{
	__hlist_del(node);
	INIT_HLIST_NODE(node);
}

/* Also one that stands in no list. */
static inline void hlist_del_init(struct hlist_node *node)
{
	if (!hlist_unhashed(node))
		hlist_del(node);
}

static inline void __hlist_add(struct hlist_node *node, struct hlist_node **place)
{
	node->next = *place;
	node->pprev = place;
	if (node->next)
		node->next->pprev = &node->next;
	WRITE_ONCE(*place, node);
}

static inline void hlist_add_head(struct hlist_node *node, struct hlist_head *head)
{
	__hlist_add(node, &head->first);
}

static inline void hlist_add_before(struct hlist_node *node, struct hlist_node *following)
{
	__hlist_add(node, following->pprev);
}

static inline void hlist_add_behind(struct hlist_node *node, struct hlist_node *before)
{
	__hlist_add(node, &before->next);
}

static inline void hlist_move_list(struct hlist_head *from, struct hlist_head *to)
{
	to->first = from->first;
	if (to->first)
		to->first->pprev = &to->first;
	from->first = NULL;
}

#define hlist_entry(node, type, member) container_of(node, type, member)
#define hlist_entry_safe(node, type, member)                                                       \
	__extension__({                                                                            \
		struct hlist_node *ufence_node = (node);                                           \
		ufence_node ? hlist_entry(ufence_node, type, member) : NULL;                       \
	})
#define hlist_for_each(at, head) for (at = (head)->first; at; at = at->next)
/* `at` may be taken out and freed. */
#define hlist_for_each_safe(at, following, head)                                                   \
	for (at = (head)->first; at && (following = at->next, true); at = following)
#define hlist_for_each_entry(at, head, member)                                                     \
	for (at = hlist_entry_safe((head)->first, __typeof__(*at), member); at;                    \
	     at = hlist_entry_safe(at->member.next, __typeof__(*at), member))
#define hlist_for_each_entry_continue(at, member)                                                  \
	for (at = hlist_entry_safe(at->member.next, __typeof__(*at), member); at;                  \
	     at = hlist_entry_safe(at->member.next, __typeof__(*at), member))
/* `following` is a node. */
#define hlist_for_each_entry_safe(at, following, head, member)                                     \
	for (at = hlist_entry_safe((head)->first, __typeof__(*at), member);                        \
	     at && (following = at->member.next, true);                                            \
	     at = hlist_entry_safe(following, __typeof__(*at), member))

#endif

#endif
