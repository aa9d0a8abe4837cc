#include "ufence/trace/record.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <latch>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "ufence/base/memory_file.h"
#include "ufence/base/result.h"
#include "ufence/trace/hooks.h"

namespace ufence::trace {
namespace {

slot numbered(std::uint64_t context, std::uint64_t seqno) {
  return {.time_ns = 0,
          .context = context,
          .seqno = seqno,
          .a = 0,
          .b = 0,
          .error = 0,
          .kind = event::signaled,
          .more = 0};
}

// A recording into memory, and what was found there.
class recorded {
 public:
  recorded() : file_(open_memory_file("recorded")) {
    EXPECT_TRUE(file_);
    EXPECT_EQ(record_start(unique_fd(::dup(file_.get()))), std::error_code());
  }

  void stop() {
    EXPECT_EQ(record_stop(), std::error_code());
    read_back();
  }

  std::vector<slot> events;
  std::map<std::uint64_t, std::string> threads;  // by number
  int processes = 0, ends = 0;
  std::uint64_t dropped = 0;

 private:
  void read_back() {
    const off_t size = ::lseek(file_.get(), 0, SEEK_END);
    std::vector<std::byte> all(static_cast<std::size_t>(size));
    ASSERT_EQ(::pread(file_.get(), all.data(), all.size(), 0), size);
    for (std::size_t at = 0; at < all.size();) {
      chunk_header head;
      ASSERT_LE(at + sizeof head, all.size());
      std::memcpy(&head, all.data() + at, sizeof head);
      at += sizeof head;
      ASSERT_EQ(head.magic, chunk_magic);
      ASSERT_EQ(head.process, static_cast<std::uint32_t>(::getpid()));
      ASSERT_LE(at + head.size, all.size());
      std::vector<std::uint64_t> words(head.size / 8);
      if (head.size != 0) std::memcpy(words.data(), all.data() + at, head.size);
      EXPECT_EQ(checksum_of(words), head.checksum);
      if (head.type == chunk_type::process) ++processes;
      if (head.type == chunk_type::end) {
        ++ends;
        dropped = head.dropped;
      }
      if (head.type == chunk_type::events) take({all.data() + at, head.size});
      at += head.size;
    }
  }

  void take(std::span<const std::byte> bytes) {
    ASSERT_EQ(bytes.size() % sizeof(slot), 0U);
    std::vector<slot> slots(bytes.size() / sizeof(slot));
    std::memcpy(slots.data(), bytes.data(), bytes.size());
    for (std::size_t i = 0; i < slots.size(); i += 1U + slots[i].more) {
      ASSERT_LT(i + slots[i].more, slots.size());
      if (slots[i].kind != event::thread) {
        events.push_back(slots[i]);
        continue;
      }
      const char* const text = reinterpret_cast<const char*>(&slots[i + 1]);
      threads[slots[i].context] = std::string(text, ::strnlen(text, sizeof(slot)));
    }
  }

  const unique_fd file_;
};

TEST(record, has_the_events_of_each_thread_in_order) {
  constexpr std::uint64_t each = 1000;
  recorded all;
  EXPECT_TRUE(is_recording());
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t t = 1; t <= 3; ++t) {
      threads.emplace_back([t] {
        ::pthread_setname_np(::pthread_self(), "a-thread");
        for (std::uint64_t n = 1; n <= each; ++n) trace::record(numbered(t, n));
      });
    }
  }
  all.stop();
  EXPECT_FALSE(is_recording());
  EXPECT_EQ(all.processes, 1);
  EXPECT_EQ(all.ends, 1);
  EXPECT_EQ(all.threads.size(), 3U);
  for (const auto& [number, name] : all.threads) EXPECT_EQ(name, "a-thread");
  EXPECT_EQ(all.events.size() + all.dropped, 3 * each);
  std::map<std::uint64_t, slot> last;
  for (const slot& s : all.events) {
    EXPECT_GT(s.seqno, last[s.context].seqno);
    EXPECT_GE(s.time_ns, last[s.context].time_ns);
    last[s.context] = s;
  }
}

