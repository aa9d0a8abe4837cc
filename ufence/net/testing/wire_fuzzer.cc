// libFuzzer's entry: what comes from another host is read or refused, whatever it is.
#include <cstdint>

#include "ufence/net/testing/wire_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ufence::testing::fuzz_net_wire({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
