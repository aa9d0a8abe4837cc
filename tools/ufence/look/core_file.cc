// The memory of a process that a core file has. Code, and other pages that were never written to, are mostly not in it:
// they are read from the files that were mapped, if these are still the same.
#include <elf.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <link.h>
#include <sys/procfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>

#include "tools/ufence/look/target.h"
#include "ufence/base/fd.h"

namespace ufence::tool {
namespace {

class core_file final : public target {
 public:
  core_file() : target(false) {}
  ~core_file() override {
    if (elf_ != nullptr) ::elf_end(elf_);
  }

  // Why it can't be used; empty: it can.
  std::string open(const std::string& path) {
    file_ = unique_fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file_) return std::generic_category().message(errno);
    if (::elf_version(EV_CURRENT) == EV_NONE) return "libelf is too old";
    elf_ = ::elf_begin(file_.get(), ELF_C_READ_MMAP, nullptr);
    GElf_Ehdr head{};
    if (elf_ == nullptr || ::gelf_getehdr(elf_, &head) == nullptr || head.e_type != ET_CORE) {
      return "it is no core file";
    }
    if (head.e_machine != machine() || head.e_ident[EI_CLASS] != ELFCLASS64) {
      return "it is the core of a program for another processor";
    }
    raw_ = ::elf_rawfile(elf_, &raw_size_);
    std::size_t count = 0;
    if (raw_ == nullptr || ::elf_getphdrnum(elf_, &count) != 0) return "it is damaged";
    for (std::size_t i = 0; i < count; ++i) {
      GElf_Phdr part{};
      if (::gelf_getphdr(elf_, static_cast<int>(i), &part) == nullptr) return "it is damaged";
      if (part.p_type == PT_LOAD) loaded_.push_back(part);
      if (part.p_type == PT_NOTE) read_notes(part);
    }
    std::ranges::sort(loaded_, {}, &GElf_Phdr::p_vaddr);
    check_files();
    return loaded_.empty() ? "there is no memory in it" : "";
  }

  [[nodiscard]] std::size_t read(std::uint64_t address, std::span<std::byte> to) const override {
    std::size_t done = 0;
    while (done < to.size()) {
      const std::size_t more = read_some(address + done, to.subspan(done));
      if (more == 0) break;
      done += more;
    }
    return done;
  }
  [[nodiscard]] std::string thread_name(std::int64_t id) const override {
    return std::ranges::find(stacks_, id, &debug::thread_stack::id) != stacks_.end() ? program_ : "";
  }
  [[nodiscard]] std::vector<debug::thread_stack> stacks() const override { return stacks_; }
  [[nodiscard]] debug::memory_region region_of(std::uint64_t address) const override {
    const auto behind = std::ranges::upper_bound(loaded_, address, {}, &GElf_Phdr::p_vaddr);
    if (behind == loaded_.begin()) return {};
    const GElf_Phdr& part = *(behind - 1);
    return {part.p_vaddr, part.p_vaddr + part.p_memsz};
  }

 private:
  static unsigned machine() noexcept {
#if defined(__x86_64__)
    return EM_X86_64;
#elif defined(__aarch64__)
    return EM_AARCH64;
#else
    return EM_NONE;
#endif
  }

  // Its place in elf_gregset_t.
  static constexpr std::size_t stack_register() noexcept {
#if defined(__x86_64__)
    return 19;  // RSP of <sys/reg.h>
#else
    return 31;  // sp, behind x0 to x30
#endif
  }

  // From one part of the file, or of a mapped one; 0: it is nowhere.
  [[nodiscard]] std::size_t read_some(std::uint64_t address, std::span<std::byte> to) const {
    const auto behind = std::ranges::upper_bound(loaded_, address, {}, &GElf_Phdr::p_vaddr);
    const std::uint64_t room = behind == loaded_.end() ? to.size() : behind->p_vaddr - address;
    to = to.first(std::min(to.size(), room));
    if (behind == loaded_.begin()) return read_mapped(address, to);
    const GElf_Phdr& part = *(behind - 1);
    const std::uint64_t at = address - part.p_vaddr;
    if (at >= part.p_filesz) return read_mapped(address, to);  // who wrote the core has left it out
    const std::uint64_t offset = part.p_offset + at;
    if (offset >= raw_size_) return 0;  // the file was cut off
    const std::size_t size = std::min({to.size(), part.p_filesz - at, raw_size_ - offset});
    std::memcpy(to.data(), raw_ + offset, size);
    return size;
  }

