// Doubles of what base and the sync layer ask of the system: own_thread.h, page_file.h, peer.h,
// reactor.h, robust_word.h, side_work.h, socket.h; and of imported.h, since nothing is imported.
#include "lab/models/system.h"

#include <linux/futex.h>

#include "lab/engine/scenario.h"
#include "ufence/base/futex.h"
#include "ufence/base/lock.h"
#include "ufence/base/own_thread.h"
#include "ufence/io/peer.h"
#include "ufence/io/reactor.h"
#include "ufence/io/side_work.h"
#include "ufence/io/socket.h"
#include "ufence/sync/imported.h"
#include "ufence/sync/page_file.h"
#include "ufence/sync/robust_word.h"

namespace ufence {
namespace {

// No descriptor of the process that explores.
constexpr int first_descriptor = 1 << 30;

constinit int descriptors_made = 0;
constinit shared_page* page_of_scenario = nullptr;

struct start {
  void* (*run)(void*) = nullptr;
  void* argument = nullptr;
  atomic<std::uint32_t> is_there{0};
  atomic<int> starts{0};
};
constinit start thread_to_run;

unique_fd make_descriptor() noexcept { return unique_fd(first_descriptor + descriptors_made++); }

}  // namespace

// --- Sockets ---

result<socket_pair> make_socket_pair() noexcept {
  return socket_pair{.first = make_descriptor(), .second = make_descriptor()};
}
result<std::uint64_t> socket_cookie(int socket) noexcept {
  return static_cast<std::uint64_t>(socket);
}
std::error_code bind_socket(int, const detail::socket_address&) noexcept { return {}; }
bool find_peer(int, detail::socket_address&) noexcept { return true; }
std::error_code send_message(int, std::span<const std::byte>, std::span<const int>) noexcept {
  return {};
}
std::error_code send_large_message(int, std::span<const std::byte>, std::span<const int>) noexcept {
  return {};
}
result<message> receive_message(int, std::span<std::byte>, bool, std::size_t) noexcept {
  return failure(EAGAIN);
}
message::~message() = default;
void keep_filters_out(int) noexcept {}
bool has_unread(int) noexcept { return false; }
void end_sending(int) noexcept {}

namespace detail {

bool find_source(const fence&, imported_from&) noexcept { return false; }

// --- Threads ---

int start_own_thread(void* (*run)(void*), void* argument) noexcept {
  thread_to_run.run = run;
  thread_to_run.argument = argument;
  thread_to_run.starts.fetch_add(1, mo::relaxed);
  thread_to_run.is_there.store(1, mo::release);
  return 0;
}

robust_word::robust_word(atomic<std::uint32_t>& word) noexcept {
  word.store(1 | FUTEX_WAITERS, mo::relaxed);
}
robust_word::~robust_word() = default;

// --- The page ---

result<mapped_page> make_page(bool) noexcept {
  return mapped_page{.page = page_of_scenario, .fd = make_descriptor(), .is_writable = true};
}
result<mapped_page> map_page(int) noexcept { return make_page(true); }
result<unique_fd> export_page(const unique_fd&, bool) noexcept { return make_descriptor(); }
void unmap_page(shared_page&) noexcept {}

// --- What is watched: all holders have closed it, as soon as it is there ---

peer_state state_of_other_end(int) noexcept { return peer_state::closed; }
void close_aside(unique_fd) noexcept {}

constinit reactor the_reactor;

watched*& reactor::bucket_of(std::uint64_t) noexcept { return buckets_[0]; }

watched* reactor::find(std::uint64_t key, const watched_kind& kind) noexcept {
  watched* w = bucket_of(key);
  while (w != nullptr && (w->key != key || w->kind != &kind)) w = w->next;
  return w;
}

std::error_code reactor::add(watched& w, int fd) noexcept {
  w.fd = fd;
  w.next = bucket_of(w.key);
  bucket_of(w.key) = &w;
  w.state = watched_state::watched;
  return {};
}

void reactor::remove(watched& w) noexcept {
  watched** at = &bucket_of(w.key);
  while (*at != &w) at = &(*at)->next;
  *at = w.next;
  w.state = watched_state::gone;
}

void reactor::reap_closed() noexcept {
  watched* w = nullptr;
  {
    const scoped_lock guard(lock);
    for (w = bucket_of(0); w != nullptr && w->state == watched_state::claimed;) w = w->next;
    if (w == nullptr) return;
    w->state = watched_state::claimed;
  }
  const bool is_gone = w->kind->is_gone(*w);
  {
    const scoped_lock guard(lock);
    if (is_gone) {
      remove(*w);
    } else {
      w->state = watched_state::watched;
    }
  }
  if (!is_gone) return;
  w->kind->close(*w);
  w->kind->free(*w);
}

// There are descriptors enough.
std::uint64_t reactor::closed_count() noexcept { return 0; }
bool reactor::make_room(std::uint64_t) noexcept { return false; }

}  // namespace detail

// --- For scenarios ---

namespace lab {

timeline_page::timeline_page() noexcept {
  page_.magic.store(shared_page::right_magic, mo::relaxed);
  page_.version.store(shared_page::right_version, mo::relaxed);
  name(page_, "page");
  page_of_scenario = &page_;
}
timeline_page::~timeline_page() { page_of_scenario = nullptr; }

shared_timeline_ref timeline_page::import() { return shared_timeline::import(0).value(); }

void timeline_page::kill_owner() {
  page_.owner.fetch_or(FUTEX_OWNER_DIED, mo::release);
  futex_wake_all_shared(page_.owner);
}

void run_own_thread() {
  await(thread_to_run.is_there, ~std::uint32_t{0}, std::uint32_t{1}, mo::acquire);
  thread_to_run.run(thread_to_run.argument);
}
int own_threads_started() { return thread_to_run.starts.load(mo::relaxed); }

}  // namespace lab
}  // namespace ufence
