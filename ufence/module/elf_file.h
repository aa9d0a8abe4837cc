// A reader of ELF shared objects that trusts nothing: every offset and size is checked against the
// file before it is used, and no allocation is larger than the file.
//
// It reads what the dynamic linker would use (program headers, dynamic section, dynamic symbols,
// notes), never section headers, which a stripped file may lack.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ufence::detail {

/// Where the bytes of a file come from. Threads: one at a time.
class byte_source {
 public:
  virtual ~byte_source() = default;
  [[nodiscard]] virtual std::uint64_t size() const noexcept = 0;
  /// Fills `into` from that offset; false if the file ends before, or can't be read.
  [[nodiscard]] virtual bool read(std::uint64_t offset, std::span<std::byte> into) noexcept = 0;
};

/// A file that is open; borrows the descriptor. Keeps the beginning of the file, where almost all lies
/// that is looked at.
class fd_source final : public byte_source {
 public:
  fd_source(int fd, std::uint64_t size) noexcept;
  [[nodiscard]] std::uint64_t size() const noexcept override { return size_; }
  [[nodiscard]] bool read(std::uint64_t offset, std::span<std::byte> into) noexcept override;

 private:
  [[nodiscard]] bool read_file(std::uint64_t offset, std::span<std::byte> into) const noexcept;

  int fd_;
  std::uint64_t size_;
  std::array<std::byte, 4096> beginning_;
  std::size_t kept_ = 0;  // bytes of it
};

/// Bytes in memory.
class memory_source final : public byte_source {
 public:
  explicit memory_source(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}
  [[nodiscard]] std::uint64_t size() const noexcept override { return bytes_.size(); }
  [[nodiscard]] bool read(std::uint64_t offset, std::span<std::byte> into) noexcept override;

 private:
  std::span<const std::byte> bytes_;
};

struct elf_note {
  std::string name;
  std::uint32_t type = 0;
  std::vector<std::byte> description;
};

struct elf_symbol {
  std::string_view name;  // into elf_file::strings
  std::uint64_t value = 0;
  std::uint64_t size = 0;
  std::uint8_t bind = 0;        // STB_*
  std::uint8_t type = 0;        // STT_*
  std::uint8_t visibility = 0;  // STV_*
  bool is_defined = false;
};

/// One loadable part of the file.
struct elf_segment {
  std::uint64_t address = 0;
  std::uint64_t offset = 0;
  std::uint64_t file_size = 0;
  std::uint64_t memory_size = 0;
  bool is_writable = false;
};

/// What was read. Symbols point into `strings`: not copyable, but movable (a vector keeps its block).
struct elf_file {
  elf_file() = default;
  elf_file(elf_file&&) = default;
  elf_file& operator=(elf_file&&) = default;

  std::vector<elf_segment> segments;  // by rising address, at least one
  std::vector<elf_note> notes;
  std::vector<char> strings;          // of the dynamic section; ends with NUL
  std::vector<elf_symbol> symbols;    // the dynamic ones
  std::vector<std::string> needed;
  std::string soname;
  std::uint64_t flags = 0;            // DT_FLAGS
  std::uint64_t flags_1 = 0;          // DT_FLAGS_1
  std::uint64_t read_only_begin = 0;  // PT_GNU_RELRO: read-only once it is relocated
  std::uint64_t read_only_end = 0;

  /// The memory that the object takes, relative to its load address.
  [[nodiscard]] std::uint64_t span_begin() const noexcept { return segments.front().address; }
  [[nodiscard]] std::uint64_t span_end() const noexcept {
    return segments.back().address + segments.back().memory_size;
  }
};

/// Reads a shared object for this machine.
/// @return  the file; or one line for people that says why it is none
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::expected<elf_file, std::string> read_elf(byte_source& source);

}  // namespace ufence::detail
