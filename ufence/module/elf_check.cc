#include "ufence/module/elf_check.h"

#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "ufence/driver.h"

namespace ufence::detail {
namespace {

using namespace std::string_view_literals;

// What starts threads, or has the C library start them, behind the host's back (D-13).
constexpr std::array thread_starters = {
    "pthread_create"sv, "thrd_create"sv,  "clone"sv,      "__clone"sv,    "__clone2"sv,
    "clone3"sv,         "timer_create"sv, "mq_notify"sv,  "aio_read"sv,   "aio_read64"sv,
    "aio_write"sv,      "aio_write64"sv,  "aio_fsync"sv,  "aio_fsync64"sv, "lio_listio"sv,
    "lio_listio64"sv,   "getaddrinfo_a"sv,
};
constexpr std::array thread_starter_prefixes = {
    "_ZNSt6thread15_M_start_thread"sv,  // std::thread and what is built on it
};
// Registers a destructor to run at the end of a thread: the object stays mapped until it has.
constexpr std::array thread_exit_functions = {"__cxa_thread_atexit"sv, "__cxa_thread_atexit_impl"sv};

// Names of GNU-unique symbols to tell; the rest is counted.
constexpr std::size_t names_told_max = 3;

bool starts_threads(std::string_view name) noexcept {
  const auto is_prefix = [name](std::string_view prefix) { return name.starts_with(prefix); };
  return std::ranges::find(thread_starters, name) != thread_starters.end() ||
         std::ranges::any_of(thread_starter_prefixes, is_prefix);
}

class checker {
 public:
  checker(const elf_file& file, module_info& info) noexcept : file_(file), info_(info) {}

  void run() {
    check_note();
    check_flags();
    check_entry();
    check_imports();
    check_unique();
  }
  const elf_symbol* entry() const noexcept { return entry_; }

 private:
  void refuse(int error, std::string text) {
    if (info_.error == 0) info_.error = error;
    info_.problems.push_back(std::move(text));
  }
  void keeps_mapped(std::string text) {
    info_.unmaps = unmapping::never;
    refuse(ENOEXEC, std::move(text));
  }

  void check_note() {
    for (const elf_note& note : file_.notes) {
      if (note.name == "GNU" && note.type == NT_GNU_BUILD_ID) set_build_id(note);
      if (note.name != UFENCE_NOTE_NAME || note.type != UFENCE_NOTE_TYPE_ABI) continue;
      std::uint32_t version = 0;
      if (note.description.size() < sizeof version) continue;
      std::memcpy(&version, note.description.data(), sizeof version);
      if (info_.abi_version != 0 && info_.abi_version != version) {
        refuse(EPROTO, "D-2: two ABI notes that differ");
      }
      info_.abi_version = version;
    }
    if (info_.abi_version == 0) {
      refuse(ENOEXEC, "D-2: no ufence ABI note: not a driver module");
    } else if (info_.abi_version != UFENCE_ABI_VERSION) {
      refuse(EPROTO, "D-2: built for ABI version " + std::to_string(info_.abi_version) +
                         ", this host has " + std::to_string(UFENCE_ABI_VERSION));
    }
  }

  void set_build_id(const elf_note& note) {
    constexpr std::string_view digits = "0123456789abcdef";
    info_.build_id.clear();
    for (const std::byte b : note.description) {
      info_.build_id += digits[std::to_integer<unsigned>(b) >> 4];
      info_.build_id += digits[std::to_integer<unsigned>(b) & 15];
    }
  }

  void check_flags() {
    if ((file_.flags_1 & DF_1_PIE) != 0) refuse(ENOEXEC, "an executable, not a shared object");
    if ((file_.flags_1 & DF_1_NOOPEN) != 0) refuse(ENOEXEC, "linked with -z nodlopen");
    if ((file_.flags_1 & DF_1_NODELETE) != 0) {
      keeps_mapped("D-14: linked with -z nodelete: it would stay mapped for ever");
    }
    if ((file_.flags & DF_STATIC_TLS) != 0) {
      info_.warnings.emplace_back(
          "uses static thread-local storage, of which the process has little: a reload may fail");
    }
  }

