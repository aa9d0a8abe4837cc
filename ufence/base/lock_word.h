// A lock of one word, which a child of fork() never finds held by a thread that it does not have.
// For lock.h, whose mutex adds the rank.
//
//   word                         means
//   0                            free
//   generation << 2 | held       a thread of the process of that fork generation holds it
//   ... | contended              and others may sleep on the word
//
// In a child of fork() a word of an earlier generation is as good as free: its holder is in another
// process, which has its own copy of the word. What the lock guards may then be halfway changed.
//
// Orders: lock() acquires what unlock() released; lock_model_test.cc fails when either is weaker.
#pragma once

#include <cstdint>

#include "ufence/base/atomic.h"

namespace ufence {

class lock_word {
 public:
  constexpr lock_word() noexcept = default;
  lock_word(const lock_word&) = delete;
  lock_word& operator=(const lock_word&) = delete;

  void lock() noexcept;
  void unlock() noexcept;

 private:
  void lock_contended(std::uint32_t seen) noexcept;

  atomic<std::uint32_t> word_{0};
};

}  // namespace ufence
