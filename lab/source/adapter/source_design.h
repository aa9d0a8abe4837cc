// The design that a kernel tree's own sources are: its fences stand where a model's do.
#pragma once

#include <string>
#include <vector>

#include "lab/designs/model/design.h"
#include "lab/source/service/glue.h"

namespace ufence::lab::kernel_source {

/// Stays where it is as long as it is explored.
struct source_design : design {
  /// @param libraries  the tree's, and then one for each barrier that is left out
  source_design(std::string name, std::vector<std::string> libraries);

  const std::string text;
  std::vector<std::string> libraries;
};

/// The places of the tree's barriers and locks, of a library that is loaded for that alone.
[[nodiscard]] std::vector<kernel_site> sites_of(const std::string& library);

}  // namespace ufence::lab::kernel_source