TEST(record, what_finds_no_room_is_counted) {
  constexpr std::uint64_t many = 1'000'000;
  recorded all;
  const std::uint64_t before = record_dropped();
  for (std::uint64_t n = 1; n <= many; ++n) trace::record(numbered(1, n));
  const std::uint64_t dropped = record_dropped() - before;
  all.stop();
  EXPECT_EQ(all.events.size() + dropped, many);
}

TEST(record, a_text_comes_with_its_event_and_is_cut_off_where_it_is_too_long) {
  recorded all;
  trace::record(numbered(1, 1), std::string(10000, 'x'));
  trace::record(numbered(1, 2), "driver", "timeline");
  trace::record(numbered(1, 3), "");
  all.stop();
  ASSERT_EQ(all.events.size(), 3U);
  EXPECT_EQ(all.events[0].more, text_slots_max);
  EXPECT_EQ(all.events[1].more, 1);
  EXPECT_EQ(all.events[2].more, 0);
}

TEST(record, one_at_a_time_and_again_after_that) {
  for (int round = 0; round < 3; ++round) {
    recorded all;
    EXPECT_EQ(record_start(unique_fd(::open("/dev/null", O_WRONLY | O_CLOEXEC))),
              errno_code(EBUSY));
    trace::record(numbered(7, 1));
    all.stop();
    EXPECT_EQ(all.threads.size(), 1U);  // a thread is told of in each recording
    EXPECT_EQ(all.events.size(), 1U);
  }
  EXPECT_EQ(record_stop(), errno_code(ENOENT));
}

TEST(record, more_threads_than_rings_one_after_the_other_find_one) {
  recorded all;
  for (std::uint64_t t = 1; t <= 600; ++t) {
    std::jthread([t] { trace::record(numbered(t, 1)); });
  }
  const std::uint64_t dropped = record_dropped();
  all.stop();
  // Rings come back while the writer works: it may be slower than threads end.
  EXPECT_LE(600 - all.events.size(), dropped);
}

TEST(record, ends_when_nobody_reads_any_more) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  ASSERT_EQ(record_start(unique_fd(ends[0])), std::error_code());
  ::shutdown(ends[1], SHUT_WR);
  std::array<char, 4096> room;
  std::size_t size = 0;
  while (const ssize_t n = ::read(ends[1], room.data(), room.size())) {
    ASSERT_GT(n, 0);
    size += static_cast<std::size_t>(n);
  }
  EXPECT_GE(size, 2 * sizeof(chunk_header));
  ::close(ends[1]);
  // Another one may begin.
  recorded all;
  all.stop();
}

TEST(record, a_full_disk_ends_it_and_is_told) {
  ASSERT_EQ(record_start(unique_fd(::open("/dev/full", O_WRONLY | O_CLOEXEC))), std::error_code());
  EXPECT_EQ(record_stop(), errno_code(ENOSPC));
  EXPECT_EQ(record_start("/no/such/folder/file"), errno_code(ENOENT));
}

TEST(record, a_child_of_fork_records_nothing_until_it_starts_by_itself) {
  recorded all;
  trace::record(numbered(1, 1));
  const pid_t child = ::fork();
  if (child == 0) {
    bool is_right = !is_recording() && record_stop() == errno_code(ENOENT);
#if !defined(__SANITIZE_THREAD__)  // which does not let such a child start threads
    const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    is_right = is_right && !record_start(unique_fd(null)) && is_recording();
    trace::record(numbered(2, 1));
    is_right = is_right && !record_stop();
#endif
    ::_exit(is_right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  trace::record(numbered(1, 2));
  all.stop();
  EXPECT_EQ(all.events.size(), 2U);
}

}  // namespace
}  // namespace ufence::trace
