// The static trace points of libufence.so: the kernel's names, context and seqno with all their
// bits.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

namespace {

struct probe {
  std::string provider;
  std::string name;
  std::string arguments;  // "8@%rax 8@-8(%rbp)": size @ operand, - for signed
};

std::string output_of(const std::string& command) {
  std::string text;
  std::FILE* pipe = ::popen(command.c_str(), "re");
  if (pipe == nullptr) return text;
  std::array<char, 4096> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    text.append(buffer.data(), n);
  }
  return ::pclose(pipe) == 0 ? text : std::string();
}

std::vector<probe> probes_of_the_library() {
  std::vector<probe> probes;
  const std::string notes = output_of("readelf --notes --wide '" UFENCE_LIBRARY "' 2>/dev/null");
  const auto value_after = [&](const std::string& key, std::size_t from) {
    const std::size_t begin = notes.find(key, from);
    if (begin == notes.npos) return std::string();
    const std::size_t end = notes.find('\n', begin);
    return notes.substr(begin + key.size(), end - begin - key.size());
  };
  for (std::size_t at = notes.find("Provider: "); at != notes.npos;
       at = notes.find("Provider: ", at + 1)) {
    probes.push_back(
        {value_after("Provider: ", at), value_after("Name: ", at), value_after("Arguments: ", at)});
  }
  return probes;
}

// The size of each argument in bytes.
std::vector<int> argument_sizes(const probe& p) {
  std::vector<int> sizes;
  std::string word;
  for (const char c : p.arguments + " ") {
    if (c != ' ') {
      word += c;
    } else if (!word.empty()) {
      if (word.find('@') != word.npos) sizes.push_back(std::abs(std::atoi(word.c_str())));
      word.clear();
    }
  }
  return sizes;
}

}  // namespace

TEST(trace_points, have_the_kernels_names_and_64_bit_context_and_seqno) {
  const std::vector<probe> probes = probes_of_the_library();
  ASSERT_FALSE(probes.empty()) << "readelf of " << UFENCE_LIBRARY;
  std::map<std::string, int> found;
  for (const probe& p : probes) {
    if (p.provider != "ufence") continue;
    ++found[p.name];
    const std::vector<int> sizes = argument_sizes(p);
    ASSERT_GE(sizes.size(), 2U) << p.name << ": " << p.arguments;
    EXPECT_EQ(sizes[0], 8) << p.name << ": context";
    EXPECT_EQ(sizes[1], 8) << p.name << ": seqno";
  }
  for (const char* name : {"dma_fence_init", "dma_fence_emit", "dma_fence_enable_signal",
                           "dma_fence_signaled", "dma_fence_settled", "dma_fence_retired",
                           "dma_fence_wait_start", "dma_fence_wait_end", "dma_fence_destroy"}) {
    EXPECT_GT(found[name], 0) << name;
  }
}
