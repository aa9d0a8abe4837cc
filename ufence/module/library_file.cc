#include "ufence/module/library_file.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>

#include "ufence/base/fd.h"
#include "ufence/module/elf_damage.h"
#include "ufence/module/imports.h"

namespace ufence::detail {
namespace {

constexpr std::size_t libraries_max = 4096;

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Where Debian and others have the libraries of this machine; what $LIB stands for.
#if defined(__x86_64__)
constexpr std::string_view library_folder = "lib/x86_64-linux-gnu";
#elif defined(__aarch64__)
constexpr std::string_view library_folder = "lib/aarch64-linux-gnu";
#else
constexpr std::string_view library_folder = "lib/riscv64-linux-gnu";
#endif

void replace_token(std::string& text, std::string_view token, std::string_view value) {
  for (const std::string& spelled :
       {"${" + std::string(token) + "}", "$" + std::string(token)}) {
    for (std::size_t at = 0; (at = text.find(spelled, at)) != std::string::npos;) {
      text.replace(at, spelled.size(), value);
      at += value.size();
    }
  }
}

std::string expanded(std::string text, const std::string& origin) {
  const auto* const platform = reinterpret_cast<const char*>(::getauxval(AT_PLATFORM));
  replace_token(text, "ORIGIN", origin);
  replace_token(text, "LIB", library_folder);
  replace_token(text, "PLATFORM", platform != nullptr ? platform : "");
  return text;
}

std::vector<std::string> split(std::string_view list, std::string_view separators) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find_first_of(separators), list.size());
    parts.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return parts;
}

bool is_object_of_ours(const std::string& path) {
  const unique_fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  Elf64_Ehdr head{};
  if (!fd || ::pread(fd.get(), &head, sizeof head, 0) != static_cast<ssize_t>(sizeof head)) {
    // A file that is too short to tell is one that the dynamic linker would take, and fail with.
    struct stat file {};
    return fd && ::fstat(fd.get(), &file) == 0 && S_ISREG(file.st_mode);
  }
  return std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || is_for_this_machine(head);
}

// The linker's cache maps names to files. Its format is the C library's own, version 1.1.
class linker_cache {
 public:
  linker_cache() {
    const unique_fd fd(::open("/etc/ld.so.cache", O_RDONLY | O_CLOEXEC));
    struct stat file {};
    constexpr off_t size_max = 64 << 20;
    if (!fd || ::fstat(fd.get(), &file) != 0 || file.st_size > size_max) return;
    bytes_.resize(static_cast<std::size_t>(file.st_size));
    fd_source source(fd.get(), bytes_.size());
    if (!source.read(0, std::as_writable_bytes(std::span(bytes_)))) bytes_.clear();
  }

  std::string find(std::string_view name) const {
    constexpr std::string_view magic = "glibc-ld.so.cache1.1";
    struct {
      std::array<char, 20> magic;
      std::uint32_t entries;
      std::array<std::uint32_t, 6> rest;
    } head{};
    struct entry {
      std::int32_t flags;
      std::uint32_t key, value, version;
      std::uint64_t features;
    };
    static_assert(sizeof head == 48 && sizeof(entry) == 24);
    if (!copy(0, head) || std::string_view(head.magic.data(), magic.size()) != magic) return {};
    for (std::uint32_t n = 0; n < head.entries; ++n) {
      entry e{};
      if (!copy(sizeof head + n * sizeof e, e)) break;
      // Files for special processors lie beside one for all.
      if (e.features != 0 || text_at(e.key) != name) continue;
      std::string path(text_at(e.value));
      if (is_object_of_ours(path)) return path;
    }
    return {};
  }

 private:
  template <class T>
  bool copy(std::size_t offset, T& into) const noexcept {
    if (offset > bytes_.size() || sizeof into > bytes_.size() - offset) return false;
    std::memcpy(&into, bytes_.data() + offset, sizeof into);
    return true;
  }
  std::string_view text_at(std::uint32_t offset) const noexcept {
    if (offset >= bytes_.size()) return {};
    const std::string_view rest = std::string_view(bytes_).substr(offset);
    return rest.substr(0, rest.find('\0'));
  }

