// What a test may leak: a probe looks at one kind of thing, the leak check compares two looks.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace ufence::testing {

/// One kind of thing that a test may leave behind. A layer registers a kind of its own by passing a
/// probe to run_all_tests(); this folder then needs nothing of that layer.
class probe {
 public:
  struct thing {
    std::string description;  ///< for people: `file descriptor 5 -> /dev/null`, `fences alive`
    std::size_t count = 1;
    bool tell_count = false;  ///< things that differ only in how many they are: `3 fences alive`
  };
  /// What exists now. The key says when two things are the same one.
  using view = std::map<std::string, thing>;

  virtual ~probe() = default;

  [[nodiscard]] virtual view look() const = 0;

  /// How long a thing may stay visible after its end: the kernel still lists a thread that has been
  /// joined a moment ago. 0 for what is gone when the call that ends it has returned.
  [[nodiscard]] virtual std::chrono::milliseconds lingers() const {
    return std::chrono::milliseconds(0);
  }

  /// Whether a test that ends something it did not begin fails as well.
  [[nodiscard]] virtual bool must_stay() const { return false; }
};

/// Open file descriptors, with what they refer to.
[[nodiscard]] std::unique_ptr<probe> file_descriptor_probe();

/// Threads of this process, by id and name.
[[nodiscard]] std::unique_ptr<probe> thread_probe();

/// Mapped driver modules: files *.so below a folder `ufence/drivers`, deleted ones too.
[[nodiscard]] std::unique_ptr<probe> module_probe();

/// Things that can only be counted.
[[nodiscard]] std::unique_ptr<probe> count_probe(std::string plural,
                                                 std::function<std::size_t()> count);

}  // namespace ufence::testing
