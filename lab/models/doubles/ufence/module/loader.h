// Double of ufence/module/loader.h for the lab: a module file is an object of the scenario.
#pragma once

#include <cerrno>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lab/engine/scenario.h"
#include "ufence/base/atomic.h"
#include "ufence/driver.h"

namespace ufence {

namespace lab {

/// The module that loaded_module::load() finds under its path while it lives.
class module_file {
 public:
  /// @param deferrals  so many looks still find it mapped after it was unloaded
  module_file(const char* path, const ufence_driver& driver, int deferrals = 0)
      : path_(path), driver_(driver), deferrals_(deferrals), next_(std::exchange(first_, this)) {}
  ~module_file() { first_ = next_; }
  module_file(const module_file&) = delete;
  module_file& operator=(const module_file&) = delete;

  [[nodiscard]] static module_file* find(const std::string& path) {
    module_file* f = first_;
    while (f != nullptr && path != f->path_) f = f->next_;
    return f;
  }
  [[nodiscard]] const ufence_driver& driver() const { return driver_; }
  /// The first step of the module's code.
  void use() const { LAB_CHECK(is_mapped_.get()); }
  [[nodiscard]] bool is_mapped() const { return is_mapped_.get(); }
  void map() { is_mapped_.set(true); }
  /// False: not yet.
  [[nodiscard]] bool unmap() {
    if (is_mapped_.get() && deferrals_-- > 0) return false;
    is_mapped_.set(false);
    return true;
  }

 private:
  const char* path_;
  const ufence_driver& driver_;
  cell<bool> is_mapped_;
  int deferrals_;
  module_file* next_;
  static inline constinit module_file* first_ = nullptr;
};

}  // namespace lab

struct load_failure {
  int error = 0;
  std::string why;
};

enum class mapping : std::uint8_t { mapped, pinned, deferred, unmapped };

class loaded_module {
 public:
  [[nodiscard]] static std::expected<std::unique_ptr<loaded_module>, load_failure> load(
      const std::string& path, bool private_copy = false) {
    static_cast<void>(private_copy);
    lab::module_file* const file = lab::module_file::find(path);
    if (file == nullptr || file->is_mapped()) {
      return std::unexpected(load_failure{.error = file == nullptr ? ENOENT : EEXIST, .why = path});
    }
    file->map();
    return std::unique_ptr<loaded_module>(new loaded_module(*file, path));
  }

  loaded_module(const loaded_module&) = delete;
  loaded_module& operator=(const loaded_module&) = delete;
  ~loaded_module() {
    if (state_.get() == mapping::mapped) static_cast<void>(unload());
  }

  [[nodiscard]] const ufence_driver& driver() const noexcept { return file_.driver(); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  [[nodiscard]] mapping unload() {
    if (state_.get() != mapping::unmapped) {
      state_.set(file_.unmap() ? mapping::unmapped : mapping::deferred);
    }
    return state_.get();
  }
  [[nodiscard]] mapping state() const noexcept { return state_.get(); }
  [[nodiscard]] std::string why_mapped() const { return "a look is deferred"; }

  // Nothing comes with a module of the lab, and it leaves nothing behind.
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return none_; }
  [[nodiscard]] std::vector<std::string> kept() const { return {}; }
  [[nodiscard]] bool was_changed_in_place() const noexcept { return false; }
  [[nodiscard]] bool has_static_objects() const noexcept { return false; }
  void tell_of_unload(const std::string&) noexcept {}
  void keep_what_it_opened() noexcept {}
  [[nodiscard]] std::vector<std::string> left_behind() const { return {}; }

 private:
  loaded_module(lab::module_file& file, std::string path) : file_(file), path_(std::move(path)) {}

  lab::module_file& file_;
  std::string path_;
  std::vector<std::string> none_;
  cell<mapping> state_{mapping::mapped};
};

}  // namespace ufence
