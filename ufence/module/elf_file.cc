#include "ufence/module/elf_file.h"

#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

namespace ufence::detail {
namespace {

using reason = std::unexpected<std::string>;
using outcome = std::expected<void, std::string>;

#if defined(__x86_64__)
constexpr Elf64_Half our_machine = EM_X86_64;
#elif defined(__aarch64__)
constexpr Elf64_Half our_machine = EM_AARCH64;
#elif defined(__riscv)
constexpr Elf64_Half our_machine = EM_RISCV;
#else
#error "name the ELF machine of this processor"
#endif
constexpr unsigned char our_byte_order =
    std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;

constexpr std::size_t program_headers_max = 4096;
// A note's name or description that is longer is no note of ours; it is skipped, not kept.
constexpr std::uint32_t note_part_max = 4096;
constexpr std::size_t notes_max = 1024;

reason because(std::string text) { return reason(std::move(text)); }

std::string number(std::uint64_t n) { return std::to_string(n); }

// Reads the parts of one file into an elf_file.
class reader {
 public:
  explicit reader(byte_source& source) noexcept : source_(source) {}

  outcome run() {
    using step = outcome (reader::*)();
    for (const step next : {&reader::read_header, &reader::read_program_headers,
                            &reader::read_segments, &reader::read_dynamic, &reader::read_strings,
                            &reader::read_symbols, &reader::read_notes}) {
      if (outcome done = (this->*next)(); !done) return done;
    }
    return {};
  }
  elf_file take() { return std::move(out_); }

 private:
  template <class T>
  bool read_one(std::uint64_t offset, T& into) noexcept {
    return source_.read(offset, std::as_writable_bytes(std::span(&into, 1)));
  }

  // `count` things at that offset; nothing if they do not all lie in the file.
  template <class T>
  std::optional<std::vector<T>> read_many(std::uint64_t offset, std::uint64_t count) {
    const std::uint64_t size = source_.size();
    if (offset > size || count > (size - offset) / sizeof(T)) return std::nullopt;
    std::vector<T> things(static_cast<std::size_t>(count));
    if (!source_.read(offset, std::as_writable_bytes(std::span(things)))) return std::nullopt;
    return things;
  }

  std::optional<std::uint64_t> offset_of(std::uint64_t address, std::uint64_t size) const noexcept {
    return out_.offset_of(address, size);
  }

  outcome read_header();
  outcome read_program_headers();
  outcome read_segments();
  outcome read_dynamic();
  outcome read_strings();
  outcome read_symbols();
  outcome read_notes();
  outcome read_notes_of(const Elf64_Phdr& part);
  std::expected<std::uint64_t, std::string> count_symbols();
  std::expected<std::uint64_t, std::string> count_by_gnu_hash();
  std::uint64_t symbols_of_section();

  std::optional<std::string_view> string_at(std::uint64_t offset) const noexcept {
    if (offset >= out_.strings.size()) return std::nullopt;
    return std::string_view(out_.strings.data() + offset);  // the block ends with NUL
  }

