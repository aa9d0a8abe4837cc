// Relocations, constructors and destructors of an object: where the dynamic linker would write, and
// what it would call.
#include <elf.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "ufence/module/elf_damage.h"

namespace ufence::detail {
namespace {

// The effect of a relocation, whatever the processor calls it.
enum class kind : std::uint8_t { unknown, none, relative, absolute, tls, chosen };

#if defined(__x86_64__)
kind kind_of(std::uint64_t type) noexcept {
  switch (type) {
    case R_X86_64_NONE: return kind::none;
    case R_X86_64_RELATIVE:
    case R_X86_64_RELATIVE64: return kind::relative;
    case R_X86_64_64:
    case R_X86_64_GLOB_DAT:
    case R_X86_64_JUMP_SLOT:
    case R_X86_64_SIZE64: return kind::absolute;
    case R_X86_64_32:
    case R_X86_64_PC32:
    case R_X86_64_SIZE32: return kind::absolute;
    case R_X86_64_DTPMOD64:
    case R_X86_64_DTPOFF64:
    case R_X86_64_TPOFF64:
    case R_X86_64_TLSDESC: return kind::tls;
    case R_X86_64_IRELATIVE: return kind::chosen;
    default: return kind::unknown;
  }
}
#elif defined(__aarch64__)
kind kind_of(std::uint64_t type) noexcept {
  switch (type) {
    case R_AARCH64_NONE: return kind::none;
    case R_AARCH64_RELATIVE: return kind::relative;
    case R_AARCH64_ABS64:
    case R_AARCH64_GLOB_DAT:
    case R_AARCH64_JUMP_SLOT: return kind::absolute;
    case R_AARCH64_TLS_DTPMOD:
    case R_AARCH64_TLS_DTPREL:
    case R_AARCH64_TLS_TPREL:
    case R_AARCH64_TLSDESC: return kind::tls;
    case R_AARCH64_IRELATIVE: return kind::chosen;
    default: return kind::unknown;
  }
}
#else
kind kind_of(std::uint64_t type) noexcept {
  switch (type) {
    case R_RISCV_NONE: return kind::none;
    case R_RISCV_RELATIVE: return kind::relative;
    case R_RISCV_64:
    case R_RISCV_JUMP_SLOT: return kind::absolute;
    case R_RISCV_TLS_DTPMOD64:
    case R_RISCV_TLS_DTPREL64:
    case R_RISCV_TLS_TPREL64: return kind::tls;
    case R_RISCV_IRELATIVE: return kind::chosen;
    default: return kind::unknown;
  }
}
#endif

constexpr std::uint64_t word = sizeof(Elf64_Addr);

class relocations_check {
 public:
  relocations_check(byte_source& source, const elf_file& file)
      : source_(source),
        file_(file),
        writes_to_code_(file.tag(DT_TEXTREL).has_value() || (file.flags & DF_TEXTREL) != 0) {
    for (auto& [at, size, table] : tables_) {
      const std::uint64_t count = file.tag(size).value_or(0) / word;
      if (count > elf_symbols_max) continue;
      table.begin = file.tag(at).value_or(0);
      table.is_adjusted.resize(count);
    }
  }

  std::string run() {
    using step = std::string (relocations_check::*)();
    for (const step next : {&relocations_check::check_pairs, &relocations_check::check_rela,
                            &relocations_check::check_packed,
                            &relocations_check::check_functions}) {
      if (std::string wrong = (this->*next)(); !wrong.empty()) return wrong;
    }
    return {};
  }

 private:
  // The words of a table of functions: has a relocation adjusted them?
  struct function_table {
    std::uint64_t begin = 0;
    std::vector<bool> is_adjusted;
  };
  struct tagged_table {
    Elf64_Sxword at, size;
    function_table table;
  };

  // The word at that address, if it is one of theirs.
  void adjusted(std::uint64_t address, bool is_good) {
    for (auto& [at, size, table] : tables_) {
      if (address < table.begin || (address - table.begin) / word >= table.is_adjusted.size()) continue;
      table.is_adjusted[(address - table.begin) / word] = is_good;
    }
  }
  bool is_in_table(std::uint64_t address) const noexcept {
    return std::ranges::any_of(tables_, [address](const tagged_table& t) {
      return address >= t.table.begin &&
             (address - t.table.begin) / word < t.table.is_adjusted.size();
    });
  }

