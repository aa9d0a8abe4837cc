#include <sys/syscall.h>
#include <unistd.h>
int main(void) { return syscall(SYS_getppid) < 0; }