  byte_source& source_;
  elf_file out_;
  Elf64_Ehdr& header_ = out_.header;
  std::vector<Elf64_Phdr>& parts_ = out_.parts;
  std::optional<std::uint64_t> strings_at_, strings_size_, symbols_at_, hash_at_, gnu_hash_at_;
};

outcome reader::read_header() {
  if (source_.size() == 0) return because("the file is empty");
  std::array<unsigned char, SELFMAG> magic{};
  if (!read_one(0, magic) || std::memcmp(magic.data(), ELFMAG, SELFMAG) != 0) {
    return because("not an ELF file");
  }
  if (!read_one(0, header_)) return because("truncated: the ELF header is not complete");
  if (header_.e_ident[EI_CLASS] != ELFCLASS64) return because("not a 64-bit ELF file");
  if (header_.e_ident[EI_DATA] != our_byte_order) return because("for another byte order");
  if (header_.e_ident[EI_VERSION] != EV_CURRENT || header_.e_version != EV_CURRENT) {
    return because("unknown ELF version");
  }
  if (header_.e_machine != our_machine) {
    return because("for another machine (ELF machine " + number(header_.e_machine) +
                   ", this one is " + number(our_machine) + ")");
  }
  if (header_.e_type != ET_DYN) {
    return because("not a shared object (ELF type " + number(header_.e_type) + ")");
  }
  return {};
}

outcome reader::read_program_headers() {
  if (header_.e_phentsize != sizeof(Elf64_Phdr)) {
    return because("malformed: program headers of a wrong size");
  }
  if (header_.e_phnum == 0 || header_.e_phnum > program_headers_max) {
    return because("malformed: " + number(header_.e_phnum) + " program headers");
  }
  auto parts = read_many<Elf64_Phdr>(header_.e_phoff, header_.e_phnum);
  if (!parts) return because("truncated: the program headers are not complete");
  parts_ = std::move(*parts);
  return {};
}

outcome reader::read_segments() {
  const std::uint64_t size = source_.size();
  // An object that does not say gets an executable stack, with the whole process.
  out_.wants_executable_stack = true;
  for (const Elf64_Phdr& p : parts_) {
    if (p.p_type == PT_GNU_STACK) out_.wants_executable_stack = (p.p_flags & PF_X) != 0;
    if (p.p_type == PT_TLS) out_.tls_size = p.p_memsz;
    if (p.p_type == PT_GNU_RELRO && p.p_vaddr <= UINT64_MAX - p.p_memsz) {
      out_.read_only_begin = p.p_vaddr;
      out_.read_only_end = p.p_vaddr + p.p_memsz;
    }
    if (p.p_type != PT_LOAD) continue;
    if (p.p_filesz > p.p_memsz || p.p_vaddr > UINT64_MAX / 2 || p.p_memsz > UINT64_MAX / 2) {
      return because("malformed: a segment of an impossible size");
    }
    if (p.p_offset > size || p.p_filesz > size - p.p_offset) {
      return because("truncated: a segment needs " + number(p.p_filesz) + " bytes from offset " +
                     number(p.p_offset) + ", the file has " + number(size));
    }
    if (!out_.segments.empty() && p.p_vaddr < out_.span_end()) {
      return because("malformed: segments overlap or are out of order");
    }
    out_.segments.push_back({.address = p.p_vaddr,
                             .offset = p.p_offset,
                             .file_size = p.p_filesz,
                             .memory_size = p.p_memsz,
                             .is_readable = (p.p_flags & PF_R) != 0,
                             .is_writable = (p.p_flags & PF_W) != 0,
                             .is_executable = (p.p_flags & PF_X) != 0});
  }
  if (out_.segments.empty()) return because("malformed: nothing to load");
  return {};
}

outcome reader::read_dynamic() {
  const auto part = std::ranges::find(parts_, Elf64_Word{PT_DYNAMIC}, &Elf64_Phdr::p_type);
  if (part == parts_.end()) return because("not a shared object: no dynamic section");
  const auto at = offset_of(part->p_vaddr, part->p_filesz);
  if (!at) return because("malformed: the dynamic section lies outside of the segments");
  const std::uint64_t count = part->p_filesz / sizeof(Elf64_Dyn);
  if (count > elf_dynamic_max) return because("malformed: " + number(count) + " dynamic entries");
  auto entries = read_many<Elf64_Dyn>(*at, count);
  if (!entries) return because("truncated: the dynamic section is not complete");
  const auto end = std::ranges::find(*entries, Elf64_Sxword{DT_NULL}, &Elf64_Dyn::d_tag);
  if (end == entries->end()) return because("malformed: the dynamic section does not end");
  entries->erase(end, entries->end());
  out_.dynamic = std::move(*entries);
  out_.index_tags();
  strings_at_ = out_.tag(DT_STRTAB);
  strings_size_ = out_.tag(DT_STRSZ);
  symbols_at_ = out_.tag(DT_SYMTAB);
  hash_at_ = out_.tag(DT_HASH);
  gnu_hash_at_ = out_.tag(DT_GNU_HASH);
  out_.flags = out_.tag(DT_FLAGS).value_or(0);
  out_.flags_1 = out_.tag(DT_FLAGS_1).value_or(0);
  return {};
}

outcome reader::read_strings() {
  if (!strings_at_ || !strings_size_) return because("malformed: no string table");
  if (*strings_size_ > elf_strings_max) {
    return because("malformed: a string table of " + number(*strings_size_) + " bytes");
  }
  const auto at = offset_of(*strings_at_, *strings_size_);
  if (!at) return because("malformed: the string table lies outside of the segments");
  auto strings = read_many<char>(*at, *strings_size_);
  if (!strings) return because("truncated: the string table is not complete");
  out_.strings = std::move(*strings);
  out_.strings.push_back('\0');
  for (const Elf64_Dyn& d : out_.dynamic) {
    const bool is_path = d.d_tag == DT_RPATH || d.d_tag == DT_RUNPATH;
    if (d.d_tag != DT_NEEDED && d.d_tag != DT_SONAME && !is_path) continue;
    const auto name = string_at(d.d_un.d_val);
    if (!name) return because("malformed: a name lies outside of the string table");
    if (d.d_tag == DT_NEEDED) out_.needed.emplace_back(*name);
    if (d.d_tag == DT_SONAME) out_.soname = *name;
    if (d.d_tag == DT_RUNPATH || (d.d_tag == DT_RPATH && !out_.has_run_path)) out_.run_path = *name;
    out_.has_run_path |= d.d_tag == DT_RUNPATH;
  }
  return {};
}

// Where nothing is hashed, there are only imports, and only the section headers count them.
std::uint64_t reader::symbols_of_section() {
  if (header_.e_shentsize != sizeof(Elf64_Shdr)) return 0;
  const auto sections = read_many<Elf64_Shdr>(header_.e_shoff, header_.e_shnum);
  if (!sections) return 0;
  const auto symbols = std::ranges::find(*sections, Elf64_Word{SHT_DYNSYM}, &Elf64_Shdr::sh_type);
  return symbols != sections->end() && symbols->sh_addr == symbols_at_
             ? symbols->sh_size / sizeof(Elf64_Sym)
             : 0;
}

// The number of dynamic symbols stands nowhere: the last one of the last chain tells it.
std::expected<std::uint64_t, std::string> reader::count_by_gnu_hash() {
  struct table {
    std::uint32_t buckets, first_hashed, bloom_words, bloom_shift;
  };
  const auto outside = [] { return because("malformed: the hash table lies outside of the segments"); };
  const std::uint64_t available = out_.bytes_from(*gnu_hash_at_);
  const auto at = offset_of(*gnu_hash_at_, sizeof(table));
  table t{};
  if (!at || !read_one(*at, t)) return outside();
  const std::uint64_t before_buckets = sizeof t + std::uint64_t{t.bloom_words} * 8;
  const std::uint64_t before_chains = before_buckets + std::uint64_t{t.buckets} * 4;
  if (before_chains > available) return outside();
  if (t.buckets > elf_symbols_max) return because("malformed: a hash table that is too large");
  const auto buckets = read_many<std::uint32_t>(*at + before_buckets, t.buckets);
  if (!buckets) return outside();
  const std::uint32_t last = buckets->empty() ? 0 : std::ranges::max(*buckets);
  if (last == 0) return std::max<std::uint64_t>(t.first_hashed, symbols_of_section());
  if (last < t.first_hashed) return because("malformed: the hash table is inconsistent");
  const std::uint64_t chain_at = before_chains + std::uint64_t{last - t.first_hashed} * 4;
  if (chain_at >= available) return outside();
  // The last chain ends soon: it is read in small parts.
  const std::uint64_t most = std::min((available - chain_at) / 4, elf_symbols_max);
  for (std::uint64_t seen = 0; seen < most;) {
    std::array<std::uint32_t, 64> part{};
    const auto some = std::span(part).first(std::min<std::uint64_t>(part.size(), most - seen));
    if (!source_.read(*at + chain_at + seen * 4, std::as_writable_bytes(some))) return outside();
    const auto end = std::ranges::find_if(some, [](std::uint32_t hash) { return (hash & 1) != 0; });
    seen += static_cast<std::uint64_t>(end - some.begin());
    if (end != some.end()) return std::uint64_t{last} + seen + 1;
  }
  return because("malformed: the hash table does not end");
}

std::expected<std::uint64_t, std::string> reader::count_symbols() {
  if (gnu_hash_at_) return count_by_gnu_hash();
  if (!hash_at_) return because("malformed: no table of exported symbols");
  std::array<std::uint32_t, 2> table{};  // buckets, chains
  const auto at = offset_of(*hash_at_, sizeof table);
  if (!at || !read_one(*at, table)) {
    return because("malformed: the hash table lies outside of the segments");
  }
  return table[1];
}

outcome reader::read_symbols() {
  const auto count = count_symbols();
  if (!count) return because(count.error());
  if (!symbols_at_ || out_.tag(DT_SYMENT).value_or(sizeof(Elf64_Sym)) != sizeof(Elf64_Sym)) {
    return because("malformed: no symbol table");
  }
  if (*count > elf_symbols_max || *count > source_.size() / sizeof(Elf64_Sym)) {
    return because("malformed: " + number(*count) + " symbols do not fit into the file");
  }
  const auto at = offset_of(*symbols_at_, *count * sizeof(Elf64_Sym));
  if (!at) return because("malformed: the symbol table lies outside of the segments");
  const auto raw = read_many<Elf64_Sym>(*at, *count);
  if (!raw) return because("truncated: the symbol table is not complete");
  out_.symbols.reserve(raw->size());
  for (const Elf64_Sym& s : *raw) {
    const auto name = string_at(s.st_name);
    if (!name) return because("malformed: a name lies outside of the string table");
    out_.symbols.push_back({.name = *name,
                            .value = s.st_value,
                            .size = s.st_size,
                            .bind = static_cast<std::uint8_t>(ELF64_ST_BIND(s.st_info)),
                            .type = static_cast<std::uint8_t>(ELF64_ST_TYPE(s.st_info)),
                            .visibility = static_cast<std::uint8_t>(ELF64_ST_VISIBILITY(s.st_other)),
                            .is_defined = s.st_shndx != SHN_UNDEF,
                            .is_absolute = s.st_shndx == SHN_ABS});
  }
  return {};
}

outcome reader::read_notes() {
  for (const Elf64_Phdr& p : parts_) {
    if (p.p_type != PT_NOTE) continue;
    if (outcome read = read_notes_of(p); !read) return read;
  }
  return {};
}

outcome reader::read_notes_of(const Elf64_Phdr& part) {
  const std::uint64_t align = part.p_align == 8 ? 8 : 4;
  const auto rounded = [align](std::uint64_t size) { return (size + align - 1) & ~(align - 1); };
  if (part.p_offset > source_.size() || part.p_filesz > source_.size() - part.p_offset) {
    return because("truncated: the notes are not complete");
  }
  std::uint64_t at = 0;
  while (part.p_filesz - at >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr head{};
    if (!read_one(part.p_offset + at, head)) return because("truncated: the notes are not complete");
    const std::uint64_t name_at = at + sizeof head;
    const std::uint64_t text_at = at + rounded(sizeof head + head.n_namesz);
    const std::uint64_t end = text_at + head.n_descsz;  // each below 2^32: no overflow
    if (end > part.p_filesz) return because("malformed: a note reaches beyond its segment");
    if (out_.notes.size() >= notes_max) return because("malformed: too many notes");
    if (head.n_namesz <= note_part_max && head.n_descsz <= note_part_max) {
      const auto name = read_many<char>(part.p_offset + name_at, head.n_namesz);
      auto text = read_many<std::byte>(part.p_offset + text_at, head.n_descsz);
      if (!name || !text) return because("truncated: the notes are not complete");
      elf_note note{.name = std::string(name->begin(), std::ranges::find(*name, '\0')),
                    .type = head.n_type,
                    .description = std::move(*text)};
      out_.notes.push_back(std::move(note));
    }
    at = std::min(rounded(end), std::uint64_t{part.p_filesz});
  }
  return {};
}

}  // namespace

bool is_for_this_machine(const Elf64_Ehdr& header) noexcept {
  return header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == our_byte_order &&
         header.e_machine == our_machine;
}

std::optional<std::uint64_t> elf_file::tag(Elf64_Sxword wanted) const noexcept {
  if (wanted >= 0 && static_cast<std::size_t>(wanted) < small_tags_.size()) {
    return small_tags_[static_cast<std::size_t>(wanted)];
  }
  std::optional<std::uint64_t> found;
  for (const Elf64_Dyn& d : dynamic) {
    if (d.d_tag == wanted) found = d.d_un.d_val;
  }
  return found;
}

void elf_file::index_tags() noexcept {
  for (const Elf64_Dyn& d : dynamic) {
    if (d.d_tag >= 0 && static_cast<std::size_t>(d.d_tag) < small_tags_.size()) {
      small_tags_[static_cast<std::size_t>(d.d_tag)] = d.d_un.d_val;
    }
  }
}

std::optional<std::uint64_t> elf_file::offset_of(std::uint64_t address,
                                                 std::uint64_t size) const noexcept {
  for (const elf_segment& s : segments) {
    if (address < s.address || address - s.address > s.file_size) continue;
    const std::uint64_t within = address - s.address;
    if (size <= s.file_size - within) return s.offset + within;
  }
  return std::nullopt;
}

std::uint64_t elf_file::bytes_from(std::uint64_t address) const noexcept {
  for (const elf_segment& s : segments) {
    if (address >= s.address && address - s.address < s.file_size) {
      return s.file_size - (address - s.address);
    }
  }
  return 0;
}

const elf_segment* elf_file::segment_of(std::uint64_t address, std::uint64_t size) const noexcept {
  for (const elf_segment& s : segments) {
    if (s.contains(address, size)) return &s;
  }
  return nullptr;
}

fd_source::fd_source(int fd, std::uint64_t size) : fd_(fd), size_(size) {
  constexpr std::uint64_t small = 64 << 10, usual = 4 << 10;
  kept_ = static_cast<std::size_t>(size <= small ? size : usual);
  beginning_ = std::make_unique_for_overwrite<std::byte[]>(kept_);
  if (!read_file(0, {beginning_.get(), kept_})) kept_ = 0;
}

bool fd_source::read(std::uint64_t offset, std::span<std::byte> into) noexcept {
  if (offset > size_ || into.size() > size_ - offset) return false;
  if (offset > kept_ || into.size() > kept_ - offset) return read_file(offset, into);
  if (!into.empty()) std::memcpy(into.data(), beginning_.get() + offset, into.size());
  return true;
}

bool fd_source::read_file(std::uint64_t offset, std::span<std::byte> into) const noexcept {
  while (!into.empty()) {
    const ssize_t got = ::pread(fd_, into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;  // an error, or the file became shorter
    into = into.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
  return true;
}

bool memory_source::read(std::uint64_t offset, std::span<std::byte> into) noexcept {
  if (offset > bytes_.size() || into.size() > bytes_.size() - offset) return false;
  if (!into.empty()) std::memcpy(into.data(), bytes_.data() + offset, into.size());
  return true;
}

std::expected<elf_file, std::string> read_elf(byte_source& source) {
  reader r(source);
  if (outcome read = r.run(); !read) return reason(std::move(read.error()));
  return r.take();
}

}  // namespace ufence::detail
