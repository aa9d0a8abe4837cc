#include "ufence/module/loader.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <exception>
#include <string_view>
#include <utility>

#include "ufence/base/check.h"
#include "ufence/module/begun_threads.h"
#include "ufence/module/left_pointers.h"
#include "ufence/module/module_file.h"
#include "ufence/module/registered.h"
#include "ufence/module/registry.h"
#include "ufence/module/validate.h"

namespace ufence {
namespace {

using detail::module_file;
using detail::module_record;

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

// The path of an open file, if it still has one.
std::string path_of_open_file(int fd, const std::string& otherwise) {
  std::array<char, PATH_MAX> path;
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), path.data(), path.size());
  if (size <= 0 || path[0] != '/') return otherwise;
  std::string found(path.data(), static_cast<std::size_t>(size));
  return found.ends_with(" (deleted)") ? otherwise : found;
}

// A name of an open file that nobody else uses, and that is at least that long: for each bit of the
// number "/" or "./" before the descriptor's number, then slashes. The dynamic linker compares names
// before files, so that a name must not come back with another file.
std::string name_of_open_file(int fd, std::uint64_t number, std::size_t length_min) {
  std::string name = "/proc/self/fd/";
  for (std::uint64_t rest = number; rest != 0; rest >>= 1) name += (rest & 1) != 0 ? "./" : "/";
  const std::string digits = std::to_string(fd);
  if (name.size() + digits.size() < length_min) {
    name.append(length_min - name.size() - digits.size(), '/');
  }
  return name + digits;
}

// Opens what the dynamic linker has already under that name, or of that file; then closes it again.
bool is_known_to_linker(const std::string& name) {
  void* const found = ::dlopen(name.c_str(), RTLD_NOLOAD | RTLD_LAZY | RTLD_LOCAL);
  if (found == nullptr) return false;
  ::dlclose(found);
  return true;
}

// Debuggers, profilers and dladdr() go by the name in the dynamic linker's list. It was opened by its
// descriptor, whose name says nothing later: the path is written over it. It has room for it.
void show_path(link_map& linked, const std::string& path) noexcept {
  if (path.size() > std::strlen(linked.l_name)) return;
  std::memcpy(linked.l_name, path.c_str(), path.size() + 1);
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

bool is_on_noexec(int fd) noexcept {
  struct statvfs system {};
  return ::fstatvfs(fd, &system) == 0 && (system.f_flag & ST_NOEXEC) != 0;
}

bool has_proc() noexcept { return ::access("/proc/self/maps", R_OK) == 0; }

// The dynamic linker's message names a descriptor: here it names the path. What it does not say is
// added.
std::string explain(std::string problem, const std::string& name, int fd) {
  if (problem.starts_with(name + ": ")) problem.erase(0, name.size() + 2);
  if (!has_proc()) {
    return "/proc is not mounted, or can't be read: a module is opened, and its unload verified, by it";
  }
  if (is_on_noexec(fd)) return problem + ": the file lies in a file system that is mounted noexec";
  if (!problem.contains("static TLS")) return problem;
  std::string holders;
  for (const std::string& holder : detail::holders_of_static_tls()) {
    holders += (holders.empty() ? "" : ", ") + holder;
  }
  return problem + ": the process's static thread-local storage is used up" +
         (holders.empty() ? std::string() : "; loaded later than the start, and holding some: " + holders);
}

// $ORIGIN of a module that is opened by its descriptor would be the folder of descriptors: what it finds
// by $ORIGIN is opened first. The dynamic linker then knows it by its name.
std::vector<handle_holder> open_beside(const module_info& info) {
  std::vector<handle_holder> opened;
  for (const std::string& name : info.needed) {
    const auto found = std::ranges::find(info.libraries, name, &library_info::name);
    if (found == info.libraries.end() || name.contains('/')) continue;
    if (void* const library = ::dlopen(found->path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
      opened.emplace_back(library);
    }
  }
  return opened;
}

std::expected<mapped_module, load_failure> map_module(const std::string& path,
                                                      bool private_copy) {
  mapped_module m;
  m.file = detail::open_module(path, private_copy);
  if (!m.file.info.is_loadable()) {
    return fail(m.file.info.error, path, joined(m.file.info.problems));
  }
  auto entered = detail::enter_module(m.file.stamp);
  if (!entered) return fail(EEXIST, path, entered.error());
  m.record.reset(*entered);
  const std::string shown = path_of_open_file(m.file.fd.get(), path);
  const std::string name = name_of_open_file(m.file.fd.get(), detail::next_spelling(), shown.size());
  m.record->linker_name = name;

  const std::vector<handle_holder> beside = open_beside(m.file.info);
  m.handle.reset(::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL));
  if (!m.handle) {
    const std::string problem = last_linker_error();
    const int fd = m.file.fd.get();
    const int error = !has_proc()      ? ENOSYS
                      : is_on_noexec(fd) ? EPERM
                                         : linker_errno(problem);
    return fail(error, path, explain(problem, name, fd));
  }
  link_map* linked = nullptr;
  if (::dlinfo(m.handle.get(), RTLD_DI_LINKMAP, &linked) != 0) {
    return fail(ENOEXEC, path, last_linker_error());
  }
  // It knows a file again by its identity, and then has it under the name of before.
  if (name != linked->l_name) return fail(EEXIST, path, "this file is mapped already, not by a host");
  show_path(*linked, private_copy ? path : shown);
  m.base = linked->l_addr;
  m.entry = ::dlsym(m.handle.get(), UFENCE_DRIVER_SYMBOL);
  if (reinterpret_cast<std::uintptr_t>(m.entry) != m.base + m.file.layout.driver_at) {
    return fail(ENOEXEC, path, "D-1: the dynamic linker finds no " UFENCE_DRIVER_SYMBOL
                               " in it, or the file was written to meanwhile");
  }
  return m;
}

}  // namespace