  void check_entry() {
    for (const elf_symbol& s : file_.symbols) {
      if (s.name != UFENCE_DRIVER_SYMBOL || !s.is_defined) continue;
      if (s.bind != STB_GLOBAL && s.bind != STB_WEAK) continue;
      if (s.visibility == STV_HIDDEN || s.visibility == STV_INTERNAL) continue;
      entry_ = &s;
    }
    if (entry_ == nullptr) {
      return refuse(ENOEXEC, "D-1: exports no symbol " UFENCE_DRIVER_SYMBOL);
    }
    if (entry_->type != STT_OBJECT) {
      return refuse(ENOEXEC, "D-1: " UFENCE_DRIVER_SYMBOL " is not data");
    }
    const auto holds = [this](const elf_segment& segment) {
      return entry_->value >= segment.address &&
             entry_->value - segment.address < segment.memory_size &&
             entry_->size <= segment.memory_size - (entry_->value - segment.address);
    };
    const auto home = std::ranges::find_if(file_.segments, holds);
    if (home == file_.segments.end()) {
      return refuse(ENOEXEC, "D-1: " UFENCE_DRIVER_SYMBOL " lies outside of the object");
    }
    if (entry_->size < 2 * sizeof(std::uint32_t)) {
      return refuse(ENOEXEC, "D-1: " UFENCE_DRIVER_SYMBOL " is too small for its size and version");
    }
    const bool is_read_only_later = entry_->value >= file_.read_only_begin &&
                                    entry_->value + entry_->size <= file_.read_only_end;
    if (home->is_writable && !is_read_only_later) {
      info_.warnings.emplace_back("D-1: " UFENCE_DRIVER_SYMBOL " is writable data");
    }
  }

  void check_imports() {
    bool has_thread_exit = false;
    for (const elf_symbol& s : file_.symbols) {
      if (s.is_defined) continue;
      if (starts_threads(s.name)) {
        refuse(ENOEXEC, "D-13: imports " + std::string(s.name) +
                            ", which starts threads that an unload can't account for");
      }
      has_thread_exit |=
          std::ranges::find(thread_exit_functions, s.name) != thread_exit_functions.end();
    }
    if (!has_thread_exit) return;
    if (info_.unmaps == unmapping::immediate) info_.unmaps = unmapping::deferred;
    info_.warnings.emplace_back(
        "D-14: has thread_local objects with destructors: it stays mapped until they have run");
  }

  void check_unique() {
    std::size_t count = 0;
    std::string names;
    for (const elf_symbol& s : file_.symbols) {
      if (!s.is_defined || s.bind != STB_GNU_UNIQUE) continue;
      if (++count > names_told_max) continue;
      if (!names.empty()) names += ", ";
      names += s.name;
    }
    if (count == 0) return;
    if (count > names_told_max) {
      names += " and " + std::to_string(count - names_told_max) + " more";
    }
    keeps_mapped("D-14: defines GNU-unique symbols (" + names +
                 "): it would stay mapped for ever; compile with -fno-gnu-unique");
  }

  const elf_file& file_;
  module_info& info_;
  const elf_symbol* entry_ = nullptr;
};

}  // namespace

void check_elf(byte_source& source, module_info& info, module_layout* layout) {
  info.file_size = source.size();
  std::expected<elf_file, std::string> file = read_elf(source);
  if (!file) {
    info.error = ENOEXEC;
    info.problems.push_back(std::move(file.error()));
    return;
  }
  info.soname = file->soname;
  info.needed = file->needed;
  info.memory_size = file->span_end() - file->span_begin();
  checker check(*file, info);
  check.run();
  if (layout == nullptr || !info.is_loadable()) return;
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  *layout = {.begin = file->span_begin() & ~(page - 1),
             .end = (file->span_end() + page - 1) & ~(page - 1),
             .driver_at = check.entry()->value,
             .driver_size = check.entry()->size};
}

}  // namespace ufence::detail
