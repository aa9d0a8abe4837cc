// The program headers of an object, as the dynamic linker follows them.
#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <string_view>

#include "ufence/module/elf_damage.h"

namespace ufence::detail {
namespace {

constexpr std::uint64_t alignment_max = 1ULL << 30;
// The dynamic linker ends the process where it has no memory for a thread's copy.
constexpr std::uint64_t tls_size_max = 64ULL << 20;
constexpr std::uint64_t tls_alignment_max = 1ULL << 20;

bool is_alignment(std::uint64_t n, std::uint64_t max) noexcept {
  return n <= max && (n == 0 || std::has_single_bit(n));
}

class parts_check {
 public:
  parts_check(byte_source& source, const elf_file& file) noexcept : source_(source), file_(file) {}

  std::string run() {
    for (const auto& [type, name] : single_parts) {
      if (std::ranges::count(file_.parts, type, &Elf64_Phdr::p_type) > 1) {
        return "malformed: several parts of the kind " + std::string(name);
      }
    }
    if (std::string wrong = check_segments(); !wrong.empty()) return wrong;
    for (const Elf64_Phdr& p : file_.parts) {
      if (std::string wrong = check_part(p); !wrong.empty()) return wrong;
    }
    return {};
  }

 private:
  static constexpr std::array<std::pair<Elf64_Word, std::string_view>, 6> single_parts{{
      {PT_DYNAMIC, "PT_DYNAMIC"},
      {PT_PHDR, "PT_PHDR"},
      {PT_TLS, "PT_TLS"},
      {PT_GNU_RELRO, "PT_GNU_RELRO"},
      {PT_GNU_EH_FRAME, "PT_GNU_EH_FRAME"},
      {PT_GNU_STACK, "PT_GNU_STACK"},
  }};

  // Bytes that stand in the file and can be read once it is mapped.
  bool is_there(std::uint64_t address, std::uint64_t size) const noexcept {
    const elf_segment* const home = file_.segment_of(address, size);
    return home != nullptr && home->is_readable && file_.offset_of(address, size).has_value();
  }

  // The kernel maps whole pages: segments that share one would overwrite each other.
  std::string check_segments() const {
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    std::uint64_t mapped_to = 0;
    for (const Elf64_Phdr& p : file_.parts) {
      if (p.p_type != PT_LOAD) continue;
      if (!is_alignment(p.p_align, alignment_max)) return "malformed: a segment's alignment";
      if ((p.p_vaddr - p.p_offset) % page != 0) return "malformed: a segment is not aligned to pages";
      if ((p.p_flags & PF_R) == 0) return "malformed: a segment that can't be read";
      if ((p.p_vaddr & ~(page - 1)) < mapped_to) return "malformed: segments overlap in a page";
      mapped_to = (p.p_vaddr + p.p_memsz + page - 1) & ~(page - 1);
    }
    return {};
  }

  std::string check_part(const Elf64_Phdr& p) {
    switch (p.p_type) {
      case PT_DYNAMIC: return check_dynamic(p);
      case PT_PHDR: return check_headers(p);
      case PT_TLS: return check_tls(p);
      case PT_GNU_RELRO: return check_read_only(p);
      case PT_GNU_EH_FRAME: return check_unwinding(p);
      case PT_NOTE:
      case PT_GNU_PROPERTY:
        if (p.p_memsz != p.p_filesz || file_.offset_of(p.p_vaddr, p.p_filesz) != p.p_offset) {
          return "malformed: notes lie outside of the segments";
        }
        return {};
      default: return {};
    }
  }

  // The dynamic linker writes to it, and reads on until the end mark.
  std::string check_dynamic(const Elf64_Phdr& p) const {
    const elf_segment* const home = file_.segment_of(p.p_vaddr, p.p_filesz);
    if (home == nullptr || !home->is_writable || p.p_vaddr % alignof(Elf64_Dyn) != 0) {
      return "malformed: the dynamic section can't be written to";
    }
    if (file_.offset_of(p.p_vaddr, p.p_filesz) != p.p_offset) {
      return "malformed: the dynamic section is not where its program header says";
    }
    return {};
  }

  std::string check_headers(const Elf64_Phdr& p) const {
    const std::uint64_t size = file_.parts.size() * sizeof(Elf64_Phdr);
    if (p.p_filesz < size || file_.offset_of(p.p_vaddr, size) != file_.header.e_phoff) {
      return "malformed: the program headers are not where they say";
    }
    return {};
  }

  std::string check_tls(const Elf64_Phdr& p) const {
    if (p.p_memsz == 0) return {};
    if (p.p_filesz > p.p_memsz || p.p_memsz > tls_size_max || p.p_align == 0 ||
        !is_alignment(p.p_align, tls_alignment_max)) {
      return "malformed: thread-local storage of an impossible size";
    }
    if (p.p_filesz != 0 && !is_there(p.p_vaddr, p.p_filesz)) {
      return "malformed: the thread-local storage lies outside of the segments";
    }
    return {};
  }

  std::string check_read_only(const Elf64_Phdr& p) const {
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    if (p.p_memsz == 0) return {};
    for (const elf_segment& s : file_.segments) {
      const std::uint64_t end = (s.address + s.memory_size + page - 1) & ~(page - 1);
      if (!s.is_writable || p.p_vaddr < s.address || p.p_vaddr >= end) continue;
      if (p.p_memsz <= end - p.p_vaddr) return {};
    }
    return "malformed: the part to be read-only lies outside of the data";
  }

  // Exceptions follow it, in other modules' hands too.
  std::string check_unwinding(const Elf64_Phdr& p) {
    constexpr std::array<std::byte, 4> usual{std::byte{1}, std::byte{0x1b}, std::byte{0x03},
                                             std::byte{0x3b}};
    struct {
      std::array<std::byte, 4> kinds;
      std::int32_t frames;
      std::uint32_t count;
    } head{};
    const auto at = file_.offset_of(p.p_vaddr, p.p_filesz);
    if (!at || *at != p.p_offset || p.p_filesz < 8 ||
        !source_.read(*at, std::as_writable_bytes(std::span(&head, 1)).first(
                               std::min<std::size_t>(sizeof head, p.p_filesz)))) {
      return "malformed: the table of frames lies outside of the segments";
    }
    if (head.kinds[0] != usual[0]) return "malformed: a table of frames of an unknown kind";
    if (head.kinds != usual) return {};
    const std::uint64_t frames = p.p_vaddr + 4 + static_cast<std::uint64_t>(std::int64_t{head.frames});
    const bool is_whole = p.p_filesz >= sizeof head && head.count <= (p.p_filesz - sizeof head) / 8;
    if (!is_there(frames, 0) || !is_whole) {
      return "malformed: the table of frames reaches outside of the segments";
    }
    return {};
  }

  byte_source& source_;
  const elf_file& file_;
};

}  // namespace

std::string find_damaged_parts(byte_source& source, const elf_file& file) {
  return parts_check(source, file).run();
}

}  // namespace ufence::detail
