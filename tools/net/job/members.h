// The workers of a job as its run sees them: each life of one by its timeline, and what it claimed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tools/net/job/wire.h"
#include "ufence/fence/callback_registration.h"
#include "ufence/fence/fence.h"
#include "ufence/net/host_link.h"

namespace ufence::tool {

/// The facts that the job tells of its workers.
struct member_totals {
  std::uint64_t hosts = 0;    // by name
  std::uint64_t workers = 0;  // lives of them
  std::uint64_t deaths = 0;   // that ended with an item that they owed, and without a word
  std::uint64_t late_results = 0;
};

/// The fate of a claim.
struct ended_claim {
  std::uint64_t number, attempt;
  std::uint64_t blocks;                // where it awaited them; 0: nowhere
  std::optional<work_result> outcome;  // nothing: to be handed out again
  std::string host;
};

/// Threads: one. When something may have ended, it calls wake() on any thread.
class members {
 public:
  members(host_link& link, std::int64_t lease_ns, std::function<void()> wake);
  ~members();
  members(const members&) = delete;
  members& operator=(const members&) = delete;

  /// The claim is the worker's from now on, unless it is to be refused. Asked twice: the same
  /// answer.
  /// @param is_free  the item waits for somebody
  /// @return  nothing: it has reported the item before, whose point is still on its way; ask again
  ///          after wake()
  [[nodiscard]] std::optional<verdict> claim(const work_claim& what, bool is_free);
  /// Is this the answer to a claim that still stands?
  [[nodiscard]] verdict report(work_result what);
  /// Those that have ended since the last call.
  [[nodiscard]] std::vector<ended_claim> take_ended();
  [[nodiscard]] const member_totals& totals() const { return totals_; }
  [[nodiscard]] std::size_t alive() const { return all_.size(); }

 private:
  struct life;
  // Which timeline, which epoch of it.
  using life_id = std::pair<std::uint64_t, std::uint64_t>;

  [[nodiscard]] life* known(const work_claim& what, const remote_point& at);

  host_link& link_;
  const std::int64_t lease_ns_;
  const std::function<void()> wake_;
  std::map<life_id, std::unique_ptr<life>> all_;
  std::set<life_id> gone_;
  std::set<std::string> hosts_;
  member_totals totals_;
};

}  // namespace ufence::tool
