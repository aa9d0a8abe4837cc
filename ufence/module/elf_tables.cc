// Hash tables, versions and symbols of an object: the dynamic linker follows them without a look at
// where they end.
#include <elf.h>

#include <algorithm>
#include <bit>
#include <string>

#include "ufence/module/elf_damage.h"

namespace ufence::detail {
namespace {

constexpr std::uint16_t version_mask = 0x7fff;  // the bit above hides the symbol

class tables_check {
 public:
  tables_check(byte_source& source, const elf_file& file) noexcept : source_(source), file_(file) {}

  std::string run() {
    using step = std::string (tables_check::*)();
    for (const step next :
         {&tables_check::check_tags, &tables_check::check_symbols, &tables_check::check_gnu_hash,
          &tables_check::check_hash, &tables_check::check_wanted_versions,
          &tables_check::check_defined_versions, &tables_check::check_symbol_versions}) {
      if (std::string wrong = (this->*next)(); !wrong.empty()) return wrong;
    }
    return {};
  }

 private:
  template <class T>
  bool read_at(std::uint64_t address, T& into) {
    const auto at = file_.offset_of(address, sizeof(T));
    return at && source_.read(*at, std::as_writable_bytes(std::span(&into, 1)));
  }
  template <class T>
  std::optional<std::vector<T>> table_at(std::uint64_t address, std::uint64_t count) {
    if (count > elf_symbols_max) return std::nullopt;
    const auto at = file_.offset_of(address, count * sizeof(T));
    return at ? read_things<T>(source_, *at, count) : std::nullopt;
  }
  bool is_string(std::uint64_t offset) const noexcept { return offset < file_.strings.size(); }

  // The dynamic linker takes these by the last bits of the tag alone, and loads what they name.
  std::string check_tags() {
    for (const Elf64_Dyn& d : file_.dynamic) {
      constexpr std::uint32_t auxiliary = 0x7ffffffd;  // and DT_USED, DT_FILTER
      if ((static_cast<std::uint32_t>(d.d_tag) & 0x7fffffff) >= auxiliary) {
        return "malformed: it is a filter of another library";
      }
      if ((d.d_tag == DT_CONFIG || d.d_tag == DT_DEPAUDIT || d.d_tag == DT_AUDIT) &&
          !is_string(d.d_un.d_val)) {
        return "malformed: a name lies outside of the string table";
      }
    }
    return {};
  }

  std::string check_symbols() {
    const bool has_tls = std::ranges::any_of(
        file_.parts, [](const Elf64_Phdr& p) { return p.p_type == PT_TLS && p.p_memsz != 0; });
    for (const elf_symbol& s : file_.symbols) {
      if (!s.is_defined || s.is_absolute) continue;
      if (s.type == STT_TLS) {
        if (!has_tls) return "malformed: a thread-local symbol without thread-local storage";
      } else if (s.type == STT_FUNC || s.type == STT_OBJECT || s.type == STT_GNU_IFUNC) {
        const elf_segment* const home = file_.segment_of(s.value, 0);
        if (home == nullptr) return "malformed: a symbol lies outside of the segments";
        if (s.type == STT_GNU_IFUNC && !home->is_executable) {
          return "malformed: a function that is chosen at load is no code";
        }
      }
    }
    return {};
  }

  std::string check_gnu_hash() {
    const auto at = file_.tag(DT_GNU_HASH);
    if (!at) return {};
    struct {
      std::uint32_t buckets, first_hashed, bloom_words, bloom_shift;
    } head{};
    const std::string wrong = "malformed: the hash table is inconsistent";
    if (!read_at(*at, head) || head.buckets == 0 || !std::has_single_bit(head.bloom_words)) return wrong;
    const auto buckets =
        table_at<std::uint32_t>(*at + sizeof head + head.bloom_words * 8ULL, head.buckets);
    if (!buckets) return wrong;
    for (const std::uint32_t first : *buckets) {
      if (first != 0 && (first < head.first_hashed || first >= file_.symbols.size())) return wrong;
    }
    return {};
  }

