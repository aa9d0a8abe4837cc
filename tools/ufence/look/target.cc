#include "tools/ufence/look/target.h"

#include <elf.h>
#include <link.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <string_view>
#include <system_error>

#include "ufence/debug/process_facts.h"
#include <utility>

#include "ufence/debug/layout.h"

namespace ufence::tool {

std::optional<copied> target::copy(std::uint64_t address, std::size_t size) const {
  std::vector<std::byte> bytes(size);
  if (read(address, bytes) != size) return {};
  return copied(address, std::move(bytes));
}

std::string target::text(std::uint64_t address, std::size_t size) const {
  constexpr std::size_t longest = 4096;  // of a name
  std::string found(std::min(size, longest), '\0');
  found.resize(read(address, std::as_writable_bytes(std::span(found))));
  return found;
}

// --- A process ---

namespace {

std::string line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

class live_process final : public target {
 public:
  explicit live_process(std::int64_t process) : target(true), folder_("/proc/" + std::to_string(process)) {
    process_ = process;
    program_ = line_of(folder_ + "/comm");
    read_maps();
  }
  [[nodiscard]] std::size_t read(std::uint64_t address, std::span<std::byte> to) const override {
    const iovec local{.iov_base = to.data(), .iov_len = to.size()};
    const iovec remote{.iov_base = reinterpret_cast<void*>(address), .iov_len = to.size()};
    const ssize_t size = ::process_vm_readv(static_cast<pid_t>(process_), &local, 1, &remote, 1, 0);
    return size > 0 ? static_cast<std::size_t>(size) : 0;
  }
  [[nodiscard]] std::string thread_name(std::int64_t id) const override {
    return line_of(folder_ + "/task/" + std::to_string(id) + "/comm");
  }
  [[nodiscard]] std::vector<debug::thread_stack> stacks() const override { return debug::stacks_of_process(folder_); }
  [[nodiscard]] debug::memory_region region_of(std::uint64_t address) const override {
    return debug::region_in_process(folder_, address);
  }

 private:
  void read_maps() {
    std::ifstream file(folder_ + "/maps");
    for (std::string line; std::getline(file, line);) {
      mapped_part part;
      int path_at = 0;
      if (std::sscanf(line.c_str(), "%lx-%lx %*s %lx %*s %*s %n", &part.begin, &part.end, &part.offset,
                      &path_at) < 3) {
        continue;
      }
      part.path = line.substr(std::min(static_cast<std::size_t>(path_at), line.size()));
      if (part.path.starts_with('/')) parts_.push_back(std::move(part));
    }
  }

