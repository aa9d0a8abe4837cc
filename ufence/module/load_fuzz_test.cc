// Damaged modules never kill the host: each has one changed program header or dynamic entry, and is loaded in
// a child process. UFENCE_FUZZ_MUTANTS says how many; they follow from their number alone.
#include <elf.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <string>
#include <vector>

#include "ufence/module/loader.h"
#include "ufence/module/module_test_support.h"

namespace ufence {
namespace {

std::uint64_t mutants_wanted() {
  const char* const asked = std::getenv("UFENCE_FUZZ_MUTANTS");
  return asked != nullptr ? std::strtoull(asked, nullptr, 10) : 500;
}

struct progress {
  std::atomic<std::uint64_t> at{0}, loaded{0}, refused{0};
};

class mutator {
 public:
  explicit mutator(std::uint64_t seed) : random_(seed) {}

  // What was changed, for people.
  std::string change(std::string& bytes) {
    Elf64_Ehdr head;
    std::memcpy(&head, bytes.data(), sizeof head);
    if (below(2) == 0) {
      const std::size_t n = below(head.e_phnum);
      return "program header " + std::to_string(n) + field<Elf64_Phdr>(bytes, head.e_phoff + n * sizeof(Elf64_Phdr));
    }
    for (std::size_t n = 0; n < head.e_phnum; ++n) {
      Elf64_Phdr part;
      std::memcpy(&part, bytes.data() + head.e_phoff + n * sizeof part, sizeof part);
      if (part.p_type != PT_DYNAMIC) continue;
      std::size_t used = 0;
      for (Elf64_Dyn d{.d_tag = DT_DEBUG, .d_un = {}}; d.d_tag != DT_NULL; ++used) {
        std::memcpy(&d, bytes.data() + part.p_offset + used * sizeof d, sizeof d);
      }
      const std::size_t entry = below(used);
      return "dynamic entry " + std::to_string(entry) +
             field<Elf64_Dyn>(bytes, part.p_offset + entry * sizeof(Elf64_Dyn));
    }
    return "nothing";
  }

 private:
  std::size_t below(std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_);
  }

  // A word of the record becomes another one.
  template <class Record>
  std::string field(std::string& bytes, std::size_t at) {
    // Type and flags of a program header are half as long as everything else.
    const bool is_half = sizeof(Record) == sizeof(Elf64_Phdr) && below(4) == 0;
    const std::size_t size = is_half ? 4 : 8;
    const std::size_t offset = is_half ? 4 * below(2) : 8 * below(sizeof(Record) / 8);
    std::uint64_t old = 0, fresh = 0;
    std::memcpy(&old, bytes.data() + at + offset, size);
    switch (below(9)) {
      case 0: fresh = old ^ (1ULL << below(is_half ? 32 : 20)); break;
      case 1: fresh = old ^ (1ULL << below(size * 8)); break;
      case 2: fresh = 0; break;
      case 3: fresh = old + 8 * (1 + below(16)); break;
      case 4: fresh = old - 8 * (1 + below(16)); break;
      case 5: fresh = old + 4096 * (1 + below(4)); break;
      case 6: fresh = random_(); break;
      case 7: fresh = below(64); break;
      default: std::memcpy(&fresh, bytes.data() + 64 + 8 * below(200), 8); break;
    }
    std::memcpy(bytes.data() + at + offset, &fresh, size);
    std::array<char, 96> text;
    std::snprintf(text.data(), text.size(), ", offset %zu: %#llx becomes %#llx", offset,
                  static_cast<unsigned long long>(old), static_cast<unsigned long long>(fresh));
    return text.data();
  }

  std::mt19937_64 random_;
};

const std::vector<std::string>& wholes() {
  static const std::vector<std::string> all = {read_file(test_module("minimal")),
                                               read_file(test_module("unmappable_thread_local"))};
  return all;
}

std::string make_mutant(std::uint64_t seed, std::string& what) {
  std::string bytes = wholes()[seed % wholes().size()];
  what = mutator(seed).change(bytes);
  return bytes;
}

// In the child: from that number on, so many.
[[noreturn]] void load_some(const scratch_folder& folder, progress& p, std::uint64_t end) {
  ::alarm(250);
  if (std::freopen("/dev/null", "w", stderr) == nullptr) ::_exit(1);
  for (; p.at < end; ++p.at) {
    std::string what;
    const std::string path = folder.write("mutant.so", make_mutant(p.at, what));
    const auto module = loaded_module::load(path);
    if (module) {
      if ((*module)->driver().name[0] != 'm' && (*module)->driver().name[0] != 'u') ::_exit(2);
      static_cast<void>((*module)->unload());
    }
    ++(module ? p.loaded : p.refused);
    ::unlink(path.c_str());
  }
  ::_exit(0);
}

TEST(load, survives_damaged_modules) {
  const scratch_folder folder;
  void* const memory = ::mmap(nullptr, sizeof(progress), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto& p = *::new (memory) progress;
  const std::uint64_t wanted = mutants_wanted();
  int deaths = 0;
  while (p.at < wanted) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) load_some(folder, p, std::min(wanted, p.at + 100));
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    std::string what;
    make_mutant(p.at, what);
    ADD_FAILURE() << "mutant " << p.at << " killed its process (status " << status << "): " << what;
    ++p.at;
    if (++deaths > 30) break;
  }
  std::printf("%llu mutants loaded, %llu refused, %d deaths\n",
              static_cast<unsigned long long>(p.loaded.load()),
              static_cast<unsigned long long>(p.refused.load()), deaths);
  EXPECT_GT(p.loaded, 0U);
  EXPECT_GT(p.refused, 0U);
  ::munmap(memory, sizeof(progress));
}

}  // namespace
}  // namespace ufence
