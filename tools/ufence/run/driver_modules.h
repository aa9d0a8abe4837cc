// The driver modules of a run: where they are, loading and unloading them, what became of each
// unload.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tools/ufence/run/instance.h"
#include "ufence/issuer/host.h"

namespace ufence::tool {

/// @param option  --driver-path, or empty
/// @return  the option, or $UFENCE_DRIVER_PATH, or lib/ufence/drivers beside the program's folder
[[nodiscard]] std::string driver_directory(const std::string& option);

/// Sums over all instances. Each unload counts once, by its state in the end.
struct module_totals {
  std::uint64_t loads = 0, unloads = 0;
  std::uint64_t unmapped = 0, deferred = 0, pinned = 0;
  std::uint64_t fences_outliving = 0;  // referred to when their module was unmapped
  std::uint64_t retired_by_settlement = 0, retired_by_last_op = 0;
  std::vector<std::int64_t> unload_ns;
  std::vector<std::string> pins;  // what kept modules mapped, with their names
};

/// Threads: any; one at a time for each driver.
class driver_modules {
 public:
  /// @param copies  loads copies of the files, which may change, and be loaded again, meanwhile
  driver_modules(std::string directory, unsigned workers, bool copies = false);

  [[nodiscard]] const std::string& directory() const { return directory_; }

  /// Loads a module and sets its workers up.
  /// @return  or a line for people
  [[nodiscard]] std::expected<std::unique_ptr<instance>, std::string> load(driver d);

  /// Unloads it, and again as long as something keeps it mapped, to make place for another one.
  /// @return  false: given up, it is not accounted for yet
  [[nodiscard]] bool unload_for_reload(instance& i, unload_policy policy);

  /// The same, for the last time: true if it is unmapped. Else the instance must stay.
  bool unload_for_good(instance& i, unload_policy policy);

  /// Call it when nothing is loaded or unloaded any more.
  [[nodiscard]] const module_totals& totals() const { return totals_; }

 private:
  [[nodiscard]] std::expected<void, std::string> configure(instance& i);
  [[nodiscard]] unload_report unload(instance& i, unload_policy policy, std::int64_t drain_ns,
                                     std::int64_t give_up_ns);
  void account(instance& i, const unload_report& how);

  const std::string directory_;
  const unsigned workers_;
  const bool copies_;
  host host_;
  std::mutex mutex_;  // guards totals_ while a reloader runs
  module_totals totals_;
};

}  // namespace ufence::tool
