/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_LIST_H
#define UFENCE_REPLACED_LINUX_LIST_H

#include <linux/container_of.h>
#include <linux/types.h>
static inline void INIT_LIST_HEAD(struct list_head *list)
{
	list->next = list->prev = list;
}
static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

#endif
