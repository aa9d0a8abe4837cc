// The one place that knows libcrypto's incremental SHA-256.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "drivers/cpu/cpu.h"

namespace ufence::cpu {

/// Hashes data into a state that lies in the caller's memory and holds no pointer, so that the next
/// call may come from another instance of this code. libcrypto's newer interface keeps its state in
/// memory of its own and can do no such thing.
void sha256_begin(ufence_cpu_sha256& state) noexcept;
void sha256_update(ufence_cpu_sha256& state, std::span<const std::byte> data) noexcept;
void sha256_end(ufence_cpu_sha256& state, std::uint8_t* digest) noexcept;

}  // namespace ufence::cpu
