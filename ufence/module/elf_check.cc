#include "ufence/module/elf_check.h"

#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "ufence/driver.h"
#include "ufence/module/elf_damage.h"
#include "ufence/module/imports.h"
#include "ufence/module/library_file.h"

namespace ufence::detail {
namespace {

using namespace std::string_view_literals;

// Registers a destructor to run at the end of a thread: the object stays mapped until it has.
constexpr std::array thread_exit_functions = {"__cxa_thread_atexit"sv, "__cxa_thread_atexit_impl"sv};

// Names of GNU-unique symbols to tell; the rest is counted.
constexpr std::size_t names_told_max = 3;

// Libraries that nothing of a module is ever bound by: they were there before it.
constexpr std::array early_libraries = {"libc.so."sv,       "libm.so."sv,  "ld-linux"sv,
                                        "libpthread.so."sv, "libdl.so."sv, "librt.so."sv,
                                        "libgcc_s.so."sv};

bool may_bind_to_modules(std::string_view library) noexcept {
  return std::ranges::none_of(early_libraries,
                              [library](std::string_view name) { return library.starts_with(name); });
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
    check_exports();
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
      info_.static_tls_size = file_.tls_size;
      info_.warnings.push_back("uses " + std::to_string(file_.tls_size) +
                               " bytes of static thread-local storage, of which the process has "
                               "little, and gets it back last in, first out: a reload may fail");
    }
    if (file_.wants_executable_stack) {
      info_.warnings.emplace_back(
          "asks for an executable stack: those of the whole process become so; link with -z "
          "noexecstack");
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
        refuse(ENOEXEC, "D-13: imports " + readable_name(s.name) +
                            ", which starts threads that an unload can't account for: " +
                            std::string(instead_of_thread_starter(s.name)));
      }
      if (makes_types(s.name)) {
        refuse(ENOEXEC, "D-21: imports " + std::string(s.name) +
                            ", which registers a type for as long as the process lives: register it in a "
                            "library that the module needs, or with g_type_register_dynamic()");
      }
      has_thread_exit |=
          std::ranges::find(thread_exit_functions, s.name) != thread_exit_functions.end();
    }
    for (std::string& warning : warnings_of_imports(file_)) {
      info_.warnings.push_back(std::move(warning));
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
    keeps_mapped("D-14: defines GNU-unique symbols (" + names + "): it would stay mapped for ever; " +
                 (has_own_libstdcxx()
                      ? "they come with libstdc++, which is linked in: link with -Wl,--exclude-libs,ALL, "
                        "or with a version script that exports " UFENCE_DRIVER_SYMBOL " alone"
                      : "compile with -fno-gnu-unique"));
  }

  // C++ of the standard library, and no such library: it is linked in.
  bool has_own_libstdcxx() const {
    const auto is_libstdcxx = [](const std::string& name) { return name.starts_with("libstdc++.so."); };
    return std::ranges::none_of(file_.needed, is_libstdcxx) &&
           std::ranges::any_of(file_.symbols, [](const elf_symbol& s) {
             return s.is_defined && s.bind == STB_GNU_UNIQUE &&
                    (s.name.starts_with("_ZNSt") || s.name.starts_with("_ZGVNSt"));
           });
  }

  // A library that comes with the module may be bound to what the module exports; if it stays, the
  // module does.
  void check_exports() {
    if (std::ranges::none_of(file_.needed, may_bind_to_modules)) return;
    std::size_t count = 0;
    std::string names;
    for (const elf_symbol& s : file_.symbols) {
      if (!s.is_defined || s.bind == STB_LOCAL || s.name == UFENCE_DRIVER_SYMBOL) continue;
      if (s.visibility == STV_HIDDEN || s.visibility == STV_INTERNAL || s.name.empty()) continue;
      if (s.is_absolute || s.bind == STB_GNU_UNIQUE) continue;
      if (++count > names_told_max) continue;
      if (!names.empty()) names += ", ";
      names += s.name;
    }
    if (count == 0) return;
    if (count > names_told_max) names += ", ...";
    info_.warnings.push_back("D-14: exports " + std::to_string(count) + " symbols besides " +
                             UFENCE_DRIVER_SYMBOL + " (" + names +
                             "): a library that it needs may be bound to them, and hold it mapped; "
                             "link with a version script, and -Wl,--exclude-libs,ALL");
  }

  const elf_file& file_;
  module_info& info_;
  const elf_symbol* entry_ = nullptr;
};

}  // namespace

// Constructors register what runs at the end; a table of destructors, or a last function, of more than
// the compiler's own runs then as well.
bool has_static_objects(const elf_file& file) noexcept {
  static constexpr std::array registering = {"__cxa_atexit"sv, "atexit"sv, "on_exit"sv};
  return file.tag(DT_FINI_ARRAYSZ).value_or(0) > sizeof(Elf64_Addr) ||
         std::ranges::any_of(file.symbols, [](const elf_symbol& s) {
           return !s.is_defined && std::ranges::find(registering, s.name) != registering.end();
         });
}

bool imports_one_of(const elf_file& file, std::span<const std::string_view> names) noexcept {
  return std::ranges::any_of(file.symbols, [names](const elf_symbol& s) {
    return !s.is_defined && std::ranges::find(names, s.name) != names.end();
  });
}

bool imports_some(const elf_file& file, bool (*is_wanted)(std::string_view function) noexcept) noexcept {
  return std::ranges::any_of(file.symbols, [is_wanted](const elf_symbol& s) {
    return !s.is_defined && is_wanted(s.name);
  });
}

bool opens_libraries(const elf_file& file) noexcept {
  static constexpr std::array opening = {"dlopen"sv, "dlmopen"sv};
  return imports_one_of(file, opening);
}

bool finds_functions(const elf_file& file) noexcept {
  static constexpr std::array finding = {"dlsym"sv, "dlvsym"sv, "syscall"sv};
  return imports_one_of(file, finding);
}

bool may_set_signals(const elf_file& file) noexcept {
  return finds_functions(file) || imports_some(file, &sets_signals);
}

void check_sanitizer(const elf_file& file, module_info& info) {
  std::string problem = missing_sanitizer(file);
  if (problem.empty()) return;
  if (info.error == 0) info.error = ENOEXEC;
  info.problems.push_back("D-23: " + problem);
}

std::optional<elf_file> check_elf(byte_source& source, module_info& info, module_layout* layout) {
  info.file_size = source.size();
  std::expected<elf_file, std::string> file = read_elf(source);
  if (!file) {
    info.error = ENOEXEC;
    info.problems.push_back(std::move(file.error()));
    return std::nullopt;
  }
  info.soname = file->soname;
  info.needed = file->needed;
  info.memory_size = file->span_end() - file->span_begin();
  checker check(*file, info);
  check.run();
  if (std::string damage = find_damage(source, *file, elf_role::module); !damage.empty()) {
    if (info.error == 0) info.error = ENOEXEC;
    info.problems.push_back(std::move(damage));
  }
  if (layout == nullptr || !info.is_loadable()) return std::move(*file);
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  *layout = {.begin = file->span_begin() & ~(page - 1),
             .end = (file->span_end() + page - 1) & ~(page - 1),
             .driver_at = check.entry()->value,
             .driver_size = check.entry()->size,
             .has_static_objects = has_static_objects(*file),
             .opens_libraries = opens_libraries(*file),
             .sets_signals = may_set_signals(*file),
             .finds_functions = finds_functions(*file),
             .leaves_in_c_library = imports_some(*file, &leaves_in_c_library),
             .registers_conversions = imports_some(*file, &registers_conversions)};
  return std::move(*file);
}

}  // namespace ufence::detail
