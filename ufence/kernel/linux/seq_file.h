/* Text into a buffer of the caller's; what does not fit is cut off. */
#ifndef UFENCE_LINUX_SEQ_FILE_H
#define UFENCE_LINUX_SEQ_FILE_H

#include <linux/compiler.h>
#include <linux/types.h>
#include <linux/ufence.h>

UFENCE_C_BEGIN

struct seq_file {
	char *buf;
	size_t size;  /* of the buffer */
	size_t count; /* of characters in it, without the 0 that ends them */
};

void seq_printf(struct seq_file *m, const char *format, ...) UFENCE_KERNEL(seq_printf)
	__attribute__((format(printf, 2, 3)));
void seq_puts(struct seq_file *m, const char *text) UFENCE_KERNEL(seq_puts);
void seq_putc(struct seq_file *m, char c) UFENCE_KERNEL(seq_putc);

UFENCE_C_END

/* Nothing more fits. */
static inline bool seq_has_overflowed(struct seq_file *m)
{
	return m->count + 1 >= m->size;
}

#endif
