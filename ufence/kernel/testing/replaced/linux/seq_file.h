/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_SEQ_FILE_H
#define UFENCE_REPLACED_LINUX_SEQ_FILE_H

#include <stdarg.h>
#include <stdio.h>
/* Into a fixed buffer of its own. */
struct seq_file {
	char text[256];
	int used;
};
__attribute__((format(printf, 2, 3))) static inline void seq_printf(struct seq_file *m, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	m->used += vsnprintf(m->text + m->used, sizeof(m->text) - (size_t)m->used, format, list);
	va_end(list);
}

#endif
