// The libraries that are loaded with a module: which they are, which of them must never be unmapped,
// and which are of an older build than their files.
//
// A library with threads of its own, or with values of threads, does not survive its unmapping. The
// first load that brings such a one takes a reference to it, for good: one for each library, however
// often modules that need it come and go. What the program itself was linked with never goes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ufence/module/inspect.h"
#include "ufence/module/maps.h"

namespace ufence::detail {

/// A library that lies in the process because a module needs it, and not since its start.
struct companion {
  std::string name;  // its soname, or its file's name
  std::string path;  // as the dynamic linker has it
  std::string kept;  // why it stays mapped for good; empty: it goes with the last that needs it
  bool stays = false;  // it is kept, or marked as one that is never unmapped
  std::uint64_t memory_size = 0;
  address_range range;

  [[nodiscard]] std::string to_text() const;
};

/// The findings at the load of a module.
struct companions_found {
  std::vector<companion> all;
  std::vector<std::string> notes;  // for people: libraries kept since this load; files that changed
};

/// The memory that a library that stays for as long as the process may write to.
struct static_data {
  std::string name;
  std::uintptr_t base = 0;
  std::vector<address_range> parts;
};

/// Of the libraries with these names and what they need, but for those that are left out; nothing if one is
/// not known to stay.
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::optional<std::vector<static_data>> data_that_stays(
    const std::vector<std::string>& needed, bool (*leaves_out)(std::string_view name) noexcept);

/// The libraries that are in the process, with all that they need, at the first question.
class libraries_here {
 public:
  /// Allocates: may throw std::bad_alloc.
  [[nodiscard]] bool has(const std::string& name) const;

 private:
  mutable std::vector<std::string> names_;  // those that came after the start of the process
  mutable bool has_looked_ = false;
};

/// Looks at what came with an object that needs these libraries, and keeps what must stay.
/// Not with the dynamic linker's lock held. Allocates: may throw std::bad_alloc.
[[nodiscard]] companions_found find_companions(const std::vector<std::string>& needed);

/// Where objects lie in the process.
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::vector<std::uintptr_t> bases_now();

/// Looks at what has come since, but for the object at that range and driver modules, and keeps what must
/// stay: those that it returns.
/// @param before  what bases_now() said
/// Not with the dynamic linker's lock held. Allocates: may throw std::bad_alloc.
[[nodiscard]] std::vector<companion> find_opened(const std::vector<std::uintptr_t>& before,
                                                 address_range but);

/// Keeps a library for a reason that was found later.
/// Allocates: may throw std::bad_alloc.
void keep_companion(companion& c, std::string reason);

/// Those of a list that are mapped still.
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::vector<std::string> still_there(const std::vector<companion>& list);

/// Objects with static thread-local storage that came after the start of the process: "name (bytes)".
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::vector<std::string> holders_of_static_tls();

}  // namespace ufence::detail
