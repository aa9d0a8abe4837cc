// The lines that the user sees on stderr: one line for each problem, and a progress line that gives way to
// it.
#pragma once

#include <cstdint>
#include <string_view>

namespace ufence::tool {

/// Threads: one.
class console {
 public:
  /// @param quiet  neither progress nor notes; problems are told all the same
  explicit console(bool quiet);
  ~console();
  console(const console&) = delete;
  console& operator=(const console&) = delete;

  /// One line "ufence: PATH: TEXT"; counted.
  void problem(std::string_view path, std::string_view text);
  /// One line "ufence: TEXT"; counted.
  void problem(std::string_view text);
  /// A line for people; not with quiet.
  void note(std::string_view text);

  /// True if a progress line is wanted: stderr is a terminal, and not quiet.
  [[nodiscard]] bool shows_progress() const { return shows_progress_; }
  /// Replaces the progress line.
  void progress(std::string_view text);
  void clear_progress();

  [[nodiscard]] std::uint64_t problems() const { return problems_; }

 private:
  void line(std::string_view text);

  bool quiet_;
  bool shows_progress_;
  bool has_progress_ = false;
  std::uint64_t problems_ = 0;
};

}  // namespace ufence::tool
