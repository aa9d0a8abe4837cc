// Any bytes are read as a recording, or refused with a line; and what was read can be told.
// Mutations of right ones, seeded, with checksums that are right again.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "tools/ufence/trace/page.h"
#include "tools/ufence/trace/perfetto.h"
#include "tools/ufence/trace/recording.h"
#include "tools/ufence/trace/story.h"

namespace ufence::tool {
namespace {

using trace::chunk_header;
using trace::chunk_type;
using trace::event;
using trace::slot;

std::chrono::milliseconds fuzz_time() {
  const char* const asked = std::getenv("UFENCE_FUZZ_MS");
  return std::chrono::milliseconds(asked != nullptr ? std::atoll(asked) : 1000);
}

struct chunk {
  chunk_type type;
  std::uint32_t process;
  std::vector<std::uint64_t> words;
};

std::string bytes_of(const std::vector<chunk>& chunks) {
  std::string all;
  for (const chunk& c : chunks) {
    const chunk_header head{.magic = trace::chunk_magic,
                            .version = trace::format_version,
                            .type = c.type,
                            .size = static_cast<std::uint32_t>(c.words.size() * 8),
                            .process = c.process,
                            .ring = 0,
                            .reserved = 0,
                            .dropped = 0,
                            .checksum = trace::checksum_of(c.words)};
    all.append(reinterpret_cast<const char*>(&head), sizeof head);
    all.append(reinterpret_cast<const char*>(c.words.data()), c.words.size() * 8);
  }
  return all;
}

// Events of each kind, about few fences, so that they meet.
std::vector<chunk> right_chunks(std::mt19937& random) {
  std::vector<chunk> chunks;
  for (std::uint32_t process : {7U, 8U}) {
    chunks.push_back({chunk_type::process, process, {1000, 2000, 0x6d6172676f7270}});
    std::vector<std::uint64_t> words;
    for (std::uint64_t n = 0; n < 60; ++n) {
      const auto any = [&](std::uint64_t below) { return random() % below; };
      const slot s{.time_ns = 1000 + n * any(3),
                   .context = 1 + any(3),
                   .seqno = 1 + any(4),
                   .a = 1 + any(3),
                   .b = any(16),
                   .error = any(4) == 0 ? -5 : 0,
                   .kind = n == 0 ? event::thread : static_cast<event>(1 + any(trace::event_last)),
                   .more = static_cast<std::uint16_t>(any(8) == 0 ? 1 : 0)};
      std::uint64_t raw[6];
      std::memcpy(raw, &s, sizeof s);
      words.insert(words.end(), raw, raw + 6);
      if (s.more != 0) words.insert(words.end(), {0x6600656d616e, 0x3c3e26, 0, 0, 0, 0});
    }
    chunks.push_back({chunk_type::events, process, std::move(words)});
    chunks.push_back({chunk_type::end, process, {}});
  }
  return chunks;
}

void change(std::vector<chunk>& chunks, std::mt19937& random) {
  chunk& c = chunks[random() % chunks.size()];
  switch (random() % 6) {
    case 0: c.type = static_cast<chunk_type>(random() % 5); break;
    case 1: c.process = static_cast<std::uint32_t>(random() % 9); break;
    case 2: c.words.resize(random() % 40); break;
    default:
      if (!c.words.empty()) {
        std::uint64_t& word = c.words[random() % c.words.size()];
        const std::uint64_t values[] = {0, 1, UINT64_MAX, std::uint64_t{1} << 63U,
                                        word ^ std::uint64_t{1} << random() % 64};
        word = values[random() % 5];
      }
  }
}

// What is read keeps what the writers rely on.
void read_and_tell(const std::string& bytes, std::size_t& read, std::size_t& refused) {
  try {
    const recording r = read_recording(bytes);
    const story s = tell(r);
    for (const story_fence& f : s.fences) {
      ASSERT_TRUE(f.signaled_ns == 0 || f.signaled_ns >= f.made_ns);
    }
    for (const story_wait& w : s.waits) ASSERT_TRUE(w.end_ns == 0 || w.end_ns >= w.begin_ns);
    EXPECT_FALSE(to_perfetto(r, s).empty());
    EXPECT_FALSE(to_page(r, s).empty());
    ++read;
  } catch (const std::runtime_error& e) {
    EXPECT_STRNE(e.what(), "");
    ++refused;
  }
}

TEST(recording, any_bytes_are_read_or_refused) {
  std::mt19937 random(1);
  std::size_t read = 0, refused = 0;
  const auto until = std::chrono::steady_clock::now() + fuzz_time();
  do {
    std::vector<chunk> chunks = right_chunks(random);
    for (auto n = random() % 4; n != 0; --n) change(chunks, random);
    std::string bytes = bytes_of(chunks);
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    if (random() % 4 == 0 && !bytes.empty()) bytes[random() % bytes.size()] ^= 1;
    read_and_tell(bytes, read, refused);
  } while (std::chrono::steady_clock::now() < until || read < 10 || refused < 10);
}

TEST(ftrace, any_text_is_read_or_refused) {
  std::mt19937 random(2);
  const std::string right =
      "  a-1 [000] d.h1. 12.000001: dma_fence_emit: driver=d timeline=t context=1 seqno=2\n"
      "  a-1 (  3) [000] 12.5: drm_sched_job_add_dep: fence=1:2 depends on fence=3:4\n"
      "  a-1 [000] ..... 13.000000001: dma_fence_signaled: driver=d timeline=t context=1 seqno=2\n";
  const auto until = std::chrono::steady_clock::now() + fuzz_time();
  do {
    std::string text = right;
    for (auto n = random() % 8; n != 0; --n) {
      const std::size_t at = random() % text.size();
      if (random() % 2 == 0) {
        text[at] = static_cast<char>(random());
      } else {
        text.erase(at, random() % 10);
      }
      if (text.empty()) break;
    }
    try {
      recording r;
      add_ftrace(r, text);
      const story s = tell(r);
      EXPECT_FALSE(to_perfetto(r, s).empty());
    } catch (const std::runtime_error&) {
    }
  } while (std::chrono::steady_clock::now() < until);
}

}  // namespace
}  // namespace ufence::tool