  [[nodiscard]] std::size_t read_mapped(std::uint64_t address, std::span<std::byte> to) const {
    for (const mapped_part& part : parts_) {
      if (address < part.begin || address >= part.end || !files_.contains(part.path)) continue;
      const std::size_t wanted = std::min(to.size(), part.end - address);
      const auto offset = static_cast<off_t>(part.offset + (address - part.begin));
      const ssize_t size = ::pread(files_.at(part.path).get(), to.data(), wanted, offset);
      return size > 0 ? static_cast<std::size_t>(size) : 0;
    }
    return 0;
  }

  // Opens the mapped files whose first page is the one in the core: it has the build id.
  void check_files() {
    for (const mapped_part& part : parts_) {
      if (part.offset != 0 || files_.contains(part.path)) continue;
      std::array<std::byte, 4096> here{}, there{};
      if (read(part.begin, here) != here.size()) continue;
      unique_fd file(::open(part.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
      if (!file || ::pread(file.get(), there.data(), there.size(), 0) != ssize_t{there.size()}) continue;
      if (here == there) files_.emplace(part.path, std::move(file));
    }
  }

  void read_notes(const GElf_Phdr& part) {
    Elf_Data* const notes = ::elf_getdata_rawchunk(elf_, static_cast<int64_t>(part.p_offset), part.p_filesz,
                                                   part.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
    if (notes == nullptr) return;
    GElf_Nhdr head{};
    std::size_t name = 0, what = 0;
    for (std::size_t at = 0; (at = ::gelf_getnote(notes, at, &head, &name, &what)) != 0;) {
      const std::span<const std::byte> bytes(static_cast<const std::byte*>(notes->d_buf) + what, head.n_descsz);
      if (head.n_type == NT_FILE) read_file_list(bytes);
      if (head.n_type == NT_PRPSINFO && bytes.size() >= sizeof(elf_prpsinfo)) {
        elf_prpsinfo info{};
        std::memcpy(&info, bytes.data(), sizeof info);
        process_ = info.pr_pid;
        program_.assign(info.pr_fname, ::strnlen(info.pr_fname, sizeof info.pr_fname));
      }
      if (head.n_type == NT_PRSTATUS && bytes.size() >= sizeof(elf_prstatus)) {
        elf_prstatus status{};
        std::memcpy(&status, bytes.data(), sizeof status);
        stacks_.push_back({.id = status.pr_pid, .at = status.pr_reg[stack_register()]});
      }
    }
  }

  // Count and page size; begin, end and page of each; then the names.
  void read_file_list(std::span<const std::byte> bytes) {
    const auto word = [bytes](std::size_t i) {
      std::uint64_t value = 0;
      if ((i + 1) * sizeof value <= bytes.size()) {
        std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
      }
      return value;
    };
    const std::uint64_t count = word(0), page = word(1);
    if (count > bytes.size() / (3 * sizeof count)) return;
    std::size_t at = (2 + 3 * count) * sizeof count;
    for (std::uint64_t i = 0; i < count && at < bytes.size(); ++i) {
      const char* const name = reinterpret_cast<const char*>(bytes.data()) + at;
      const std::size_t length = ::strnlen(name, bytes.size() - at);
      parts_.push_back({.path = std::string(name, length),
                        .begin = word(2 + 3 * i),
                        .end = word(3 + 3 * i),
                        .offset = word(4 + 3 * i) * page});
      at += length + 1;
    }
  }

  unique_fd file_;
  Elf* elf_ = nullptr;
  const char* raw_ = nullptr;
  std::size_t raw_size_ = 0;
  std::vector<GElf_Phdr> loaded_;          // by address
  std::map<std::string, unique_fd> files_;  // that are mapped, by path
  std::vector<debug::thread_stack> stacks_;  // of its threads
};

}  // namespace

opened_target open_core(const std::string& path) {
  auto opened = std::make_unique<core_file>();
  if (std::string wrong = opened->open(path); !wrong.empty()) return wrong;
  return opened;
}

}  // namespace ufence::tool
