// The things that every scenario has: a driver, and one of its fences with data.
#pragma once

#include <functional>

#include "lab/designs/model/design.h"
#include "lab/engine/scenario.h"

namespace ufence::lab {

/// Made by the main thread; what the scenario left undone of the fence's life, its end does:
/// signal, clean up, drop the reference, unload.
class stage {
 public:
  explicit stage(const candidate& c, fence_options o = {});
  ~stage();
  stage(const stage&) = delete;
  stage& operator=(const stage&) = delete;

  [[nodiscard]] driver& device() const { return *device_; }
  [[nodiscard]] job& data() const { return *data_; }
  [[nodiscard]] model_fence& fence() const { return *fence_; }

  /// Signals; the winner is to clean up.
  bool signal(int error = 0, unsigned who = 0);
  void clean_up();
  /// Signals and cleans up, with no lock held.
  void complete(int error = 0, unsigned who = 0);
  /// The interrupt of a driver that signals what is pending under its lock, and then cleans up.
  void interrupt();
  void put();
  void lose();
  void unload();

 private:
  driver* const device_;
  job* const data_;
  model_fence* const fence_;
  // Told by the thread that does it, read by main after it has joined them.
  bool is_signaled_ = false;
  bool is_clean_ = false;
  bool was_put_ = false;
  bool is_unloaded_ = false;
};

/// A callback that runs any function; it may be freed meanwhile.
struct calling : consumer_callback {
  explicit calling(std::function<void()> f)
      : consumer_callback([](consumer_callback& c) { static_cast<calling&>(c).run(); }),
        run(std::move(f)) {}
  std::function<void()> run;
};

}  // namespace ufence::lab
