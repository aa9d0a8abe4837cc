// What the tests of the fence layer share: fences, backends and callbacks with scripts, reports
// kept, children with a time limit. Not part of the library.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/base/clock.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/report.h"
#include "ufence/fence/timeline.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define UFENCE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define UFENCE_SANITIZED 1
#endif
#endif
#ifndef UFENCE_SANITIZED
#define UFENCE_SANITIZED 0
#endif

namespace ufence::testing {

inline constexpr std::int64_t millisecond_ns = 1'000'000;
inline constexpr std::int64_t second_ns = 1'000'000'000;

/// By when what must happen has happened: a bound for failing tests, never a delay.
[[nodiscard]] inline std::int64_t patience() { return deadline_after(120 * second_ns); }

/// Before a test uses up all descriptors: UBSan opens a pipe to look at a vtable that it did not see
/// before, and takes that of a good error code for a bad one if it can't.
inline void let_sanitizers_see_error_codes() {
  ASSERT_EQ(std::make_error_code(std::errc::too_many_files_open), std::errc::too_many_files_open);
  ASSERT_EQ(errno_code(EMFILE), errno_code(EMFILE));
}

/// Looks until the condition holds; false if it did not within the bound.
template <class Condition>
[[nodiscard]] bool eventually(Condition condition) {
  const std::int64_t until = patience();
  for (int looks = 0; !condition(); ++looks) {
    if (now_ns() > until) return false;
    if (looks < 1000) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
  return true;
}

/// Does the thread sleep in the kernel? Of a process, its first thread.
[[nodiscard]] inline bool is_asleep(pid_t thread) {
  const std::string path = "/proc/" + std::to_string(thread) + "/stat";
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return false;
  char state = '?';
  const int fields = std::fscanf(file, "%*d (%*[^)]) %c", &state);
  std::fclose(file);
  return fields == 1 && state == 'S';
}

/// Runs for UFENCE_STRESS_SECONDS (default 2), or for a share of it.
class stress_clock {
 public:
  explicit stress_clock(double share = 1.0) : until_(now_ns() + duration_ns(share)) {}
  [[nodiscard]] bool runs() const { return now_ns() < until_; }

 private:
  static std::int64_t duration_ns(double share) {
    const char* text = std::getenv("UFENCE_STRESS_SECONDS");
    const double seconds = text != nullptr ? std::atof(text) : 2.0;
    return static_cast<std::int64_t>(seconds * share * 1e9);
  }
  std::int64_t until_;
};

/// A pending fence on a context of its own.
[[nodiscard]] inline new_fence make_fence(backend* data = nullptr, std::uint64_t seqno = 1) {
  return fence::create(fence::allocate_contexts(1), seqno, data).value();
}

[[nodiscard]] inline timeline_issuer make_timeline(timeline_options options = {}) {
  if (options.driver_name.empty()) options.driver_name = "driver";
  if (options.timeline_name.empty()) options.timeline_name = "line";
  return timeline_issuer::create(options).value();
}

/// A backend whose ops count their calls and then do what the test says.
struct scripted_backend : backend {
  scripted_backend() : backend{&table} {}
  scripted_backend(const scripted_backend&) = delete;
  scripted_backend& operator=(const scripted_backend&) = delete;

  std::function<int()> on_enable_signaling = [] { return 0; };
  std::function<int()> on_poll = [] { return 0; };
  std::function<void(std::int64_t)> on_set_deadline = [](std::int64_t) {};
  std::function<void(retired_by)> on_retire = [](retired_by) {};
  std::function<void(std::uint64_t)> on_request_notify = [](std::uint64_t) {};
  std::atomic<int> enables = 0;
  std::atomic<int> polls = 0;
  std::atomic<int> deadlines = 0;
  std::atomic<int> notify_requests = 0;
  std::atomic<int> retires = 0;
  std::atomic<int> retires_by_last_op = 0;

  [[nodiscard]] int ops() const { return enables + polls + deadlines + notify_requests; }

 private:
  static scripted_backend& self(backend* b) { return *static_cast<scripted_backend*>(b); }
  static int enable(backend* b) noexcept {
    ++self(b).enables;
    return self(b).on_enable_signaling();
  }
  static int ask(backend* b) noexcept {
    ++self(b).polls;
    return self(b).on_poll();
  }
  static void hint(backend* b, std::int64_t deadline_ns) noexcept {
    ++self(b).deadlines;
    self(b).on_set_deadline(deadline_ns);
  }
  static void retire(backend* b, retired_by who) noexcept {
    ++self(b).retires;
    if (who == retired_by::last_op) ++self(b).retires_by_last_op;
    const auto what = self(b).on_retire;  // survives the backend, which it may free
    what(who);
  }
  static void request_notify(backend* b, std::uint64_t seqno) noexcept {
    ++self(b).notify_requests;
    self(b).on_request_notify(seqno);
  }

  static constexpr backend_ops table = {
      .enable_signaling = &scripted_backend::enable,
      .poll = &scripted_backend::ask,
      .set_deadline = &scripted_backend::hint,
      .retire = &scripted_backend::retire,
      .request_notify = &scripted_backend::request_notify,
  };
};

/// A callback that counts its runs and then does what the test says, which may be to free it.
class scripted_callback : public callback {
 public:
  using script = std::function<void(fence&)>;
  explicit scripted_callback(script what = nullptr)
      : callback(&scripted_callback::run), what_(std::move(what)) {}

  [[nodiscard]] int runs() const { return runs_.load(); }
  void then(script what) { what_ = std::move(what); }

 private:
  static void run(callback& node, fence& f) noexcept {
    auto& self = static_cast<scripted_callback&>(node);
    ++self.runs_;
    if (self.what_) {
      const script what = self.what_;  // survives the node
      what(f);
    }
  }
  std::atomic<int> runs_ = 0;
  script what_;
};

/// Keeps the reports that are sent while it lives.
class kept_reports {
 public:
  /// Is it told that a call into a module has not returned for so long?
  [[nodiscard]] static bool is_delay(std::string_view text) {
    return text.contains(" has not returned for ") || text.contains(" has not ended for ");
  }

  struct entry {
    report_kind kind;
    std::uint64_t context;
    std::uint64_t seqno;
    std::string driver_name;
    std::string timeline_name;
    std::string text;
  };
  kept_reports() { EXPECT_FALSE(set_report_handler(&kept_reports::keep, this)); }
  ~kept_reports() { static_cast<void>(set_report_handler(nullptr, nullptr)); }
  kept_reports(const kept_reports&) = delete;
  kept_reports& operator=(const kept_reports&) = delete;

  [[nodiscard]] std::vector<entry> all() const {
    const std::lock_guard guard(lock_);
    return entries_;
  }
  /// is_delay(): it may be on a busy machine that it is told, so these are in no other list.
  [[nodiscard]] std::vector<entry> delays() const {
    const std::lock_guard guard(lock_);
    return delays_;
  }
  [[nodiscard]] int count(report_kind kind) const {
    int n = 0;
    for (const entry& e : all()) n += e.kind == kind ? 1 : 0;
    return n;
  }

 private:
  static void keep(const report& what, void* context) noexcept {
    auto& self = *static_cast<kept_reports*>(context);
    const std::lock_guard guard(self.lock_);
    (is_delay(what.text) ? self.delays_ : self.entries_)
        .push_back({what.kind, what.context, what.seqno, std::string(what.driver_name),
                    std::string(what.timeline_name), std::string(what.text)});
  }
  mutable std::mutex lock_;
  std::vector<entry> entries_;
  std::vector<entry> delays_;
};

/// A door that threads wait at until it is opened.
class door {
 public:
  void open() {
    open_.test_and_set();
    open_.notify_all();
  }
  void pass() const { open_.wait(false); }
  [[nodiscard]] bool is_open() const { return open_.test(); }

 private:
  std::atomic_flag open_;
};

/// Runs `body` in a child of fork(). It returns 0, or the line of what did not hold; a child that
/// hangs is ended by SIGALRM.
/// @return  0; the line (its low byte, never 0); minus the signal that ended it
template <class Body>
[[nodiscard]] int in_child(Body body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return -1000;
  if (child == 0) {
    ::alarm(250);
    const int line = body();
    if (line != 0) std::fprintf(stderr, "child: line %d does not hold\n", line);
    std::fflush(stderr);
    ::_exit(line == 0 ? 0 : (line & 0xff) != 0 ? line & 0xff : 1);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return -1001;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}
/// For the body of in_child().
#define UFENCE_CHILD_EXPECT(condition) \
  do {                                 \
    if (!(condition)) return __LINE__; \
  } while (false)

inline const std::error_code no_error{};

}  // namespace ufence::testing
