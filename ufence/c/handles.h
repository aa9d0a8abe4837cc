// Handles of C that own an object of C++ and that more than one file looks into. Inside the layer only.
#pragma once

#include "ufence/issuer/host.h"

struct ufence_module {
  ufence::device_ref device;
};
