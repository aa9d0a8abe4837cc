// A thread whose stack shows what recurses.
#pragma once

#include <gtest/gtest.h>
#include <pthread.h>

#include <cstddef>
#include <functional>

#include "ufence/fence/testing/support.h"

namespace ufence::testing {

// Race detectors need more of it for themselves.
inline constexpr std::size_t small_stack = UFENCE_SANITIZED != 0 ? 1024 * 1024 : 128 * 1024;

/// Runs a body on a thread with a stack of that size.
inline void on_small_stack(std::function<void()> body) {
  pthread_attr_t attributes;
  ASSERT_EQ(::pthread_attr_init(&attributes), 0);
  ASSERT_EQ(::pthread_attr_setstacksize(&attributes, small_stack), 0);
  pthread_t thread{};
  const auto start = [](void* argument) -> void* {
    (*static_cast<std::function<void()>*>(argument))();
    return nullptr;
  };
  ASSERT_EQ(::pthread_create(&thread, &attributes, start, &body), 0);
  ASSERT_EQ(::pthread_join(thread, nullptr), 0);
  ::pthread_attr_destroy(&attributes);
}

}  // namespace ufence::testing
