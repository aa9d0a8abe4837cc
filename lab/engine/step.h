// The step of a thread at one point of an execution, in words.
#pragma once

#include <string>

namespace ufence::lab {

struct step {
  unsigned thread = 0;
  std::string thread_name;  // "T1 writer"
  std::string place;        // "fence.cc:120"
  std::string function;
  std::string what;
  std::string source = {};  // the line of code there, if it is known
};

}  // namespace ufence::lab