  const std::string folder_;
};

}  // namespace

opened_target open_process(std::int64_t process) {
  const std::string memory = "/proc/" + std::to_string(process) + "/comm";
  if (!std::ifstream(memory)) return "there is no such process";
  auto opened = std::make_unique<live_process>(process);
  // Maps are refused to the same ones that memory is refused to.
  std::byte first{};
  if (opened->parts().empty() || opened->read(opened->parts().front().begin, {&first, 1}) != 1) {
    const int failed = opened->parts().empty() ? EACCES : errno;
    return "its memory can not be read (" + std::generic_category().message(failed) +
           "): that takes the right to trace it, which its user has where kernel.yama.ptrace_scope is 0, "
           "and root";
  }
  return opened;
}

// --- Modules ---

namespace {

std::string hexadecimal(std::span<const std::byte> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const std::byte b : bytes) {
    text += digits[std::to_integer<unsigned>(b) >> 4];
    text += digits[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

}  // namespace

target_modules::target_modules(const target& of) : of_(of) {
  for (const mapped_part& part : of.parts()) {
    if (part.offset == 0) add(part);
  }
  std::ranges::sort(modules_, {}, &module::begin);
}

// `first`: a mapping of a file's beginning, where its headers are.
void target_modules::add(const mapped_part& first) {
  const auto head = of_.get<ElfW(Ehdr)>(first.begin);
  if (!head || std::memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_phnum > 256) return;
  std::vector<ElfW(Phdr)> parts(head->e_phnum);
  const auto bytes = std::as_writable_bytes(std::span(parts));
  if (of_.read(first.begin + head->e_phoff, bytes) != bytes.size()) return;
  const auto loaded = [](const ElfW(Phdr) & p) { return p.p_type == PT_LOAD; };
  const auto lowest = std::ranges::find_if(parts, loaded);
  if (lowest == parts.end()) return;
  constexpr std::uint64_t page = 4096;
  module m{.path = first.path, .build_id = {}};
  m.base = first.begin - lowest->p_vaddr / page * page;
  m.begin = m.code_begin = UINT64_MAX;
  for (const ElfW(Phdr) & part : parts) {
    const std::uint64_t begin = m.base + part.p_vaddr;
    if (part.p_type == PT_NOTE) look_at_notes(m, begin, part.p_memsz);
    if (part.p_type != PT_LOAD) continue;
    m.begin = std::min(m.begin, begin);
    m.end = std::max(m.end, begin + part.p_memsz);
    if ((part.p_flags & PF_X) == 0) continue;
    m.code_begin = std::min(m.code_begin, begin);
    m.code_end = std::max(m.code_end, begin + part.p_memsz);
  }
  const bool is_program = modules_.empty();
  const bool is_library = layout_ && layout_->path == m.path && !is_program;
  m.is_below = debug::is_system_library(m.path) || is_library;
  modules_.push_back(std::move(m));
}

void target_modules::look_at_notes(module& m, std::uint64_t begin, std::uint64_t size) {
  constexpr std::uint64_t longest = 65'536;
  std::vector<std::byte> notes(std::min(size, longest));
  if (of_.read(begin, notes) != notes.size()) return;
  for (std::size_t at = 0; notes.size() - at >= sizeof(ElfW(Nhdr));) {
    ElfW(Nhdr) head;
    std::memcpy(&head, notes.data() + at, sizeof head);
    const auto rounded = [](std::uint32_t n) { return (std::size_t{n} + 3) & ~std::size_t{3}; };
    const std::size_t what = at + sizeof head + rounded(head.n_namesz);
    const std::size_t next = what + rounded(head.n_descsz);
    if (next > notes.size()) return;
    const std::string_view name(reinterpret_cast<const char*>(notes.data()) + at + sizeof head,
                                head.n_namesz == 0 ? 0 : head.n_namesz - 1);
    if (name == "GNU" && head.n_type == NT_GNU_BUILD_ID) {
      m.build_id = hexadecimal(std::span(notes).subspan(what, head.n_descsz));
    } else if (name == debug::layout_note_name && head.n_type == debug::layout_note_type &&
               head.n_descsz >= sizeof(debug::layout_note) && !layout_) {
      debug::layout_note note;
      std::memcpy(&note, notes.data() + what, sizeof note);
      const std::uint64_t from = begin + what + offsetof(debug::layout_note, distance);
      layout_ = {.path = m.path,
                 .address = from + static_cast<std::uint64_t>(note.distance),
                 .version = note.version,
                 .size = note.size};
    }
    at = next;
  }
}

const target_modules::module* target_modules::find(std::uint64_t address) const noexcept {
  auto behind = std::ranges::upper_bound(modules_, address, {}, &module::begin);
  if (behind == modules_.begin()) return nullptr;
  const module& m = *--behind;
  return address < m.end ? &m : nullptr;
}

debug::code_place target_modules::place_of(std::uint64_t address) const {
  const module* const m = find(address);
  if (m == nullptr) return {};
  return {.module = m->path, .build_id = m->build_id, .offset = address - m->base};
}

// Is the code right before this address a call? Where the code is not there, and on other processors: perhaps.
bool target_modules::is_behind_call(std::uint64_t address) const {
#if defined(__x86_64__)
  const auto before = of_.get<std::array<unsigned char, 7>>(address - 7);
  if (!before) return true;
  if ((*before)[2] == 0xe8) return true;  // call with a 32-bit distance
  // call through a register or memory: 0xff, and 2 in bits 3 to 5 of the byte behind it
  return std::ranges::any_of(std::array<std::size_t, 5>{2, 3, 4, 6, 7}, [&before](std::size_t size) {
    const std::size_t at = before->size() - size;
    return (*before)[at] == 0xff && ((*before)[at + 1] & 0x38) == 0x10;
  });
#elif defined(__aarch64__)
  const auto instruction = of_.get<std::uint32_t>(address - 4);
  return !instruction || (*instruction & 0xfc000000) == 0x94000000 ||
         (*instruction & 0xfffffc1f) == 0xd63f0000;
#else
  return address != 0;
#endif
}

debug::code_place target_modules::caller_above(std::uint64_t stack) const {
  std::array<std::uint64_t, 1024> words{};
  const std::size_t size = of_.read(stack, std::as_writable_bytes(std::span(words)));
  for (const std::uint64_t word : std::span(words).first(size / sizeof(std::uint64_t))) {
    const module* const m = find(word);
    if (m == nullptr || m->is_below || word < m->code_begin || word >= m->code_end) continue;
    if (!is_behind_call(word)) continue;
    // The call itself, not what comes after it.
    return {.module = m->path, .build_id = m->build_id, .offset = word - 1 - m->base};
  }
  return {};
}

}  // namespace ufence::tool
