#include "ufence/module/loader.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "ufence/base/check.h"
#include "ufence/module/module_file.h"
#include "ufence/module/registry.h"
#include "ufence/module/validate.h"

namespace ufence {
namespace {

using detail::module_file;
using detail::module_record;

// How often a file may be replaced under our hands while it is loaded.
constexpr int replaced_max = 8;

using failed = std::unexpected<load_failure>;

failed fail(int error, const std::string& path, std::string_view why) {
  return failed({.error = error, .why = path + ": " + std::string(why)});
}

std::string joined(const std::vector<std::string>& problems) {
  std::string all;
  for (const std::string& p : problems) {
    if (!all.empty()) all += "; ";
    all += p;
  }
  return all;
}

std::string last_linker_error() {
  const char* text = ::dlerror();
  return text != nullptr ? text : "unknown error of the dynamic linker";
}

// The errno of a failure of dlopen(), which tells only a text: that of the system call that failed,
// at its end; or that memory is short, of which the memory for thread-local data that all threads
// have at once is a part. ENOEXEC: it is the module's own fault.
int linker_errno(std::string_view text) {
  if (text.find("cannot allocate") != text.npos || text.find("out of memory") != text.npos ||
      text.find("static TLS") != text.npos) {
    return ENOMEM;
  }
  for (const int error : {ENOMEM, EMFILE, ENFILE, EAGAIN, EACCES, EPERM, EIO}) {
    if (text.ends_with(": " + std::string(std::strerror(error)))) return error;
  }
  return ENOEXEC;
}

std::optional<std::string> real_path(const std::string& path) {
  char* const resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return std::nullopt;
  std::string copy = resolved;
  std::free(resolved);
  return copy;
}

// The same path written in a way that no one else uses: for each bit of the number "/" or "./"
// before the file's name.
std::string spell(const std::string& path, std::uint64_t number) {
  const std::size_t name_at = path.rfind('/') + 1;
  std::string spelled = path.substr(0, name_at);
  for (std::uint64_t rest = number; rest != 0; rest >>= 1) spelled += (rest & 1) != 0 ? "./" : "/";
  return spelled + path.substr(name_at);
}

// What the dynamic linker has under that name; it compares names before files.
bool is_known_to_linker(const std::string& name) {
  void* const found = ::dlopen(name.c_str(), RTLD_NOLOAD | RTLD_LAZY | RTLD_LOCAL);
  if (found == nullptr) return false;
  ::dlclose(found);
  return true;
}

// A name under which the dynamic linker opens this file and not an older one that it has under the
// same path; nothing if it has this very file: a fresh spelling can match by file only.
std::optional<std::string> linker_name(const std::string& path) {
  if (!is_known_to_linker(path)) return path;
  std::string fresh = spell(path, detail::next_spelling());
  if (is_known_to_linker(fresh)) return std::nullopt;
  return fresh;
}

bool is_still_file(const std::string& path, detail::file_id id) {
  struct stat file {};
  return ::stat(path.c_str(), &file) == 0 && file.st_dev == id.device && file.st_ino == id.inode;
}

// The registry's entry until the module is mapped.
struct record_deleter {
  void operator()(module_record* record) const noexcept { detail::forget_module(record); }
};
using record_holder = std::unique_ptr<module_record, record_deleter>;

struct handle_closer {
  void operator()(void* handle) const noexcept { ::dlclose(handle); }
};
using handle_holder = std::unique_ptr<void, handle_closer>;

// A checked file that the dynamic linker has mapped. The record outlives the mapping.
struct mapped_module {
  record_holder record;
  handle_holder handle;
  module_file file;
  std::uintptr_t base = 0;  // what is added to the addresses of the file
  const void* entry = nullptr;
};

// The error of a failure that says: the file was replaced between our look and the dynamic
// linker's.
constexpr int replaced = ESTALE;

std::expected<mapped_module, load_failure> map_module(const std::string& path) {
  const std::optional<std::string> real = real_path(path);
  if (!real) return fail(errno, path, std::strerror(errno));
  mapped_module m;
  m.file = detail::open_module(*real);
  if (!m.file.info.is_loadable()) {
    return fail(m.file.info.error, path, joined(m.file.info.problems));
  }
  m.record.reset(detail::enter_module(m.file.id));
  if (!m.record) return fail(EEXIST, path, "this file is loaded already");
  const std::optional<std::string> name = linker_name(*real);
  if (!name) return fail(EEXIST, path, "this file is mapped already, not by a host");
  m.record->linker_name = *name;

  m.handle.reset(::dlopen(name->c_str(), RTLD_NOW | RTLD_LOCAL));
  const std::string problem = m.handle ? std::string() : last_linker_error();
  if (!is_still_file(*real, m.file.id)) return fail(replaced, path, "replaced");
  if (!m.handle) return fail(linker_errno(problem), path, problem);
  link_map* linked = nullptr;
  if (::dlinfo(m.handle.get(), RTLD_DI_LINKMAP, &linked) != 0) {
    return fail(ENOEXEC, path, last_linker_error());
  }
  m.base = linked->l_addr;
  m.entry = ::dlsym(m.handle.get(), UFENCE_DRIVER_SYMBOL);
  if (reinterpret_cast<std::uintptr_t>(m.entry) != m.base + m.file.layout.driver_at) {
    return fail(replaced, path, "replaced");
  }
  return m;
}

}  // namespace

std::expected<std::unique_ptr<loaded_module>, load_failure> loaded_module::load(
    const std::string& path) {
  std::expected<mapped_module, load_failure> m = map_module(path);
  for (int attempt = 1; !m && m.error().error == replaced && attempt < replaced_max; ++attempt) {
    m = map_module(path);
  }
  if (!m) {
    if (m.error().error != replaced) return failed(std::move(m.error()));
    return fail(EAGAIN, path, "the file was replaced again and again while it was loaded");
  }
  const detail::address_range range{.begin = m->base + m->file.layout.begin,
                                    .end = m->base + m->file.layout.end};
  const auto& driver = *static_cast<const ufence_driver*>(m->entry);
  const std::string problem = detail::validate_driver(driver, m->file.layout.driver_size, range);
  if (!problem.empty()) return fail(EPROTO, path, problem);
  result<std::string> mapped_as = detail::mapped_file(range);
  if (!mapped_as) return fail(mapped_as.error().value(), path, "can't read /proc/self/maps");

  std::unique_ptr<loaded_module> module(new loaded_module);
  module->info_ = std::move(m->file.info);
  module->info_.path = path;
  module->range_ = range;
  module->driver_ = &driver;
  m->record->range = range;
  m->record->mapped_as = std::move(*mapped_as);
  module->handle_ = m->handle.release();
  module->record_ = m->record.release();
  return module;
}

loaded_module::~loaded_module() {
  if (state_ == mapping::mapped) static_cast<void>(unload());
  if (record_ != nullptr) detail::orphan_module(record_);
}

mapping loaded_module::unload() {
  if (state_ == mapping::unmapped) return state_;
  driver_ = nullptr;
  if (handle_ != nullptr) {
    ::dlclose(std::exchange(handle_, nullptr));
  } else {
    // Opening and closing a mapping that nobody holds makes the dynamic linker look again.
    is_known_to_linker(record_->linker_name);
  }
  const result<std::string> found = detail::mapped_file(range_, record_->mapped_as);
  if (!found || !found->empty()) {
    state_ = info_.unmaps == unmapping::deferred ? mapping::deferred : mapping::pinned;
    return state_;
  }
  if constexpr (UFENCE_DEBUG_CHECKS != 0) detail::reserve_range(range_);
  detail::forget_module(std::exchange(record_, nullptr));
  return state_ = mapping::unmapped;
}

std::string loaded_module::why_mapped() const {
  switch (state_) {
    case mapping::deferred:
      return "a thread_local object of the module waits for its destructor: the mapping goes after "
             "that thread has ended";
    case mapping::pinned:
      return "the mapping is held by another dlopen(), or by a library that is bound to it";
    default: return {};
  }
}

bool is_reserved_for_test(detail::address_range range) { return detail::is_reserved(range); }

}  // namespace ufence
