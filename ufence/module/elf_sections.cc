// The section headers of an object, which the dynamic linker does not use: where the file has them,
// they say once more where everything lies, and a damaged program header or tag is told by it.
#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "ufence/module/elf_damage.h"

namespace ufence::detail {
namespace {

struct range {
  std::uint64_t begin = 0, end = 0;
};

class sections_check {
 public:
  sections_check(byte_source& source, const elf_file& file, elf_role role) noexcept
      : source_(source), file_(file), role_(role) {}

  std::string run() {
    if (!read()) return {};
    for (const Elf64_Shdr& s : sections_) {
      if (std::string wrong = check_home(s); !wrong.empty()) return wrong;
    }
    if (std::string wrong = check_tls(); !wrong.empty()) return wrong;
    if (std::string wrong = check_tags(); !wrong.empty()) return wrong;
    return check_relocations();
  }

 private:
  // False if the file has none, or not all of them: nothing is known then.
  bool read() {
    const Elf64_Ehdr& h = file_.header;
    if (h.e_shoff == 0 || h.e_shnum == 0 || h.e_shentsize != sizeof(Elf64_Shdr)) return false;
    if (h.e_shstrndx >= h.e_shnum) return false;
    auto all = read_things<Elf64_Shdr>(source_, h.e_shoff, h.e_shnum);
    if (!all) return false;
    const Elf64_Shdr& names = (*all)[h.e_shstrndx];
    constexpr std::uint64_t names_max = 1 << 20;
    if (names.sh_type != SHT_STRTAB || names.sh_size > names_max) return false;
    auto text = read_things<char>(source_, names.sh_offset, names.sh_size);
    if (!text) return false;
    names_ = std::move(*text);
    names_.push_back('\0');
    for (const Elf64_Shdr& s : *all) {
      if ((s.sh_flags & SHF_ALLOC) != 0 && s.sh_size != 0) sections_.push_back(s);
    }
    return true;
  }

  std::string_view name_of(const Elf64_Shdr& s) const noexcept {
    return s.sh_name < names_.size() ? std::string_view(names_.data() + s.sh_name) : "?";
  }
  std::string misplaced(const Elf64_Shdr& s) const {
    return "malformed: section " + std::string(name_of(s)) + " is not where a segment has it";
  }

  std::string check_home(const Elf64_Shdr& s) const {
    const bool has_bytes = s.sh_type != SHT_NOBITS;
    if ((s.sh_flags & SHF_TLS) != 0 && !has_bytes) return {};  // takes no memory of the object
    const elf_segment* const home = file_.segment_of(s.sh_addr, s.sh_size);
    if (home == nullptr || ((s.sh_flags & SHF_WRITE) != 0 && !home->is_writable) ||
        ((s.sh_flags & SHF_EXECINSTR) != 0 && !home->is_executable)) {
      return misplaced(s);
    }
    if (has_bytes && file_.offset_of(s.sh_addr, s.sh_size) != s.sh_offset) return misplaced(s);
    if (!has_bytes && s.sh_addr < home->address + home->file_size) return misplaced(s);
    const std::string_view name = name_of(s);
    const bool stays_writable =
        name == ".data" || name == ".bss" ||
        (name.starts_with(".data.") && !name.starts_with(".data.rel.ro"));
    // Whole pages become read-only: the one that it begins in, and not the one that it ends in.
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    if (stays_writable && s.sh_addr < (file_.read_only_end & ~(page - 1)) &&
        s.sh_addr + s.sh_size > (file_.read_only_begin & ~(page - 1))) {
      return "malformed: section " + std::string(name) + " would be read-only";
    }
    return {};
  }

  std::string check_tls() const {
    range sections{.begin = UINT64_MAX};
    std::uint64_t image_end = 0;
    for (const Elf64_Shdr& s : sections_) {
      if ((s.sh_flags & SHF_TLS) == 0) continue;
      sections.begin = std::min<std::uint64_t>(sections.begin, s.sh_addr);
      sections.end = std::max<std::uint64_t>(sections.end, s.sh_addr + s.sh_size);
      if (s.sh_type != SHT_NOBITS) image_end = std::max<std::uint64_t>(image_end, s.sh_addr + s.sh_size);
    }
    if (sections.end == 0) return {};
    const auto part = std::ranges::find(file_.parts, Elf64_Word{PT_TLS}, &Elf64_Phdr::p_type);
    if (part == file_.parts.end() || part->p_vaddr != sections.begin ||
        part->p_memsz < sections.end - sections.begin ||
        (image_end != 0 && part->p_filesz < image_end - sections.begin)) {
      return "malformed: the thread-local storage is not where its sections are";
    }
    return {};
  }

  const Elf64_Shdr* find(Elf64_Word type) const noexcept {
    const auto found = std::ranges::find(sections_, type, &Elf64_Shdr::sh_type);
    return found != sections_.end() ? &*found : nullptr;
  }

