#include "ufence/sync/exporters.h"

#include <new>
#include <optional>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/base/fd.h"
#include "ufence/io/peer.h"

namespace ufence::detail {

// One process. All of it under the reactor's lock.
class exporter final : public watched {
 public:
  static exporter* find(std::uint64_t maker) noexcept UFENCE_REQUIRES(the_reactor.lock);
  static exporter* start(std::uint64_t maker, int file) noexcept UFENCE_REQUIRES(the_reactor.lock);
  void add(exporter_link& link) noexcept UFENCE_REQUIRES(the_reactor.lock);
  void take_out(exporter_link& link) noexcept UFENCE_REQUIRES(the_reactor.lock);

 private:
  exporter(std::uint64_t maker, unique_fd process) noexcept
      : maker_(maker), process_(std::move(process)) {
    kind = &kind_of_exporters;
    key = next_key++;
  }
  void stop() noexcept UFENCE_REQUIRES(the_reactor.lock);
  void end_all() noexcept UFENCE_REQUIRES(the_reactor.lock);

  static void on_ready(std::uint64_t key) noexcept;
  static void on_fork(watched& w) noexcept;
  // It goes with its fences, which end because theirs are lost as well.
  static void on_loss(watched& w) noexcept {
    static_cast<void>(static_cast<exporter&>(w).process_.release());
  }
  static const watched_kind kind_of_exporters;

  // Those that are watched. Keys are above those of sockets, and of the kernel's files.
  static exporter* first UFENCE_GUARDED_BY(the_reactor.lock);
  static std::uint64_t next_key UFENCE_GUARDED_BY(the_reactor.lock);

  const std::uint64_t maker_;  // maker_of()
  unique_fd process_;         // its pidfd; none: lost
  bool has_ended_ = false;
  exporter_link* links_ = nullptr;
  exporter* next_exporter_ = nullptr;
};

constinit exporter* exporter::first = nullptr;
constinit std::uint64_t exporter::next_key = std::uint64_t{3} << 61;
const watched_kind exporter::kind_of_exporters{.waits_for = watched_kind::event::ready,
                                               .on_ready = &exporter::on_ready,
                                               .on_fork = &exporter::on_fork,
                                               .on_loss = &exporter::on_loss};

// --- One process ---

exporter* exporter::find(std::uint64_t maker) noexcept {
  exporter* e = first;
  while (e != nullptr && (e->maker_ != maker || !e->process_)) e = e->next_exporter_;
  return e;
}

exporter* exporter::start(std::uint64_t maker, int file) noexcept {
  result<unique_fd> process = pidfd_of_maker(file);
  if (!process) return nullptr;
  void* memory = allocate(sizeof(exporter));
  if (memory == nullptr) return nullptr;
  auto* const made = ::new (memory) exporter(maker, std::move(*process));
  if (the_reactor.add(*made, made->process_.get())) {
    made->~exporter();
    deallocate(made);
    return nullptr;
  }
  made->next_exporter_ = std::exchange(first, made);
  return made;
}

void exporter::stop() noexcept {
  exporter** at = &first;
  while (*at != this) at = &(*at)->next_exporter_;
  *at = next_exporter_;
  the_reactor.remove(*this);
  this->~exporter();
  deallocate(this);
}

void exporter::add(exporter_link& link) noexcept {
  link.of = this;
  link.next = links_;
  if (links_ != nullptr) links_->previous = &link;
  links_ = &link;
  // Its end was told before this one was there.
  if (!has_ended_) return;
  link.has_ended = true;
  the_reactor.doubt(*link.import);
}

void exporter::take_out(exporter_link& link) noexcept {
  (link.previous != nullptr ? link.previous->next : links_) = link.next;
  if (link.next != nullptr) link.next->previous = link.previous;
  link = {};
  if (links_ == nullptr) stop();
}

void exporter::end_all() noexcept {
  has_ended_ = true;
  for (exporter_link* link = links_; link != nullptr; link = link->next) {
    link->has_ended = true;
    the_reactor.doubt(*link->import);
  }
}

void exporter::on_ready(std::uint64_t key) noexcept {
  const scoped_lock guard(the_reactor.lock);
  watched* const w = the_reactor.find(key, kind_of_exporters);
  if (w == nullptr) return;
  auto* const self = static_cast<exporter*>(w);
  if (self->process_) self->end_all();
}

// Imported fences are forgotten as well: nobody finds this one by a link any more.
void exporter::on_fork(watched& w) noexcept UFENCE_NO_TSA {
  auto& self = static_cast<exporter&>(w);
  for (exporter_link* link = self.links_; link != nullptr;) {
    exporter_link* const after = link->next;
    *link = {};
    link = after;
  }
  self.links_ = nullptr;
  self.process_.reset();
  first = nullptr;
}

// --- Its fences ---

void join_exporter(exporter_link& link, watched& import, int file) noexcept {
  link.import = &import;
  const std::optional<std::uint64_t> maker = maker_of(file);
  exporter* e = maker ? exporter::find(*maker) : nullptr;
  if (maker && e == nullptr) e = exporter::start(*maker, file);
  if (e != nullptr) e->add(link);
}

void leave_exporter(exporter_link& link) noexcept {
  if (link.of != nullptr) link.of->take_out(link);
}

}  // namespace ufence::detail
