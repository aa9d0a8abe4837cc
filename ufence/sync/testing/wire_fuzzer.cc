// libFuzzer's entry: what comes from another process is read or refused, whatever it is.
#include <cstdint>

#include "ufence/sync/testing/wire_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ufence::testing::fuzz_wire({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
