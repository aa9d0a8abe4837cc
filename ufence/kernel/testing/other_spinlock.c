/* Spinlocks that the library does not know, and free(): the header needs nothing else. Compiled only. */
#include <linux/spinlock.h>

#undef UFENCE_KFREE
#include <linux/dma-fence.h>

extern int not_empty;