  std::string bytes_;
};

// Calls found "AddressSanitizer" and so on: the function that its code calls first, and the library of
// the compiler that has it.
struct sanitizer {
  std::string_view name, function, library;
};
constexpr std::array<sanitizer, 5> sanitizers{{
    {"AddressSanitizer", "__asan_init", "libasan.so"},
    {"ThreadSanitizer", "__tsan_init", "libtsan.so"},
    {"MemorySanitizer", "__msan_init", "libmsan.so"},
    {"HWAddressSanitizer", "__hwasan_init", "libhwasan.so"},
    {"LeakSanitizer", "__lsan_init", "liblsan.so"},
}};

}  // namespace

library_search search_of(const elf_file& file, const std::string& path,
                         const library_search* loader) {
  library_search s;
  s.origin = folder_of(path);
  for (const std::string& folder : split(file.run_path, ":")) {
    s.own.push_back(expanded(folder.empty() ? "." : folder, s.origin));
  }
  if (file.has_run_path || loader == nullptr) return s;
  // DT_RPATH holds for what the libraries need as well.
  s.inherited = loader->inherited;
  s.inherited.insert(s.inherited.begin(), loader->own.begin(), loader->own.end());
  return s;
}

std::string find_library(std::string_view name, const library_search& where) {
  if (name.contains('/')) {
    std::string path = expanded(std::string(name), where.origin);
    return is_object_of_ours(path) ? path : std::string();
  }
  const auto in = [name](const std::vector<std::string>& folders) -> std::string {
    for (const std::string& folder : folders) {
      std::string path = folder + "/" + std::string(name);
      if (is_object_of_ours(path)) return path;
    }
    return {};
  };
  // The dynamic linker looks into these in this order but for DT_RUNPATH, which comes after the
  // variable: that is rarely set, and never both have one name.
  if (std::string path = in(where.own); !path.empty()) return path;
  if (std::string path = in(where.inherited); !path.empty()) return path;
  if (const char* const variable = std::getenv("LD_LIBRARY_PATH"); variable != nullptr) {
    std::vector<std::string> folders = split(variable, ":;");
    for (std::string& folder : folders) folder = expanded(folder.empty() ? "." : folder, where.origin);
    if (std::string path = in(folders); !path.empty()) return path;
  }
  if (std::string path = linker_cache().find(name); !path.empty()) return path;
  return in({"/" + std::string(library_folder), "/usr/" + std::string(library_folder), "/lib",
             "/usr/lib"});
}

std::string reason_to_keep(const elf_file& library) {
  // The dynamic linker keeps such a one by itself.
  if ((library.flags_1 & DF_1_NODELETE) != 0) return {};
  for (const elf_symbol& s : library.symbols) {
    if (!s.is_defined && starts_threads(s.name)) return "it starts threads (" + readable_name(s.name) + ")";
  }
  for (const elf_symbol& s : library.symbols) {
    if (!s.is_defined && makes_keys(s.name)) {
      return "threads keep values of it (" + readable_name(s.name) + ")";
    }
    if (!s.is_defined && leaves_unseen(s.name)) {
      return "it leaves functions of its own registered (" + readable_name(s.name) + ")";
    }
  }
  if ((library.flags & DF_STATIC_TLS) != 0 && library.tls_size != 0) {
    return "it has static thread-local storage, " + std::to_string(library.tls_size) +
           " bytes, which the process seldom gets back";
  }
  return {};
}

bool names_sanitizer(const elf_file& file) noexcept {
  return std::ranges::any_of(sanitizers, [&file](const sanitizer& s) {
    return std::ranges::find(file.symbols, s.function, &elf_symbol::name) != file.symbols.end() ||
           std::ranges::any_of(file.needed, [&s](const std::string& l) { return l.starts_with(s.library); });
  });
}

