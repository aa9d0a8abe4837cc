// One cell of the matrix: a hazard of a design, explored.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lab/designs/model/run.h"
#include "lab/engine/explore.h"

namespace ufence::lab {

/// The question.
struct question {
  const hazard* of = nullptr;
  candidate by;
};

/// The result.
struct answer {
  std::string hazard;
  std::string design;
  verdict result = verdict::broken;
  std::uint64_t executions = 0;
  bool is_exhaustive = false;
  std::string how;  // the search
  costs paid = 0;
  std::string text;   // what was found
  std::string trace;  // repeats it
  std::vector<step> steps;
  double seconds = 0;

  [[nodiscard]] bool is_good() const {
    return result == verdict::safe || result == verdict::not_applicable;
  }
};

/// Answers each question in a process of its own, `jobs` at a time: an exploration puts back all
/// static data of its process again and again, and a scenario that crashes takes nothing with it.
/// @param done  is called after each, with the number of answers so far
/// @return  in the order of the questions
[[nodiscard]] std::vector<answer> answer_all(const std::vector<question>& questions,
                                             const settings& with, unsigned jobs,
                                             const std::function<void(std::size_t)>& done);

}  // namespace ufence::lab