  bool is_code(std::uint64_t address) const noexcept {
    const elf_segment* const home = file_.segment_of(address, 1);
    return home != nullptr && home->is_executable;
  }
  bool may_write(std::uint64_t address, std::uint64_t size) const noexcept {
    const elf_segment* const home = file_.segment_of(address, size);
    return home != nullptr && (home->is_writable || writes_to_code_);
  }

  // The dynamic linker looks at the second tag of a pair once it has seen the first.
  std::string check_pairs() {
    struct rule {
      Elf64_Sxword tag;
      std::array<Elf64_Sxword, 2> wants;
    };
    static constexpr std::array<rule, 10> rules{{
        {DT_RELA, {DT_RELASZ, DT_RELAENT}},
        {DT_RELASZ, {DT_RELA, DT_RELAENT}},
        {DT_RELACOUNT, {DT_RELA, DT_RELASZ}},
        {DT_JMPREL, {DT_PLTRELSZ, DT_PLTREL}},
        {DT_PLTREL, {DT_JMPREL, DT_PLTRELSZ}},
        {DT_PLTRELSZ, {DT_JMPREL, DT_PLTREL}},
        {DT_RELR, {DT_RELRSZ, DT_RELRENT}},
        {DT_RELRSZ, {DT_RELR, DT_RELRENT}},
        {DT_INIT_ARRAY, {DT_INIT_ARRAYSZ, DT_INIT_ARRAYSZ}},
        {DT_FINI_ARRAY, {DT_FINI_ARRAYSZ, DT_FINI_ARRAYSZ}},
    }};
    for (const rule& r : rules) {
      if (!file_.tag(r.tag)) continue;
      for (const Elf64_Sxword other : r.wants) {
        if (!file_.tag(other)) return "malformed: a dynamic tag lacks the one that goes with it";
      }
    }
    if (file_.tag(DT_RELAENT).value_or(sizeof(Elf64_Rela)) != sizeof(Elf64_Rela) ||
        file_.tag(DT_RELRENT).value_or(word) != word ||
        file_.tag(DT_PLTREL).value_or(DT_RELA) != DT_RELA || file_.tag(DT_REL)) {
      return "malformed: relocations of an unknown kind";
    }
    return {};
  }

  std::string check_rela() {
    const std::uint64_t at = file_.tag(DT_RELA).value_or(0);
    const std::uint64_t size = file_.tag(DT_RELASZ).value_or(0);
    const std::uint64_t relative = file_.tag(DT_RELACOUNT).value_or(0);
    if (relative > size / sizeof(Elf64_Rela)) return "malformed: more relative relocations than all";
    if (std::string wrong = check_table(at, size, relative); !wrong.empty()) return wrong;
    return check_table(file_.tag(DT_JMPREL).value_or(0), file_.tag(DT_PLTRELSZ).value_or(0), 0);
  }

  std::string check_table(std::uint64_t address, std::uint64_t size, std::uint64_t relative) {
    if (size == 0) return {};
    const std::uint64_t count = size / sizeof(Elf64_Rela);
    const auto at = file_.offset_of(address, size);
    if (!at || size % sizeof(Elf64_Rela) != 0 || count > elf_relocations_max) {
      return "malformed: the relocations lie outside of the segments";
    }
    constexpr std::uint64_t batch = 1024;
    for (std::uint64_t done = 0; done < count; done += batch) {
      const auto some = read_things<Elf64_Rela>(source_, *at + done * sizeof(Elf64_Rela),
                                                std::min(batch, count - done));
      if (!some) return "truncated: the relocations are not complete";
      for (std::uint64_t n = 0; n < some->size(); ++n) {
        if (std::string wrong = check_one((*some)[n], done + n < relative); !wrong.empty()) return wrong;
      }
    }
    return {};
  }

