#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned word;

int main(void) { return (int)syscall(SYS_futex, &word, FUTEX_WAKE_BITSET, 1, 0, 0, 2); }
