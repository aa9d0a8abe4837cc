// The 32-bit state word of a fence.
//
//   bits 0..8   flags                               bits 9..31  number of ops inside
//
//            set by                       cleared by                 means
//   CONTESTED     looking for a         never                      the settling thread takes LOCK for each
//                 callback in the batch                              further step
//   LOCK_WAITERS  a sleeper on LOCK       dropping LOCK              wake sleepers of class `lock`
//   SIGNALED      decide, once            never                      error and timestamp are readable
//   ENABLED       first enabler, once     never                      enable_signaling was entered
//   WAITERS       a sleeper on the rest   waking                     wake sleepers of class `state`
//   SETTLED       settle or decide, once  never                      all callbacks have returned. A fence
//                                                                    that was decided without LOCK, and had
//                                                                    no callbacks, does without the bit
//   RETIRED       retire, once; at birth of a fence without backend  the issuer's data is the issuer's again
//                 (CALLED_BACK, the same bit, of a foreign fence: its callbacks have returned; ops may
//                 still be inside, and its data stays until the last reference is dropped)
//   AWAITED       a timeline fence is     never                      who unlinks the awaited entry settles
//                 linked
//   SEVERAL       signaler::share()       never                      several may signal it: LOCK elects
//
// No op is ever inside of a timeline fence; of those, three of the bits 9..31 say
//
//   SILENT        awaited for its order   somebody waits             nobody waits: no request_notify
//   IN_TURN       keep_turn, stands_for   never                      not signaled before awaited ones
//                                                                    that are earlier
//   AHEAD         decided alone, IN_TURN  never                      the result is fixed; SIGNALED follows
//                                                                    when its turn comes
#pragma once

#include <cstdint>

namespace ufence::fence_state {

inline constexpr std::uint32_t contested = 1U << 0;
inline constexpr std::uint32_t lock_waiters = 1U << 1;
inline constexpr std::uint32_t signaled = 1U << 2;
inline constexpr std::uint32_t enabled = 1U << 3;
inline constexpr std::uint32_t waiters = 1U << 4;
inline constexpr std::uint32_t settled = 1U << 5;
inline constexpr std::uint32_t retired = 1U << 6;
inline constexpr std::uint32_t called_back = retired;
inline constexpr std::uint32_t awaited = 1U << 7;
inline constexpr std::uint32_t several = 1U << 8;
inline constexpr std::uint32_t one_op = 1U << 9;
inline constexpr std::uint32_t silent = 1U << 9;
inline constexpr std::uint32_t in_turn = 1U << 10;
inline constexpr std::uint32_t ahead = 1U << 11;

/// How many ops are inside.
[[nodiscard]] constexpr std::uint32_t ops_inside(std::uint32_t state) noexcept {
  return state / one_op;
}

}  // namespace ufence::fence_state
