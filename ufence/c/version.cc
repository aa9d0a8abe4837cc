#include "ufence/ufence.h"

uint32_t ufence_version() { return UFENCE_VERSION_NUMBER; }