  std::string check_one(const Elf64_Rela& r, bool must_be_relative) {
    const kind what = kind_of(ELF64_R_TYPE(r.r_info));
    const std::uint64_t symbol = ELF64_R_SYM(r.r_info);
    if (what == kind::unknown || (must_be_relative && what != kind::relative)) {
      return "malformed: a relocation of an unknown kind";
    }
    if (what == kind::none) return {};
    if (symbol >= file_.symbols.size() && symbol != 0) {
      return "malformed: a relocation wants a symbol that is not there";
    }
    if (!may_write(r.r_offset, word) && !may_write(r.r_offset, 4)) {
      return "malformed: a relocation writes outside of the data";
    }
    const auto addend = static_cast<std::uint64_t>(r.r_addend);
    if (what == kind::chosen && !is_code(addend)) {
      return "malformed: a function that is chosen at load is no code";
    }
    if (what == kind::tls && (symbol == 0 || file_.symbols[symbol].is_defined) && file_.tls_size == 0) {
      return "malformed: a thread-local relocation without thread-local storage";
    }
    if (!is_in_table(r.r_offset)) return {};
    const bool is_local = what == kind::relative;
    if (is_local && !is_code(addend)) return "malformed: a constructor or destructor is no code";
    adjusted(r.r_offset, is_local || what == kind::absolute);
    return {};
  }

  // DT_RELR: an address, then maps of the words behind it.
  std::string check_packed() {
    const std::uint64_t size = file_.tag(DT_RELRSZ).value_or(0);
    if (size == 0) return {};
    const auto at = file_.offset_of(*file_.tag(DT_RELR), size);
    if (!at || size % word != 0 || size / word > elf_relocations_max) {
      return "malformed: the relocations lie outside of the segments";
    }
    const auto entries = read_things<std::uint64_t>(source_, *at, size / word);
    if (!entries) return "truncated: the relocations are not complete";
    std::uint64_t where = 0;
    for (const std::uint64_t entry : *entries) {
      if ((entry & 1) == 0) {
        if (std::string wrong = check_packed_word(entry); !wrong.empty()) return wrong;
        where = entry + word;
        continue;
      }
      for (std::uint64_t bits = entry >> 1, n = 0; bits != 0; bits >>= 1, ++n) {
        if ((bits & 1) == 0) continue;
        if (std::string wrong = check_packed_word(where + n * word); !wrong.empty()) return wrong;
      }
      where += 63 * word;
    }
    return {};
  }
  std::string check_packed_word(std::uint64_t address) {
    if (!may_write(address, word)) return "malformed: a relocation writes outside of the data";
    if (!is_in_table(address)) return {};
    std::uint64_t target = 0;
    const auto at = file_.offset_of(address, word);
    if (!at || !source_.read(*at, std::as_writable_bytes(std::span(&target, 1))) || !is_code(target)) {
      return "malformed: a constructor or destructor is no code";
    }
    adjusted(address, true);
    return {};
  }

  // The functions that are called: each word of the tables is adjusted by a relocation.
  std::string check_functions() {
    for (const Elf64_Sxword tag : {DT_INIT, DT_FINI}) {
      const auto at = file_.tag(tag);
      if (at && !is_code(*at)) return "malformed: the first or last function is no code";
    }
    for (const tagged_table& t : tables_) {
      const auto at = file_.tag(t.at);
      const auto size = file_.tag(t.size);
      if (!at) continue;
      if (!file_.offset_of(*at, *size) || *at % word != 0 || *size % word != 0) {
        return "malformed: the table of constructors or destructors lies outside of the segments";
      }
    }
    for (const tagged_table& t : tables_) {
      if (std::ranges::count(t.table.is_adjusted, false) != 0) {
        return "malformed: a constructor or destructor has no address";
      }
    }
    return {};
  }

  byte_source& source_;
  const elf_file& file_;
  const bool writes_to_code_;
  std::array<tagged_table, 2> tables_{{{DT_INIT_ARRAY, DT_INIT_ARRAYSZ, {}},
                                       {DT_FINI_ARRAY, DT_FINI_ARRAYSZ, {}}}};
};

}  // namespace

std::string find_damaged_relocations(byte_source& source, const elf_file& file) {
  return relocations_check(source, file).run();
}

}  // namespace ufence::detail