std::string missing_sanitizer(const elf_file& file) {
  for (const sanitizer& s : sanitizers) {
    const bool calls = std::ranges::any_of(
        file.symbols, [&](const elf_symbol& symbol) { return symbol.name == s.function; });
    if (calls && ::dlsym(RTLD_DEFAULT, std::string(s.function).c_str()) == nullptr) {
      return "built with " + std::string(s.name) +
             ", whose runtime is not in this process: the process would end; build the program with "
             "it as well, or the module without";
    }
    for (const std::string& library : file.needed) {
      if (!library.starts_with(s.library)) continue;
      void* const loaded = ::dlopen(library.c_str(), RTLD_NOLOAD | RTLD_LAZY | RTLD_LOCAL);
      if (loaded == nullptr) {
        return "built with the " + std::string(s.name) + " of " + library +
               ", which is not in this process: the process would end; build the program with it as "
               "well, or the module without";
      }
      ::dlclose(loaded);
    }
  }
  return {};
}

namespace {

// Follows what is needed, breadth first as the dynamic linker does.
class library_walk {
 public:
  library_walk(module_info& info, const std::function<bool(const std::string&)>& is_there) noexcept
      : info_(info), is_there_(is_there) {}

  void run(const elf_file& module) {
    if (std::ranges::all_of(module.needed, is_there_)) return;
    add(module.needed, search_of(module, real_path(info_.path), nullptr), info_.path);
    for (std::size_t n = 0; n < wanted_.size() && n < libraries_max; ++n) {
      look_at(wanted_[n].name, wanted_[n].where, wanted_[n].by);
    }
  }

 private:
  struct wanted {
    std::string name;
    library_search where;
    std::string by;
  };

  static std::string real_path(const std::string& path) {
    char* const resolved = ::realpath(path.c_str(), nullptr);
    std::string copy = resolved != nullptr ? resolved : path;
    std::free(resolved);
    return copy;
  }

  void add(const std::vector<std::string>& names, const library_search& where,
           const std::string& by) {
    for (const std::string& name : names) {
      if (seen_.insert(name).second && !is_there_(name)) wanted_.push_back({name, where, by});
    }
  }
  void refuse(std::string text) {
    if (info_.error == 0) info_.error = ENOEXEC;
    info_.problems.push_back(std::move(text));
  }

  // By value: the list grows.
  void look_at(std::string name, library_search where, std::string by) {
    library_info found;
    found.name = name;
    found.path = find_library(name, where);
    if (found.path.empty()) {
      return refuse("needs " + name + ", which was not found" +
                    (by == info_.path ? std::string() : " (for " + by + ")"));
    }
    const unique_fd fd(::open(found.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat file {};
    if (!fd || ::fstat(fd.get(), &file) != 0) {
      return refuse("needs " + found.path + ": " + std::strerror(errno));
    }
    fd_source source(fd.get(), static_cast<std::uint64_t>(file.st_size));
    const auto library = read_elf(source);
    const std::string damage =
        library ? find_damage(source, *library, elf_role::library) : library.error();
    if (!damage.empty()) return refuse("needs " + found.path + ": " + damage);
    if (std::string problem = missing_sanitizer(*library); !problem.empty()) {
      return refuse("needs " + found.path + ", " + problem);
    }
    if (library->wants_executable_stack) {
      info_.warnings.push_back("needs " + found.path +
                               ", which makes the stacks of the whole process executable");
    }
    found.memory_size = library->span_end() - library->span_begin();
    found.static_tls_size = (library->flags & DF_STATIC_TLS) != 0 ? library->tls_size : 0;
    found.kept = reason_to_keep(*library);
    add(library->needed, search_of(*library, real_path(found.path), &where), found.path);
    info_.libraries.push_back(std::move(found));
  }

  module_info& info_;
  const std::function<bool(const std::string&)>& is_there_;
  std::vector<wanted> wanted_;
  std::set<std::string> seen_;
};

}  // namespace

void check_libraries(const elf_file& module, module_info& info,
                     const std::function<bool(const std::string& name)>& is_there) {
  library_walk(info, is_there).run(module);
}

}  // namespace ufence::detail
