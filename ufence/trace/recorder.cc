// The rings of this process, and the thread that empties them.
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "ufence/base/check.h"
#include "ufence/base/clock.h"
#include "ufence/base/fork.h"
#include "ufence/base/futex.h"
#include "ufence/base/lock.h"
#include "ufence/base/result.h"
#include "ufence/base/system_thread.h"
#include "ufence/base/tls.h"
#include "ufence/trace/hooks.h"
#include "ufence/trace/record.h"
#include "ufence/trace/ring.h"

namespace ufence {
namespace trace {

namespace detail {
constinit atomic<bool> is_on{false};
constinit atomic<std::uint32_t> recording_number{0};
}  // namespace detail

namespace {

using event_ring = ring<slot>;

constexpr std::size_t ring_count = 256;        // threads that record at the same time
constexpr std::size_t ring_slots = 1U << 15U;  // 1.5 MiB, of which a thread touches what it needs
constexpr std::int64_t look_every_ns = 50'000'000;

constinit ring_pool<slot> pool;
// Events of threads that got no ring. relaxed in all uses: a counter.
constinit atomic<std::uint64_t> homeless{0};
// The word that the writing thread sleeps on. relaxed in all uses: it looks by itself after a while.
constinit atomic<std::uint32_t> is_wanted{0};

// --- The side that records ---

struct own_ring {
  event_ring* where = nullptr;
  std::uint32_t number = 0;  // of the recording that was told of this thread
  std::uint32_t generation = 0;
  bool has_ended = false;
};
struct own_tag;
using own = per_thread<own_tag, own_ring>;

pthread_key_t thread_end;

void give_up_own(void*) noexcept {
  own_ring& mine = own::get();
  mine.has_ended = true;
  mine.number = 0;
  if (mine.where != nullptr && mine.generation == fork_generation()) mine.where->give_up();
  mine.where = nullptr;
}

// The slot, and its text behind it.
class event_with_text {
 public:
  explicit event_with_text(const slot& what) noexcept { slots_[0] = what; }
  void append(std::string_view text) noexcept {
    text = text.substr(0, room - size_);
    if (!text.empty()) std::memcpy(text_.data() + size_, text.data(), text.size());
    size_ += text.size();
  }
  [[nodiscard]] std::span<const slot> slots() noexcept {
    const std::size_t more = (size_ + sizeof(slot) - 1) / sizeof(slot);
    std::memcpy(&slots_[1], text_.data(), more * sizeof(slot));
    slots_[0].more = static_cast<std::uint16_t>(more);
    return {slots_.data(), more + 1};
  }