std::expected<std::unique_ptr<loaded_module>, load_failure> loaded_module::load(
    const std::string& path, bool private_copy) {
  std::expected<mapped_module, load_failure> m = map_module(path, private_copy);
  if (!m) return failed(std::move(m.error()));
  const detail::address_range range{.begin = m->base + m->file.layout.begin,
                                    .end = m->base + m->file.layout.end};
  // Also after a failure: what came with it may have started threads.
  detail::companions_found came = detail::find_companions(m->file.info.needed);
  const auto& driver = *static_cast<const ufence_driver*>(m->entry);
  const std::string problem = detail::validate_driver(driver, m->file.layout.driver_size, range);
  if (!problem.empty()) return fail(EPROTO, path, problem);
  result<std::string> mapped_as = detail::mapped_file(range);
  if (!mapped_as) {
    return fail(mapped_as.error().value(), path,
                "can't look at its mapping in /proc/self/maps: " + mapped_as.error().message());
  }

  std::unique_ptr<loaded_module> module(new loaded_module);
  module->notes_ = m->file.info.warnings;
  module->notes_.insert(module->notes_.end(), came.notes.begin(), came.notes.end());
  module->companions_ = std::move(came.all);
  if (m->file.layout.opens_libraries) module->others_ = detail::bases_now();
  module->may_start_threads_ = m->file.layout.finds_functions || m->file.layout.opens_libraries;
  module->sets_signals_ = m->file.layout.sets_signals;
  module->leaves_in_c_library_ = m->file.layout.leaves_in_c_library;
  module->registers_conversions_ = m->file.layout.registers_conversions;
  module->has_static_objects_ = m->file.layout.has_static_objects;
  module->info_ = std::move(m->file.info);
  module->info_.path = path;
  module->range_ = range;
  module->driver_ = &driver;
  m->record->range = range;
  m->record->mapped_as = std::move(*mapped_as);
  m->record->fd = std::move(m->file.fd);
  module->handle_ = m->handle.release();
  module->record_ = m->record.release();
  return module;
}

// A module whose load failed comes here without an unload.
bool loaded_module::leaves_nothing() noexcept {
  try {
    const std::vector<std::string> left = left_behind();
    if (left.empty()) return true;
    tell_of_unload(left.front());
  } catch (const std::exception&) {  // no memory to look
  }
  return false;
}

