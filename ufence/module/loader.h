// Maps driver modules and unmaps them, and says truthfully whether they are gone.
//
// A file is loaded at most once in the process, however many hosts load it. A newer build that was renamed over
// an older one is another file: it loads while the older one is still mapped.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "ufence/driver.h"
#include "ufence/module/companions.h"
#include "ufence/module/inspect.h"
#include "ufence/module/maps.h"

namespace ufence {

/// Why a module was not loaded.
struct load_failure {
  int error = 0;    // a positive errno; see host::load()
  std::string why;  // one line for people
};

/// The fate of a module's mapping.
enum class mapping : std::uint8_t {
  mapped,    // it was not asked to go yet
  pinned,    // something else than its loader holds it
  deferred,  // destructors of its thread_local objects are still to run
  unmapped,  // verified
};

namespace detail {
struct module_record;
}

/// A module in memory. Threads: one at a time per object.
class loaded_module {
 public:
  /// Checks the file, maps it, runs its constructors, validates its tables. Nothing is left mapped
  /// after a failure, if the dynamic linker can help it.
  /// @param private_copy  maps a copy in memory that nobody can change
  /// Threads: any. Blocks: while the file is read and constructors run. Allocates: may throw
  /// std::bad_alloc.
  [[nodiscard]] static std::expected<std::unique_ptr<loaded_module>, load_failure> load(
      const std::string& path, bool private_copy = false);

  loaded_module(const loaded_module&) = delete;
  loaded_module& operator=(const loaded_module&) = delete;
  /// Unmaps it, if it was not asked to go and has left nothing registered. What stays mapped stays known: its
  /// file is not loaded twice.
  ~loaded_module();

  /// The validated table; while mapped.
  [[nodiscard]] const ufence_driver& driver() const noexcept { return *driver_; }
  [[nodiscard]] const std::string& path() const noexcept { return info_.path; }
  [[nodiscard]] const module_info& info() const noexcept { return info_; }
  /// Where it lies, or lay.
  [[nodiscard]] detail::address_range range() const noexcept { return range_; }

  /// Asks for its unmapping and looks what happened. Again: looks again, and reminds the dynamic linker
  /// of a deferred one. No thread is inside, or returns to it.
  /// Blocks: while destructors of its static objects run.
  [[nodiscard]] mapping unload();
  [[nodiscard]] mapping state() const noexcept { return state_; }
  /// The reason that keeps it mapped, for people; empty if nothing does.
  /// Allocates: may throw std::bad_alloc.
  [[nodiscard]] std::string why_mapped() const;

  /// The notes of its load, for people: warnings about its file, and libraries that came with it.
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }
  /// Libraries that came with it and stay mapped, each with the reason and its size.
  /// Allocates: may throw std::bad_alloc.
  [[nodiscard]] std::vector<std::string> kept() const;
  /// Was the file written to since it was loaded? Its code may not be what was checked then.
  [[nodiscard]] bool was_changed_in_place() const noexcept;
  /// Does it run code at the end of the process: destructors of its static objects?
  [[nodiscard]] bool has_static_objects() const noexcept { return has_static_objects_; }
  /// Says what became of an unload that has not unmapped it, for those that load its file again.
  void tell_of_unload(std::string text) noexcept;
  /// Keeps what the module has opened itself, where that would not survive its closing. Before stop().
  /// Allocates: may throw std::bad_alloc.
  void keep_what_it_opened();
  /// The things that the module has left registered in the process, by name and address, and threads that run in it: a
  /// sentence for each, with its rule. Keeps libraries that came with it and have left something. After exit(), before unload().
  /// Allocates: may throw std::bad_alloc.
  [[nodiscard]] std::vector<std::string> left_behind();

 private:
  loaded_module() = default;
  bool leaves_nothing() noexcept;

  void* handle_ = nullptr;
  const ufence_driver* driver_ = nullptr;
  module_info info_;
  detail::address_range range_;
  detail::module_record* record_ = nullptr;  // the process-wide list owns it
  std::vector<detail::companion> companions_;
  std::vector<std::uintptr_t> others_;  // where objects lay when it came; empty: it opens none
  std::vector<std::string> notes_;
  bool has_static_objects_ = false;
  bool sets_signals_ = false;
  bool leaves_in_c_library_ = false;
  bool registers_conversions_ = false;
  bool may_start_threads_ = false;  // that its imports do not tell
  int look_error_ = 0;  // why the mappings could not be looked at
  mapping state_ = mapping::mapped;
};

/// Reserved, inaccessible address ranges of modules that were unmapped: in builds with debug checks a
/// late call into one always faults. For tests.
[[nodiscard]] bool is_reserved_for_test(detail::address_range range);

}  // namespace ufence
