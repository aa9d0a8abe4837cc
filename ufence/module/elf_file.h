// A reader of ELF shared objects that trusts nothing: every offset and size is checked against the
// file before it is used, and no allocation is larger than the file.
//
// It reads what the dynamic linker would use (program headers, dynamic section, dynamic symbols,
// notes), never section headers, which a stripped file may lack.
#pragma once

#include <elf.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
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

/// A file that is open; borrows the descriptor. Keeps the beginning of the file: all of a small one.
class fd_source final : public byte_source {
 public:
  /// Allocates: may throw std::bad_alloc.
  fd_source(int fd, std::uint64_t size);
  [[nodiscard]] std::uint64_t size() const noexcept override { return size_; }
  [[nodiscard]] bool read(std::uint64_t offset, std::span<std::byte> into) noexcept override;

 private:
  [[nodiscard]] bool read_file(std::uint64_t offset, std::span<std::byte> into) const noexcept;

  int fd_;
  std::uint64_t size_;
  std::unique_ptr<std::byte[]> beginning_;
  std::size_t kept_ = 0;
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
  bool is_absolute = false;     // a value, not an address
};

/// One loadable part of the file.
struct elf_segment {
  std::uint64_t address = 0;
  std::uint64_t offset = 0;
  std::uint64_t file_size = 0;
  std::uint64_t memory_size = 0;
  bool is_readable = false;
  bool is_writable = false;
  bool is_executable = false;

  [[nodiscard]] bool contains(std::uint64_t at, std::uint64_t size) const noexcept {
    return at >= address && at - address <= memory_size && size <= memory_size - (at - address);
  }
};

/// The parts that were read. Symbols point into `strings`: not copyable, but movable (a vector keeps its block).
struct elf_file {
  elf_file() = default;
  elf_file(elf_file&&) = default;
  elf_file& operator=(elf_file&&) = default;

  Elf64_Ehdr header{};
  std::vector<Elf64_Phdr> parts;      // the program headers
  std::vector<Elf64_Dyn> dynamic;     // the dynamic section up to its end mark
  std::vector<elf_segment> segments;  // by rising address, at least one
  std::vector<elf_note> notes;
  std::vector<char> strings;          // of the dynamic section; ends with NUL
  std::vector<elf_symbol> symbols;    // the dynamic ones
  std::vector<std::string> needed;
  std::string soname;
  std::string run_path;               // DT_RUNPATH or, without one, DT_RPATH
  bool has_run_path = false;          // it is DT_RUNPATH's: of no meaning for what libraries need
  std::uint64_t tls_size = 0;         // PT_TLS
  bool wants_executable_stack = false;
  std::uint64_t flags = 0;            // DT_FLAGS
  std::uint64_t flags_1 = 0;          // DT_FLAGS_1
  std::uint64_t read_only_begin = 0;  // PT_GNU_RELRO: read-only once it is relocated
  std::uint64_t read_only_end = 0;

  /// The memory that the object takes, relative to its load address.
  [[nodiscard]] std::uint64_t span_begin() const noexcept { return segments.front().address; }
  [[nodiscard]] std::uint64_t span_end() const noexcept {
    return segments.back().address + segments.back().memory_size;
  }
  /// The value of a dynamic tag, the last one as the dynamic linker takes it; or nothing.
  [[nodiscard]] std::optional<std::uint64_t> tag(Elf64_Sxword wanted) const noexcept;
  /// To be called once `dynamic` is there.
  void index_tags() noexcept;
  /// The file offset of `size` bytes at an address of the loaded object, or nothing.
  [[nodiscard]] std::optional<std::uint64_t> offset_of(std::uint64_t address,
                                                       std::uint64_t size) const noexcept;
  /// How many bytes of the file follow an address in its segment.
  [[nodiscard]] std::uint64_t bytes_from(std::uint64_t address) const noexcept;
  /// The segment that has all of these bytes, or nullptr.
  [[nodiscard]] const elf_segment* segment_of(std::uint64_t address,
                                              std::uint64_t size) const noexcept;

 private:
  // By tag: those that the standard numbers, which are asked for again and again.
  std::array<std::optional<std::uint64_t>, 40> small_tags_{};
};

/// The most that the tables of a file may have: beyond, it is damaged, or made to take memory.
inline constexpr std::uint64_t elf_strings_max = 64ULL << 20;
inline constexpr std::uint64_t elf_symbols_max = 1ULL << 20;
inline constexpr std::uint64_t elf_relocations_max = 4ULL << 20;
inline constexpr std::uint64_t elf_dynamic_max = 4096;

/// Has an object with that header the processor, the word size and the byte order of this one?
[[nodiscard]] bool is_for_this_machine(const Elf64_Ehdr& header) noexcept;

/// Reads a shared object for this machine.
/// @return  the file; or one line for people that says why it is none
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::expected<elf_file, std::string> read_elf(byte_source& source);

}  // namespace ufence::detail
