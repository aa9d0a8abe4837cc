#include "tools/net/job/members.h"

#include <cerrno>

namespace ufence::tool {
namespace {

constexpr std::size_t host_name_max = 255;

}  // namespace

struct members::life {
  struct waker {
    const std::function<void()>* wake;
    void operator()(fence&) const noexcept { (*wake)(); }
  };
  struct claimed {
    claimed(const work_claim& claim, fence_ref of, const std::function<void()>& wake)
        : what(claim), done(std::move(of)), watch(waker{&wake}) {
      if (watch.add(done)) wake();  // it has ended already
    }
    work_claim what;
    fence_ref done;
    std::optional<work_result> said;
    callback_registration<waker> watch;
  };

  std::string host;
  remote_timeline line;
  std::unique_ptr<claimed> now;
  work_result last{};  // that was taken
};

members::members(host_link& link, std::int64_t lease_ns, std::function<void()> wake)
    : link_(link), lease_ns_(lease_ns), wake_(std::move(wake)) {}

members::~members() = default;

members::life* members::known(const work_claim& what, const remote_point& at) {
  const life_id id(at.timeline_id, at.epoch);
  if (gone_.contains(id)) return nullptr;
  if (const auto one = all_.find(id); one != all_.end()) return one->second.get();
  auto line = link_.import_point(at, {.find_within_ns = 2 * lease_ns_});
  if (!line) return nullptr;
  auto made = std::make_unique<life>(what.host.substr(0, host_name_max), *std::move(line));
  hosts_.insert(made->host);
  totals_.hosts = hosts_.size();
  ++totals_.workers;
  return all_.emplace(id, std::move(made)).first->second.get();
}

std::optional<verdict> members::claim(const work_claim& what, bool is_free) {
  const auto at = remote_point::parse(what.point);
  if (!at) return verdict::no;
  life* const one = known(what, *at);
  if (one == nullptr) return verdict::fenced;
  if (one->now) {
    const work_claim& has = one->now->what;
    const bool is_same =
        has.number == what.number && has.attempt == what.attempt && has.point == what.point;
    if (is_same) return verdict::yes;
    if (one->now->said) return std::nullopt;
    return verdict::fenced;
  }
  if (!is_free) return verdict::no;
  auto done = one->line.fence_at(*at);
  if (!done) return verdict::fenced;
  one->now = std::make_unique<life::claimed>(what, *std::move(done), wake_);
  return verdict::yes;
}

verdict members::report(work_result what) {
  const auto at = remote_point::parse(what.point);
  const auto found = at ? all_.find({at->timeline_id, at->epoch}) : all_.end();
  const auto is_of = [&what](const auto& other) {
    return other.number == what.number && other.attempt == what.attempt &&
           other.point == what.point;
  };
  if (found != all_.end()) {
    life& one = *found->second;
    if (is_of(one.last)) return verdict::yes;  // its answer was lost
    // The fence decides, not who is faster.
    if (one.now && is_of(one.now->what) && one.now->done->error() == 0) {
      one.now->said = std::move(what);
      return verdict::yes;
    }
  }
  ++totals_.late_results;
  return verdict::fenced;
}

std::vector<ended_claim> members::take_ended() {
  std::vector<ended_claim> ended;
  for (auto at = all_.begin(); at != all_.end();) {
    life& one = *at->second;
    const int error = one.line.error();
    if (one.now && one.now->done->is_signaled()) {
      life::claimed& claim = *one.now;
      const int how = claim.done->error();
      if (how != 0 && how != -ECANCELED) ++totals_.deaths;
      ended.push_back({claim.what.number, claim.what.attempt, claim.what.blocks,
                       how == 0 ? claim.said : std::nullopt, one.host});
      if (how == 0 && claim.said) one.last = *claim.said;
      one.now.reset();
    }
    if (error != 0 && !one.now) {
      gone_.insert(at->first);
      at = all_.erase(at);
    } else {
      ++at;
    }
  }
  return ended;
}

}  // namespace ufence::tool
