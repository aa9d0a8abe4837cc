/* Jobs of the driver `adder`. */
#ifndef UFENCE_C_TESTING_ADDER_H
#define UFENCE_C_TESTING_ADDER_H

#include <stdint.h>

enum { ADDER_ADD, ADDER_KEEP };

struct adder_args {
  int64_t a, b, *sum;
};

#endif
