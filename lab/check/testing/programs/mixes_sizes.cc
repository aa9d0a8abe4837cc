#include <atomic>
#include <cstdint>
std::uint64_t word = 0;
int main() {
  std::atomic_ref<std::uint64_t>(word).store(1);
  return std::atomic_ref<std::uint32_t>(reinterpret_cast<std::uint32_t&>(word)).load() == 1 ? 0 : 1;
}
