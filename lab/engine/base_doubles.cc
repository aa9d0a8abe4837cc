// The functions that the doubles leave to be linked: failed checks, and the memory that new and delete give out.
#include "lab/engine/base_doubles.h"

#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "lab/engine/machine.h"
#include "lab/engine/mode.h"
#include "ufence/base/check.h"

namespace ufence::detail {

void check_failed(const char* condition, const char* file, int line) noexcept {
  if (lab::mode::now == lab::mode::model) {
    lab::mode::now = lab::mode::outside;
    lab::mode::running->fail_here(
        lab::failure::check_failed,
        std::string(file) + ":" + std::to_string(line) + ": check failed: " + condition);
  }
  std::fprintf(stderr, "ufence: %s:%d: check failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace ufence::detail

namespace ufence::lab {
namespace {

void* allocate(std::size_t bytes, std::size_t alignment) {
  void* memory = nullptr;
  if (mode::now == mode::outside) {
    memory = alignment <= alignof(std::max_align_t)
                 ? std::malloc(bytes == 0 ? 1 : bytes)
                 : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  } else {
    const mode::place place = mode::now;
    mode::outside_scope outside;
    memory = mode::running->allocate(bytes, alignment, false, place == mode::prelude,
                                     std::source_location{});
  }
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void release(void* memory) noexcept {
  if (memory == nullptr) return;
  if (mode::running == nullptr || !mode::running->owns(memory)) {
    std::free(memory);
  } else if (mode::now != mode::outside) {
    const mode::place place = mode::now;
    mode::outside_scope outside;
    mode::running->free(memory, place == mode::prelude, std::source_location{});
  }
}

}  // namespace

void use_lab_memory() noexcept {}

}  // namespace ufence::lab

using ufence::lab::allocate;
using ufence::lab::release;

void* operator new(std::size_t bytes) { return allocate(bytes, 1); }
void* operator new[](std::size_t bytes) { return allocate(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return allocate(bytes, 1); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(bytes, 1);
}
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
