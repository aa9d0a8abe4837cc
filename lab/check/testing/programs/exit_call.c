// Not 0.
#include <stdlib.h>
int main(void) { exit(3); }