  // Each symbol is in one chain at most: then each chain ends.
  std::string check_hash() {
    const auto at = file_.tag(DT_HASH);
    if (!at) return {};
    std::array<std::uint32_t, 2> sizes{};  // buckets, chains
    const std::string wrong = "malformed: the hash table is inconsistent";
    if (!read_at(*at, sizes) || sizes[0] == 0 || sizes[1] > file_.symbols.size()) return wrong;
    const auto buckets = table_at<std::uint32_t>(*at + sizeof sizes, sizes[0]);
    const auto chains = table_at<std::uint32_t>(*at + sizeof sizes + sizes[0] * 4ULL, sizes[1]);
    if (!buckets || !chains) return wrong;
    std::vector<bool> is_seen(chains->size());
    for (std::uint32_t symbol : *buckets) {
      for (; symbol != STN_UNDEF; symbol = (*chains)[symbol]) {
        if (symbol >= chains->size() || is_seen[symbol]) return wrong;
        is_seen[symbol] = true;
      }
    }
    return {};
  }

  // The dynamic linker ends the process where a version's library is none of those that are needed.
  std::string check_wanted_versions() {
    auto at = file_.tag(DT_VERNEED);
    if (!at) return {};
    const std::string wrong = "malformed: the table of wanted versions";
    for (std::uint64_t rest = elf_symbols_max;;) {
      Elf64_Verneed library{};
      if (!read_at(*at, library) || !is_string(library.vn_file)) return wrong;
      const std::string_view name = file_.strings.data() + library.vn_file;
      if (std::ranges::find(file_.needed, name) == file_.needed.end()) {
        return wrong + " names a library that is not needed";
      }
      for (std::uint64_t next = *at + library.vn_aux;;) {
        Elf64_Vernaux version{};
        if (rest-- == 0 || !read_at(next, version) || !is_string(version.vna_name)) return wrong;
        versions_ = std::max<unsigned>(versions_, version.vna_other & version_mask);
        if (version.vna_next == 0) break;
        next += version.vna_next;
      }
      if (library.vn_next == 0) return {};
      *at += library.vn_next;
    }
  }

  std::string check_defined_versions() {
    auto at = file_.tag(DT_VERDEF);
    if (!at) return {};
    const std::string wrong = "malformed: the table of defined versions";
    for (std::uint64_t rest = elf_symbols_max; rest != 0; --rest) {
      Elf64_Verdef version{};
      Elf64_Verdaux name{};
      if (!read_at(*at, version) || !read_at(*at + version.vd_aux, name) ||
          !is_string(name.vda_name)) {
        return wrong;
      }
      versions_ = std::max<unsigned>(versions_, version.vd_ndx & version_mask);
      if (version.vd_next == 0) return {};
      *at += version.vd_next;
    }
    return wrong;
  }

  std::string check_symbol_versions() {
    const auto at = file_.tag(DT_VERSYM);
    if (!at) return {};
    if (!file_.tag(DT_VERNEED) && !file_.tag(DT_VERDEF)) {
      return "malformed: symbols have versions, but none are told";
    }
    const auto of_symbols = table_at<std::uint16_t>(*at, file_.symbols.size());
    if (!of_symbols) return "malformed: the table of versions lies outside of the segments";
    for (const std::uint16_t version : *of_symbols) {
      if ((version & version_mask) > std::max(versions_, 1U)) {
        return "malformed: a symbol has a version that is not told";
      }
    }
    return {};
  }

  byte_source& source_;
  const elf_file& file_;
  unsigned versions_ = 0;  // the highest number of one
};

}  // namespace

std::string find_damaged_tables(byte_source& source, const elf_file& file) {
  return tables_check(source, file).run();
}

std::string find_damage(byte_source& source, const elf_file& file, elf_role role) {
  for (const auto look : {&find_damaged_parts, &find_damaged_tables, &find_damaged_relocations}) {
    if (std::string wrong = look(source, file); !wrong.empty()) return wrong;
  }
  return find_damaged_sections(source, file, role);
}

}  // namespace ufence::detail