 private:
  static constexpr std::size_t room = text_slots_max * sizeof(slot);
  std::array<slot, 1 + text_slots_max> slots_;
  std::array<char, room> text_{};
  std::size_t size_ = 0;
};

[[gnu::noinline]] void wake_writer() noexcept {
  is_wanted.store(1, mo::relaxed);
  futex_wake_all(is_wanted);
}

void put(event_ring& into, std::span<const slot> event) noexcept {
  bool crosses_half = false;
  into.put(event, crosses_half);
  if (crosses_half) [[unlikely]]
    wake_writer();
}

// The first event of this thread in a recording. False: there is no ring for it.
[[gnu::noinline]] bool join(own_ring& mine) noexcept {
  if (mine.has_ended) return false;
  if (mine.where == nullptr || mine.generation != fork_generation()) {
    mine.where = pool.claim();
    if (mine.where == nullptr) return false;
    mine.generation = fork_generation();
    static_cast<void>(::pthread_setspecific(thread_end, &mine));
  }
  mine.number = recording_number();
  std::array<char, 16> name{};
  static_cast<void>(::pthread_getname_np(::pthread_self(), name.data(), name.size()));
  event_with_text thread({.time_ns = static_cast<std::uint64_t>(now_ns()),
                          .context = static_cast<std::uint64_t>(::gettid()),
                          .seqno = 0,
                          .a = 0,
                          .b = 0,
                          .error = 0,
                          .kind = event::thread,
                          .more = 0});
  thread.append(name.data());
  put(*mine.where, thread.slots());
  return true;
}

// The ring of this thread; null: there is none, which is counted.
[[nodiscard]] inline event_ring* ring_of_this_thread() noexcept {
  own_ring& mine = own::get();
  if (mine.number != recording_number() && !join(mine)) [[unlikely]] {
    homeless.fetch_add(1, mo::relaxed);
    return nullptr;
  }
  return mine.where;
}

void record_all(std::span<const slot> event) noexcept {
  if (event_ring* const ring = ring_of_this_thread()) put(*ring, event);
}

[[nodiscard]] inline std::uint64_t time_or_now(std::uint64_t time_ns) noexcept {
  return time_ns != 0 ? time_ns : static_cast<std::uint64_t>(now_ns());
}

slot timed(slot what) noexcept {
  what.time_ns = time_or_now(what.time_ns);
  return what;
}

}  // namespace

void record(event kind, std::int32_t error, std::uint64_t context, std::uint64_t seqno,
            std::uint64_t a, std::uint64_t b, std::uint64_t time_ns) noexcept {
  time_ns = time_or_now(time_ns);
  event_ring* const ring = ring_of_this_thread();
  if (ring == nullptr) [[unlikely]]
    return;
  bool crosses_half = false;
  ring->put_one({.time_ns = time_ns,
                 .context = context,
                 .seqno = seqno,
                 .a = a,
                 .b = b,
                 .error = error,
                 .kind = kind,
                 .more = 0},
                crosses_half);
  if (crosses_half) [[unlikely]]
    wake_writer();
}
void record(const slot& what) noexcept {
  const slot now = timed(what);
  record_all({&now, 1});
}
void record(const slot& what, std::string_view text) noexcept {
  event_with_text all(timed(what));
  all.append(text);
  record_all(all.slots());
}
void record(const slot& what, std::string_view first, std::string_view second) noexcept {
  event_with_text all(timed(what));
  all.append(first);
  all.append({"", 1});
  all.append(second);
  record_all(all.slots());
}

// --- The side that writes ---

namespace {

class recording {
 public:
  explicit recording(unique_fd to) noexcept : to_(std::move(to)) {}

  void run() noexcept {
    system_thread::name_this("ufence-trace");
    write_start();
    while (!must_end()) {
      is_wanted.store(0, mo::relaxed);
      write_rings();
      futex_wait(is_wanted, 0, deadline_after(look_every_ns));
    }
    // An event that a thread puts in from here on, since it looked before, is left out.
    detail::is_on.store(false, mo::relaxed);
    write_rings();
    write_chunk(chunk_type::end, {}, {}, 0, dropped_now());
    // relaxed: the thread that reads it joins this one before anything else. Before the other end hears
    // of it.
    has_ended_.store(true, mo::relaxed);
    to_.reset();
  }

  void tell_to_end() noexcept {
    // relaxed: looked at after a while at the latest
    is_told_.store(true, mo::relaxed);
    wake_writer();
  }
  [[nodiscard]] bool has_ended() const noexcept { return has_ended_.load(mo::relaxed); }
  /// After its thread has ended: what write() said.
  [[nodiscard]] int failed() const noexcept { return failed_; }
  void close_in_child() noexcept { ::close(to_.get()); }

  system_thread thread;

 private:
  // Told to, or nobody reads any more.
  [[nodiscard]] bool must_end() const noexcept {
    if (failed_ != 0 || is_told_.load(mo::relaxed)) return true;
    pollfd other_end{.fd = to_.get(), .events = POLLRDHUP, .revents = 0};
    return ::poll(&other_end, 1, 0) > 0 &&
           (other_end.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
  }

  void write_start() noexcept {
    timespec real{};
    ::clock_gettime(CLOCK_REALTIME, &real);
    const process_start start{
        .monotonic_ns = static_cast<std::uint64_t>(now_ns()),
        .realtime_ns = static_cast<std::uint64_t>(real.tv_sec) * 1'000'000'000 +
                       static_cast<std::uint64_t>(real.tv_nsec)};
    // Words, as checksums are made of: zeros behind the command line.
    std::array<std::uint64_t, (sizeof start + command_line_max + 8) / 8> words{};
    const std::span at = std::as_writable_bytes(std::span(words));
    std::memcpy(at.data(), &start, sizeof start);
    std::size_t size = sizeof start;
    if (const unique_fd line{::open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC)}) {
      const ssize_t got = ::read(line.get(), at.data() + size, command_line_max);
      if (got > 0) size += static_cast<std::size_t>(got);
    }
    write_chunk(chunk_type::process, std::span(words).first((size + 8) / 8), {}, 0, 0);
  }

