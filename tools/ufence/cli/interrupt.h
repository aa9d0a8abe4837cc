// Ctrl-C and its like: noted, and the run is woken to end itself.
#pragma once

namespace ufence::tool {

/// While it lives, SIGINT, SIGTERM and SIGHUP are noted, once each; a second one of a kind ends the
/// process. SIGPIPE is ignored: a write then says EPIPE. One object at a time.
class interrupt_watch {
 public:
  /// @param wake_fd  an eventfd that is written to when a signal arrives
  explicit interrupt_watch(int wake_fd);
  ~interrupt_watch();
  interrupt_watch(const interrupt_watch&) = delete;
  interrupt_watch& operator=(const interrupt_watch&) = delete;

  /// The signal that arrived, or 0.
  [[nodiscard]] static int signal_number();
};

}  // namespace ufence::tool
