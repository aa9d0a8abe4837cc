// The memory of a process that is looked at from outside, or what a core file has of it. Nothing of the process
// is stopped or changed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "ufence/debug/process_facts.h"
#include "ufence/debug/snapshot.h"

namespace ufence::tool {

/// A file that is mapped, or a part of it.
struct mapped_part {
  std::string path;
  std::uint64_t begin = 0, end = 0;  // addresses
  std::uint64_t offset = 0;          // in the file
};

/// Bytes that were copied of an object in a target.
class copied {
 public:
  copied(std::uint64_t at, std::vector<std::byte> bytes) : at_(at), bytes_(std::move(bytes)) {}
  [[nodiscard]] std::uint64_t address() const noexcept { return at_; }
  /// The member at an offset, of which the whole was copied; else zeros.
  template <class T>
  [[nodiscard]] T get(std::uint32_t offset) const noexcept {
    T value{};
    if (offset + sizeof value <= bytes_.size()) {
      std::memcpy(static_cast<void*>(&value), bytes_.data() + offset, sizeof value);
    }
    return value;
  }
  [[nodiscard]] std::uint64_t word(std::uint32_t offset) const noexcept {
    return get<std::uint64_t>(offset);
  }
  bool operator==(const copied&) const = default;

 private:
  std::uint64_t at_;
  std::vector<std::byte> bytes_;
};

class target {
 public:
  virtual ~target() = default;
  target(const target&) = delete;
  target& operator=(const target&) = delete;

  /// @return  how many bytes could be read, from the first one on
  [[nodiscard]] virtual std::size_t read(std::uint64_t address, std::span<std::byte> to) const = 0;
  /// Of a thread; empty: unknown.
  [[nodiscard]] virtual std::string thread_name(std::int64_t id) const = 0;

  /// Where the stacks of its threads have come to, as far as that is known.
  [[nodiscard]] virtual std::vector<debug::thread_stack> stacks() const = 0;
  /// The memory around an address.
  [[nodiscard]] virtual debug::memory_region region_of(std::uint64_t address) const = 0;

  [[nodiscard]] std::int64_t process() const noexcept { return process_; }
  [[nodiscard]] const std::string& program() const noexcept { return program_; }
  /// Does it go on, so that what is read may change meanwhile?
  [[nodiscard]] bool is_live() const noexcept { return is_live_; }
  [[nodiscard]] const std::vector<mapped_part>& parts() const noexcept { return parts_; }

  template <class T>
  [[nodiscard]] std::optional<T> get(std::uint64_t address) const {
    T value{};
    const auto bytes = std::as_writable_bytes(std::span(&value, 1));
    if (read(address, bytes) != sizeof value) return {};
    return value;
  }
  [[nodiscard]] std::optional<copied> copy(std::uint64_t address, std::size_t size) const;
  [[nodiscard]] std::string text(std::uint64_t address, std::size_t size) const;

 protected:
  explicit target(bool is_live) noexcept : is_live_(is_live) {}
  std::int64_t process_ = 0;
  std::string program_;
  std::vector<mapped_part> parts_;

 private:
  const bool is_live_;
};

/// The target, or why there is none, for people.
using opened_target = std::variant<std::unique_ptr<target>, std::string>;
/// A process: the process that looks needs the right to trace it (ptrace(2), PTRACE_MODE_ATTACH_REALCREDS).
[[nodiscard]] opened_target open_process(std::int64_t process);
[[nodiscard]] opened_target open_core(const std::string& path);

/// The programs and libraries of a target.
class target_modules {
 public:
  explicit target_modules(const target& of);

  struct module {
    std::string path, build_id;
    std::uint64_t base = 0, begin = 0, end = 0;
    std::uint64_t code_begin = 0, code_end = 0;
    bool is_below = false;  // of libufence, or of the C and C++ libraries
  };
  /// Of libufence's note: the address of the layout, and the version and size that it states.
  struct found_layout {
    std::string path;
    std::uint64_t address = 0;
    std::uint32_t version = 0, size = 0;
  };
  [[nodiscard]] const std::optional<found_layout>& layout() const noexcept { return layout_; }
  [[nodiscard]] debug::code_place place_of(std::uint64_t address) const;
  /// Where the thread with this stack called the library.
  [[nodiscard]] debug::code_place caller_above(std::uint64_t stack) const;

 private:
  void add(const mapped_part& first);
  void look_at_notes(module& m, std::uint64_t begin, std::uint64_t size);
  [[nodiscard]] const module* find(std::uint64_t address) const noexcept;
  [[nodiscard]] bool is_behind_call(std::uint64_t address) const;

  const target& of_;
  std::vector<module> modules_;  // by address
  std::optional<found_layout> layout_;
};

}  // namespace ufence::tool