  void write_rings() noexcept {
    std::uint32_t number = 0;
    for (event_ring& one : pool.all()) {
      write_ring(one, number++);
    }
  }

  void write_ring(event_ring& one, std::uint32_t number) noexcept {
    if (one.was_free()) return;
    const bool is_last = one.has_ended();
    const auto words_of = [](std::span<const cell<slot>> slots) noexcept {
      static_assert(sizeof(cell<slot>) == sizeof(slot) && alignof(cell<slot>) == alignof(slot));
      return std::span(reinterpret_cast<const std::uint64_t*>(slots.data()),
                       slots.size() * (sizeof(slot) / sizeof(std::uint64_t)));
    };
    // From where they lie: the owner has the rest of the ring meanwhile.
    one.take_all([&](std::span<const cell<slot>> first,
                     std::span<const cell<slot>> second) noexcept {
      write_chunk(chunk_type::events, words_of(first), words_of(second), number, one.dropped());
    });
    if (is_last) one.recycle();
  }

  void write_chunk(chunk_type type, std::span<const std::uint64_t> first,
                   std::span<const std::uint64_t> second, std::uint32_t number,
                   std::uint64_t dropped) noexcept {
    if (failed_ != 0) return;
    checksum sum;
    sum.add(first);
    sum.add(second);
    const chunk_header head{.magic = chunk_magic,
                            .version = format_version,
                            .type = type,
                            .size = static_cast<std::uint32_t>(first.size_bytes() + second.size_bytes()),
                            .process = static_cast<std::uint32_t>(::getpid()),
                            .ring = number,
                            .reserved = 0,
                            .dropped = dropped,
                            .checksum = sum.value()};
    write_all({std::as_bytes(std::span(&head, 1)), std::as_bytes(first), std::as_bytes(second)});
  }

  // SIGPIPE is blocked on this thread.
  void write_all(std::array<std::span<const std::byte>, 3> parts) noexcept {
    std::array<iovec, parts.size()> at{};
    for (std::size_t i = 0; i < parts.size(); ++i) {
      at[i] = {.iov_base = const_cast<std::byte*>(parts[i].data()), .iov_len = parts[i].size()};
    }
    std::span<iovec> rest(at);
    while (!rest.empty()) {
      if (rest.front().iov_len == 0) {
        rest = rest.subspan(1);
        continue;
      }
      const ssize_t n = ::writev(to_.get(), rest.data(), static_cast<int>(rest.size()));
      if (n > 0) {
        skip(rest, static_cast<std::size_t>(n));
      } else if (n < 0 && errno == EAGAIN) {
        // The reader is slow, or stopped: a process that ends does not wait for that for ever.
        pollfd room{.fd = to_.get(), .events = POLLOUT, .revents = 0};
        if (::poll(&room, 1, patience_ms) > 0) continue;
        failed_ = ETIMEDOUT;
        return;
      } else if (n == 0 || errno != EINTR) {
        failed_ = n < 0 ? errno : EIO;
        return;
      }
    }
  }
  static void skip(std::span<iovec> parts, std::size_t bytes) noexcept {
    for (iovec& part : parts) {
      const std::size_t n = std::min(bytes, part.iov_len);
      part = {.iov_base = static_cast<std::byte*>(part.iov_base) + n, .iov_len = part.iov_len - n};
      bytes -= n;
    }
  }

 public:
  /// Of all rings, and of threads without one.
  [[nodiscard]] static std::uint64_t dropped_now() noexcept {
    std::uint64_t all = homeless.load(mo::relaxed);
    for (const event_ring& one : pool.all()) all += one.dropped();
    return all;
  }

 private:
  static constexpr std::size_t command_line_max = 4096;
  static constexpr int patience_ms = 5000;

