#include "ufence/debug/modules.h"

#include <elf.h>
#include <link.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "ufence/debug/process_facts.h"

namespace ufence::debug {

namespace {

std::string path_of_program() {
  std::array<char, 4096> path;
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
  return size > 0 ? std::string(path.data(), static_cast<std::size_t>(size)) : std::string();
}

// The build id among the notes of one segment, as hexadecimal digits; empty: there is none.
std::string build_id_in(const char* notes, std::size_t size) {
  constexpr std::string_view digits = "0123456789abcdef";
  while (size >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) head;
    std::memcpy(&head, notes, sizeof head);
    const std::size_t name_size = (head.n_namesz + std::size_t{3}) & ~std::size_t{3};
    const std::size_t note_size = (head.n_descsz + std::size_t{3}) & ~std::size_t{3};
    const std::size_t whole = sizeof head + name_size + note_size;
    if (whole > size) break;
    if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 &&
        std::memcmp(notes + sizeof head, "GNU", 4) == 0) {
      std::string id;
      for (std::size_t i = 0; i < head.n_descsz; ++i) {
        const auto byte = static_cast<unsigned char>(notes[sizeof head + name_size + i]);
        id += digits[byte >> 4];
        id += digits[byte & 15];
      }
      return id;
    }
    notes += whole;
    size -= whole;
  }
  return {};
}

// Is the code right before this address a call? On other processors: perhaps.
bool is_behind_call(const unsigned char* address) {
#if defined(__x86_64__)
  std::array<unsigned char, 7> before;
  if (!read_own(address - before.size(), before)) return false;
  if (before[2] == 0xe8) return true;  // call with a 32-bit distance
  // call through a register or memory: 0xff, and 2 in bits 3 to 5 of the byte behind it
  return std::ranges::any_of(std::array<std::size_t, 5>{2, 3, 4, 6, 7}, [&before](std::size_t size) {
    const std::size_t at = before.size() - size;
    return before[at] == 0xff && (before[at + 1] & 0x38) == 0x10;
  });
#elif defined(__aarch64__)
  std::uint32_t instruction = 0;
  if (!read_own(address - sizeof instruction, instruction)) return false;
  return (instruction & 0xfc000000) == 0x94000000 || (instruction & 0xfffffc1f) == 0xd63f0000;
#else
  return address != nullptr;
#endif
}

}  // namespace

std::size_t read_own_memory(const void* from, std::span<std::byte> to) noexcept {
  const iovec local{.iov_base = to.data(), .iov_len = to.size()};
  const iovec remote{.iov_base = const_cast<void*>(from), .iov_len = to.size()};
  const ssize_t size = ::process_vm_readv(::getpid(), &local, 1, &remote, 1, 0);
  return size > 0 ? static_cast<std::size_t>(size) : 0;
}

module_map::module_map() {
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t size, void* self) { return add(info, size, self); }, this);
  std::ranges::sort(modules_, {}, &module::begin);
  // Where the library is a part of the program, the program's own code is all that there is to tell.
  const module* const own = find(reinterpret_cast<std::uintptr_t>(&path_of_program));
  const std::string program = path_of_program();
  for (module& m : modules_) {
    m.is_below = is_system_library(m.path) || (&m == own && m.path != program);
  }
}

int module_map::add(void* info, std::size_t, void* self) noexcept try {
  const dl_phdr_info& linked = *static_cast<dl_phdr_info*>(info);
  module m{.path = linked.dlpi_name, .build_id = {}, .base = linked.dlpi_addr, .begin = UINTPTR_MAX};
  auto& all = static_cast<module_map*>(self)->modules_;
  if (m.path.empty() && all.empty()) m.path = path_of_program();
  m.code_begin = UINTPTR_MAX;
  for (const ElfW(Phdr) & part : std::span(linked.dlpi_phdr, linked.dlpi_phnum)) {
    const std::uintptr_t begin = m.base + part.p_vaddr;
    if (part.p_type == PT_NOTE && m.build_id.empty()) {
      m.build_id = build_id_in(reinterpret_cast<const char*>(begin), part.p_memsz);
    }
    if (part.p_type != PT_LOAD) continue;
    m.begin = std::min(m.begin, begin);
    m.end = std::max(m.end, begin + part.p_memsz);
    if ((part.p_flags & PF_X) == 0) continue;
    m.code_begin = std::min(m.code_begin, begin);
    m.code_end = std::max(m.code_end, begin + part.p_memsz);
  }
  if (m.begin < m.end) all.push_back(std::move(m));
  return 0;
} catch (...) {
  return 1;  // no memory: what is known so far has to do
}

const module_map::module* module_map::find(std::uintptr_t address) const noexcept {
  auto behind = std::ranges::upper_bound(modules_, address, {}, &module::begin);
  if (behind == modules_.begin()) return nullptr;
  const module& m = *--behind;
  return address < m.end ? &m : nullptr;
}

code_place module_map::place_of(const void* address) const {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  const module* const m = find(at);
  if (m == nullptr) return {};
  return {.module = m->path, .build_id = m->build_id, .offset = at - m->base};
}

code_place module_map::caller_above(const void* stack) const {
  std::array<std::uintptr_t, 1024> words{};
  const std::size_t size = read_own_memory(stack, std::as_writable_bytes(std::span(words)));
  for (const std::uintptr_t word : std::span(words).first(size / sizeof(std::uintptr_t))) {
    const module* const m = find(word);
    if (m == nullptr || m->is_below || word < m->code_begin || word >= m->code_end) continue;
    if (!is_behind_call(reinterpret_cast<const unsigned char*>(word))) continue;
    // The call itself, not what comes after it.
    return {.module = m->path, .build_id = m->build_id, .offset = word - 1 - m->base};
  }
  return {};
}

}  // namespace ufence::debug