  // Each of these sections is what its tags say, and is not forgotten.
  std::string check_tags() const {
    struct pair {
      Elf64_Word type;
      Elf64_Sxword at, size;
      std::string_view name;
    };
    static constexpr std::array<pair, 8> pairs{{
        {SHT_DYNSYM, DT_SYMTAB, 0, "symbol table"},
        {SHT_GNU_HASH, DT_GNU_HASH, 0, "hash table"},
        {SHT_HASH, DT_HASH, 0, "hash table"},
        {SHT_GNU_versym, DT_VERSYM, 0, "table of versions"},
        {SHT_GNU_verneed, DT_VERNEED, 0, "table of wanted versions"},
        {SHT_GNU_verdef, DT_VERDEF, 0, "table of defined versions"},
        {SHT_INIT_ARRAY, DT_INIT_ARRAY, DT_INIT_ARRAYSZ, "table of constructors"},
        {SHT_FINI_ARRAY, DT_FINI_ARRAY, DT_FINI_ARRAYSZ, "table of destructors"},
    }};
    for (const pair& p : pairs) {
      const Elf64_Shdr* const s = find(p.type);
      if (s == nullptr) continue;
      if (file_.tag(p.at) != s->sh_addr || (p.size != 0 && file_.tag(p.size) != s->sh_size)) {
        return "malformed: the " + std::string(p.name) + " is not where its section is";
      }
    }
    for (const Elf64_Shdr& s : sections_) {
      if (name_of(s) == ".dynstr" &&
          (file_.tag(DT_STRTAB) != s.sh_addr || file_.tag(DT_STRSZ) != s.sh_size)) {
        return "malformed: the string table is not where its section is";
      }
      if (name_of(s) == ".init" && !is_function(DT_INIT, s)) return misplaced(s);
      if (name_of(s) == ".fini" && !is_function(DT_FINI, s)) return misplaced(s);
      if (s.sh_type == SHT_DYNAMIC && !is_dynamic(s)) return misplaced(s);
    }
    return {};
  }

  bool is_dynamic(const Elf64_Shdr& s) const noexcept {
    const auto part = std::ranges::find(file_.parts, Elf64_Word{PT_DYNAMIC}, &Elf64_Phdr::p_type);
    return part->p_vaddr == s.sh_addr && part->p_filesz == s.sh_size;
  }

  // The code that runs first, or last: the section's code, or a function that the linker was told; in a library
  // this may be one without a symbol.
  bool is_function(Elf64_Sxword tag, const Elf64_Shdr& usual) const noexcept {
    const auto at = file_.tag(tag);
    if (!at) return false;
    return role_ == elf_role::library || *at == usual.sh_addr ||
           std::ranges::any_of(file_.symbols, [&](const elf_symbol& s) {
             return s.is_defined && s.type == STT_FUNC && s.value == *at;
           });
  }

  // All relocations are told by tags, or the object would run with addresses that nobody adjusted.
  std::string check_relocations() const {
    std::uint64_t in_sections = 0, in_relative = 0;
    for (const Elf64_Shdr& s : sections_) {
      if (s.sh_type == SHT_RELA) in_sections += s.sh_size;
      if (s.sh_type == SHT_RELR) in_relative += s.sh_size;
      if (s.sh_type == SHT_RELA && !is_relocation(s)) return misplaced(s);
      if (s.sh_type == SHT_RELR && file_.tag(DT_RELR) != s.sh_addr) return misplaced(s);
    }
    const range all = table(DT_RELA, DT_RELASZ), late = table(DT_JMPREL, DT_PLTRELSZ);
    const bool is_inside = late.begin >= all.begin && late.end <= all.end;
    const std::uint64_t told =
        all.end - all.begin + (is_inside && all.end != 0 ? 0 : late.end - late.begin);
    if (told != in_sections || file_.tag(DT_RELRSZ).value_or(0) != in_relative) {
      return "malformed: the relocations are not what their sections say";
    }
    return {};
  }
  range table(Elf64_Sxword at, Elf64_Sxword size) const noexcept {
    const std::uint64_t begin = file_.tag(at).value_or(0);
    return {.begin = begin, .end = begin + file_.tag(size).value_or(0)};
  }
  bool is_relocation(const Elf64_Shdr& s) const noexcept {
    const auto holds = [&s](range r) {
      return s.sh_addr >= r.begin && s.sh_addr + s.sh_size <= r.end;
    };
    return holds(table(DT_RELA, DT_RELASZ)) || holds(table(DT_JMPREL, DT_PLTRELSZ));
  }

  byte_source& source_;
  const elf_file& file_;
  const elf_role role_;
  std::vector<Elf64_Shdr> sections_;  // those that take memory
  std::vector<char> names_;
};

}  // namespace

std::string find_damaged_sections(byte_source& source, const elf_file& file, elf_role role) {
  return sections_check(source, file, role).run();
}

}  // namespace ufence::detail