  unique_fd to_;
  int failed_ = 0;
  atomic<bool> is_told_{false}, has_ended_{false};
};

// Held while a recording is started and stopped.
constinit mutex recording_lock{lock_rank::host};
constinit recording* running UFENCE_GUARDED_BY(recording_lock) = nullptr;

void* run_recording(void* self) noexcept {
  static_cast<recording*>(self)->run();
  return nullptr;
}

// A child has the descriptor, and none of the threads that owned rings, nor the one that empties
// them.
const fork_part at_fork(lock_rank::host,
                        {.before = [] noexcept { recording_lock.lock_for_fork(); },
                         .in_parent = [] noexcept { recording_lock.unlock_after_fork(); },
                         .in_child =
                             []() UFENCE_NO_TSA noexcept {
                               detail::is_on.store(false, mo::relaxed);
                               if (running != nullptr) running->close_in_child();
                               running = nullptr;
                               pool.publish({});
                               recording_lock.unlock_after_fork();
                             }});

// Address space that is memory where it is used. Zeros are empty slots.
std::error_code make_rings() noexcept {
  if (!pool.all().empty()) return {};
  constexpr std::size_t rings_size = ring_count * sizeof(event_ring);
  constexpr std::size_t ring_size = ring_slots * sizeof(cell<slot>);
  void* const at = ::mmap(nullptr, rings_size + ring_count * ring_size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return errno_code(errno);
  auto* const rings = static_cast<event_ring*>(at);
  auto* slots = static_cast<std::byte*>(at) + rings_size;
  for (std::size_t i = 0; i < ring_count; ++i, slots += ring_size) {
    ::new (static_cast<void*>(rings + i))
        event_ring({reinterpret_cast<cell<slot>*>(slots), ring_slots});
  }
  pool.publish({rings, ring_count});
  return {};
}

std::error_code stop_running() UFENCE_REQUIRES(recording_lock) {
  recording* const ended = std::exchange(running, nullptr);
  if (ended == nullptr) return errno_code(ENOENT);
  ended->tell_to_end();
  while (!ended->thread.join(no_deadline)) {
  }
  const int failed = ended->failed();
  delete ended;
  return errno_code(failed);
}

std::error_code start(unique_fd to) UFENCE_REQUIRES(recording_lock) {
  if (running != nullptr) {
    if (!running->has_ended()) return errno_code(EBUSY);
    static_cast<void>(stop_running());
  }
  if (const std::error_code failed = make_rings()) return failed;
  // Events that threads put in when the last recording ended.
  for (event_ring& one : pool.all()) {
    const bool is_last = one.has_ended();
    one.take([](const slot&) noexcept {});
    if (is_last) one.recycle();
  }
  auto made = std::make_unique<recording>(std::move(to));
  // relaxed, both: a thread that sees the one without the other records an event less or more
  detail::recording_number.fetch_add(1, mo::relaxed);
  if (const int failed = made->thread.start(&run_recording, made.get())) return errno_code(failed);
  detail::is_on.store(true, mo::relaxed);
  running = made.release();
  return {};
}

// As the environment asks; what was recorded is written before the process ends.
struct environment {
  environment() noexcept {
    UFENCE_CHECK(::pthread_key_create(&thread_end, &give_up_own) == 0);
    const char* const path = ::secure_getenv("UFENCE_RECORD");
    if (path == nullptr || *path == '\0') return;
    std::error_code failed;
    try {
      failed = record_start(std::string(path) + "." + std::to_string(::getpid()));
    } catch (const std::bad_alloc&) {
      failed = errno_code(ENOMEM);
    }
    if (!failed) return;
    static_cast<void>(std::fprintf(stderr, "ufence: nothing is recorded (UFENCE_RECORD=%s): %s\n",
                                   path, std::strerror(failed.value())));
  }
  ~environment() {
    const std::error_code failed = record_stop();
    if (!failed || failed == errno_code(ENOENT)) return;
    static_cast<void>(std::fprintf(stderr, "ufence: the recording is not complete: %s\n",
                                   std::strerror(failed.value())));
  }
};
const environment at_load;

}  // namespace
}  // namespace trace

std::error_code record_start(unique_fd to) noexcept try {
  const scoped_lock guard(trace::recording_lock);
  return trace::start(std::move(to));
} catch (const std::bad_alloc&) {
  return errno_code(ENOMEM);
}

std::error_code record_start(const std::string& path) noexcept {
  unique_fd to(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!to) return errno_code(errno);
  return record_start(std::move(to));
}

std::error_code record_stop() noexcept {
  const scoped_lock guard(trace::recording_lock);
  return trace::stop_running();
}

std::uint64_t record_dropped() noexcept { return trace::recording::dropped_now(); }

}  // namespace ufence