loaded_module::~loaded_module() {
  if (state_ == mapping::mapped && leaves_nothing()) static_cast<void>(unload());
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
  look_error_ = found ? 0 : found.error().value();
  if (!found || !found->empty()) {
    state_ = info_.unmaps == unmapping::deferred ? mapping::deferred : mapping::pinned;
    tell_of_unload(state_ == mapping::deferred
                       ? "its unload was deferred, until the thread_local objects of some thread go"
                       : "its unload could not unmap it");
    return state_;
  }
  if constexpr (UFENCE_DEBUG_CHECKS != 0) detail::reserve_range(range_);
  detail::forget_module(std::exchange(record_, nullptr));
  // Those that went with it are forgotten: others may come to lie where they were.
  if (!std::ranges::all_of(companions_, &detail::companion::stays)) {
    static_cast<void>(detail::still_there(companions_));
  }
  return state_ = mapping::unmapped;
}

std::string loaded_module::why_mapped() const {
  if (state_ != mapping::deferred && state_ != mapping::pinned) return {};
  if (look_error_ != 0) {
    return "not known whether it is mapped: /proc/self/maps: " +
           std::generic_category().message(look_error_);
  }
  if (state_ == mapping::deferred) {
    return "a thread_local object of the module waits for its destructor: the mapping goes after "
           "that thread has ended";
  }
  std::string why = "the mapping is held by another dlopen(), or by a library that is bound to it";
  std::string names;
  for (const std::string& name : detail::still_there(companions_)) {
    names += (names.empty() ? "" : ", ") + name;
  }
  return names.empty() ? why : why + "; these came along, and are still there: " + names;
}

std::vector<std::string> loaded_module::kept() const {
  std::vector<std::string> all;
  for (const detail::companion& c : companions_) {
    if (!c.kept.empty()) all.push_back(c.to_text());
  }
  return all;
}

bool loaded_module::was_changed_in_place() const noexcept {
  if (record_ == nullptr) return false;
  const detail::file_stamp& then = record_->stamp;
  const detail::file_stamp now = detail::stamp_of(record_->fd.get());
  if (!now.is_known() || now.id != then.id || now.is_same_content(then)) return false;
  // A file that was renamed has a newer time of change as well.
  return now.size != then.size || now.modified_ns != then.modified_ns ||
         detail::stamp_of(info_.path.c_str()).id == then.id;
}

void loaded_module::tell_of_unload(std::string text) noexcept {
  if (record_ != nullptr) detail::tell_of_module(record_, std::move(text));
}

void loaded_module::keep_what_it_opened() {
  if (others_.empty()) return;
  for (detail::companion& c : detail::find_opened(others_, range_)) {
    const auto is_it = [&c](const detail::companion& other) { return other.path == c.path; };
    if (std::ranges::none_of(companions_, is_it)) companions_.push_back(std::move(c));
  }
}

std::vector<std::string> loaded_module::left_behind() {
  for (detail::companion& c : companions_) {
    if (c.stays) continue;
    const std::vector<std::string> left = detail::registered_in(c.range);
    if (!left.empty()) detail::keep_companion(c, "it has left registered " + left.front());
  }
  std::vector<std::string> left;
  const auto add_all = [&left](const char* rule, const std::vector<std::string>& found, const char* is_what) {
    for (const std::string& what : found) left.push_back(rule + what + is_what);
  };
  const char* const registered = " lies in the module: it is left registered";
  add_all("D-21: ", detail::registered_in(range_, sets_signals_), registered);
  if (registers_conversions_) add_all("D-21: ", detail::conversions_in(range_), registered);
  // What has a name has been told.
  if (leaves_in_c_library_ && left.empty()) {
    add_all("D-21: ", detail::pointers_in_c_library(range_), registered);
  }
  add_all("D-21: ", detail::pointers_left(range_, info_.needed, companions_), registered);
  // A module that finds no functions by their names has others start its threads, in libraries that have some.
  if (may_start_threads_ || std::ranges::any_of(companions_, [](const auto& c) { return !c.kept.empty(); })) {
    add_all("D-13: ", detail::threads_begun_in(range_),
            " began in the module, and was not started with thread_start()");
  }
  return left;
}

bool is_reserved_for_test(detail::address_range range) { return detail::is_reserved(range); }

}  // namespace ufence
