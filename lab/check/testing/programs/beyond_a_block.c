/* The compiler knows that nobody reads it. */
#include <stdlib.h>

int main(void) {
  char* block = malloc(10);
  block[10] = 1;
  free(block);
  return 0;
}
