#include "ufence/module/elf_file.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "ufence/driver.h"
#include "ufence/module/module_test_support.h"

namespace ufence::detail {
namespace {

using testing::HasSubstr;

std::string good() { return read_file(test_module("minimal")); }

std::expected<elf_file, std::string> parse(const std::string& bytes) {
  memory_source source(std::as_bytes(std::span(bytes)));
  return read_elf(source);
}

std::string reason(const std::string& bytes) {
  const auto file = parse(bytes);
  return file ? "no reason" : file.error();
}

template <class T>
T at(const std::string& bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}
template <class T>
void put(std::string& bytes, std::size_t offset, const T& value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

// The offset of the first program header of that type.
std::size_t part(const std::string& bytes, Elf64_Word type) {
  const auto head = at<Elf64_Ehdr>(bytes, 0);
  for (std::size_t i = 0; i < head.e_phnum; ++i) {
    const std::size_t offset = head.e_phoff + i * sizeof(Elf64_Phdr);
    if (at<Elf64_Phdr>(bytes, offset).p_type == type) return offset;
  }
  ADD_FAILURE() << "no program header of type " << type;
  return head.e_phoff;
}

// The offset of the dynamic entry with that tag.
std::size_t dynamic(const std::string& bytes, Elf64_Sxword tag) {
  const auto p = at<Elf64_Phdr>(bytes, part(bytes, PT_DYNAMIC));
  for (std::size_t offset = p.p_offset; offset < p.p_offset + p.p_filesz;
       offset += sizeof(Elf64_Dyn)) {
    if (at<Elf64_Dyn>(bytes, offset).d_tag == tag) return offset;
  }
  ADD_FAILURE() << "no dynamic entry with tag " << tag;
  return p.p_offset;
}

TEST(elf_file, reads_segments_symbols_and_notes) {
  const auto file = parse(good());
  ASSERT_TRUE(file) << file.error();
  const auto entry = std::ranges::find(file->symbols, UFENCE_DRIVER_SYMBOL, &elf_symbol::name);
  ASSERT_NE(entry, file->symbols.end());
  EXPECT_TRUE(entry->is_defined);
  EXPECT_EQ(entry->size, sizeof(ufence_driver));
  EXPECT_GT(file->span_end(), file->span_begin());
  const auto note = std::ranges::find(file->notes, UFENCE_NOTE_NAME, &elf_note::name);
  ASSERT_NE(note, file->notes.end());
  EXPECT_EQ(note->description.size(), 4U);
}

TEST(elf_file, the_wrong_kind_of_file_is_named) {
  std::string bytes = good();
  auto head = at<Elf64_Ehdr>(bytes, 0);
  const auto with = [&](auto change) {
    Elf64_Ehdr changed = head;
    change(changed);
    put(bytes, 0, changed);
    return reason(bytes);
  };
  EXPECT_EQ(with([](auto& h) { h.e_ident[EI_CLASS] = ELFCLASS32; }), "not a 64-bit ELF file");
  EXPECT_EQ(with([](auto& h) { h.e_ident[EI_DATA] ^= 3; }), "for another byte order");
  EXPECT_EQ(with([](auto& h) { h.e_version = 9; }), "unknown ELF version");
  EXPECT_THAT(with([](auto& h) { h.e_machine = EM_SPARC; }), HasSubstr("for another machine"));
  EXPECT_EQ(with([](auto& h) { h.e_type = ET_REL; }), "not a shared object (ELF type 1)");
  EXPECT_THAT(with([](auto& h) { h.e_phentsize = 8; }), HasSubstr("wrong size"));
  EXPECT_EQ(with([](auto& h) { h.e_phnum = 0; }), "malformed: 0 program headers");
  EXPECT_THAT(with([](auto& h) { h.e_phoff = UINT64_MAX - 8; }), HasSubstr("truncated"));
  EXPECT_EQ(with([](auto&) {}), "no reason");
}

TEST(elf_file, impossible_segments_are_refused) {
  std::string bytes = good();
  const std::size_t first = part(bytes, PT_LOAD);
  const auto load = at<Elf64_Phdr>(bytes, first);
  const auto with = [&](auto change) {
    Elf64_Phdr changed = load;
    change(changed);
    put(bytes, first, changed);
    return reason(bytes);
  };
  EXPECT_THAT(with([](auto& p) { p.p_filesz = p.p_memsz + 1; }), HasSubstr("impossible size"));
  EXPECT_THAT(with([](auto& p) { p.p_vaddr = UINT64_MAX - 1; }), HasSubstr("impossible size"));
  EXPECT_THAT(with([](auto& p) { p.p_memsz = p.p_filesz = INT64_MAX; }), HasSubstr("truncated"));
  EXPECT_THAT(with([](auto& p) { p.p_offset = UINT64_MAX; }), HasSubstr("truncated"));
  EXPECT_THAT(with([](auto& p) { p.p_memsz = INT64_MAX; }), HasSubstr("overlap"));
  EXPECT_THAT(with([](auto& p) { p.p_type = PT_NULL; }), HasSubstr("outside of the segments"));
}

TEST(elf_file, a_broken_dynamic_section_is_refused) {
  const std::string whole = good();
  const auto with = [&](Elf64_Sxword tag, std::uint64_t value) {
    std::string bytes = whole;
    const std::size_t offset = dynamic(bytes, tag);
    put(bytes, offset, Elf64_Dyn{.d_tag = tag, .d_un = {.d_val = value}});
    return reason(bytes);
  };
  EXPECT_THAT(with(DT_STRTAB, UINT64_MAX), HasSubstr("string table lies outside"));
  EXPECT_THAT(with(DT_STRSZ, UINT64_MAX), HasSubstr("a string table of"));
  EXPECT_THAT(with(DT_STRSZ, 0), HasSubstr("a name lies outside"));
  EXPECT_THAT(with(DT_SYMTAB, UINT64_MAX - 64), HasSubstr("symbol table lies outside"));
  EXPECT_THAT(with(DT_SYMENT, 1), HasSubstr("no symbol table"));
  EXPECT_THAT(with(DT_GNU_HASH, UINT64_MAX), HasSubstr("hash table lies outside"));
  std::string without = whole;
  put(without, dynamic(without, DT_GNU_HASH), Elf64_Dyn{.d_tag = DT_DEBUG, .d_un = {}});
  EXPECT_THAT(reason(without), HasSubstr("no table of exported symbols"));
  std::string none = whole;
  auto p = at<Elf64_Phdr>(none, part(none, PT_DYNAMIC));
  p.p_vaddr = 1ULL << 60;
  put(none, part(none, PT_DYNAMIC), p);
  EXPECT_THAT(reason(none), HasSubstr("dynamic section lies outside"));
}

TEST(elf_file, an_endless_hash_chain_is_refused) {
  std::string bytes = good();
  const auto load = at<Elf64_Phdr>(bytes, part(bytes, PT_LOAD));
  const auto hash = at<Elf64_Dyn>(bytes, dynamic(bytes, DT_GNU_HASH)).d_un.d_ptr - load.p_vaddr;
  const auto buckets = at<std::uint32_t>(bytes, hash);
  const auto bloom_words = at<std::uint32_t>(bytes, hash + 8);
  const std::size_t chains = hash + 16 + bloom_words * 8UL + buckets * 4UL;
  // Every hash value to the end of the segment loses the bit that ends a chain.
  for (std::size_t o = chains; o + 4 <= load.p_offset + load.p_filesz; o += 4) {
    put(bytes, o, at<std::uint32_t>(bytes, o) & ~1U);
  }
  EXPECT_NE(reason(bytes), "no reason");
}

TEST(elf_file, a_note_that_reaches_too_far_is_refused) {
  std::string bytes = good();
  const auto notes = at<Elf64_Phdr>(bytes, part(bytes, PT_NOTE));
  auto head = at<Elf64_Nhdr>(bytes, notes.p_offset);
  head.n_descsz = UINT32_MAX;
  put(bytes, notes.p_offset, head);
  EXPECT_THAT(reason(bytes), HasSubstr("a note reaches beyond"));
}

// As the linker writes them for -fcf-protection: the padding counts from the note's begin.
TEST(elf_file, regress_notes_aligned_to_8_are_read) {
  std::string bytes = good();
  const std::size_t header = part(bytes, PT_NOTE);
  auto notes = at<Elf64_Phdr>(bytes, header);
  constexpr Elf64_Nhdr note{.n_namesz = 4, .n_descsz = 16, .n_type = NT_GNU_PROPERTY_TYPE_0};
  notes.p_filesz = sizeof note + note.n_namesz + note.n_descsz;
  notes.p_align = 8;
  put(bytes, header, notes);
  put(bytes, notes.p_offset, note);
  bytes.replace(notes.p_offset + sizeof note, note.n_namesz, "GNU", note.n_namesz);
  bytes.replace(notes.p_offset + sizeof note + note.n_namesz, note.n_descsz, note.n_descsz, 'x');
  const auto file = parse(bytes);
  ASSERT_TRUE(file) << file.error();
  const auto read = std::ranges::find(file->notes, NT_GNU_PROPERTY_TYPE_0, &elf_note::type);
  ASSERT_NE(read, file->notes.end());
  EXPECT_EQ(read->name, "GNU");
  EXPECT_EQ(read->description, std::vector(16, std::byte{'x'}));
}

TEST(elf_file, every_truncation_is_refused_or_leaves_what_is_loaded) {
  const std::string whole = good();
  const auto file = parse(whole);
  ASSERT_TRUE(file);
  std::uint64_t needed = 0;
  for (const elf_segment& s : file->segments) needed = std::max(needed, s.offset + s.file_size);
  for (std::size_t size = 0; size < needed; ++size) {
    EXPECT_NE(reason(whole.substr(0, size)), "no reason") << size;
  }
  EXPECT_EQ(reason(whole.substr(0, needed)), "no reason");
}

}  // namespace
}  // namespace ufence::detail
