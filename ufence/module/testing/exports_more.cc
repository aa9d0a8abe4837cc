// A driver without a version script: it exports what is compiled into it, to whom it may concern.
#if defined(USES_STREAMS)
#include <iostream>
#endif
#include <string>

#include "ufence/module/testing/plain_driver.h"

__attribute__((visibility("default"))) std::string exported_name();
std::string exported_name() {
#if defined(USES_STREAMS)
  std::cout << 1.5;
#endif
  return std::string(100, 'x');
}

PLAIN_DRIVER("exports_more", plain_driver::accept, plain_driver::quiet, plain_driver::quiet);
