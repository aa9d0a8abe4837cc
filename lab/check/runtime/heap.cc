// malloc(), new and their kin, for the explored program: memory of the scenario. A thread that
// frees a block may get it again by its next allocation of that size, or another one: both are
// explored.
#include <cerrno>
#include <cstring>

#include "lab/check/runtime/runtime.h"

using ufence::lab::failure;
using namespace ufence::lab::check;
namespace hooks = ufence::lab::hooks;

namespace {

constexpr std::size_t usual_alignment = 16;

void* get(std::size_t bytes, std::size_t alignment, std::source_location where) {
  if (in_model() && alignment <= usual_alignment) {
    void* const freed = m().freed_block(bytes);
    if (freed != nullptr && choose(2, where) == 1) {
      ufence::lab::mode::outside_scope outside;
      return m().allocate_again(freed, bytes, where);
    }
  }
  return hooks::allocate(bytes, alignment < usual_alignment ? usual_alignment : alignment, where);
}

void give_back(void* block, std::source_location where) {
  if (block == nullptr) return;
  if (in_model() && !m().owns(block)) {
    fail_at(failure::bad_free, "frees what is no block", where);
  }
  hooks::deallocate(block, where);
}

bool is_too_much(std::size_t n, std::size_t bytes, std::size_t& all) {
  if (!__builtin_mul_overflow(n, bytes, &all)) return false;
  mine().error = ENOMEM;
  return true;
}

void* get_zeroed(std::size_t bytes, std::source_location where) {
  void* const block = get(bytes, usual_alignment, where);
  write(block, bytes, where);
  std::memset(block, 0, bytes);
  return block;
}

}  // namespace

UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(malloc)(std::size_t bytes) {
  return get(bytes, usual_alignment, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(calloc)(std::size_t n, std::size_t bytes) {
  std::size_t all = 0;
  if (is_too_much(n, bytes, all)) return nullptr;
  return get_zeroed(all, UFENCE_LAB_HERE);
}

namespace {

void* get_larger(void* old, std::size_t bytes, std::source_location where) {
  void* const block = get(bytes, usual_alignment, where);
  if (old == nullptr) return block;
  const std::size_t had = m().block_bytes(old);
  const std::size_t kept = had < bytes ? had : bytes;
  read_copied(old, kept, where);
  write(block, kept, where);
  std::memcpy(block, old, kept);
  give_back(old, where);
  return block;
}

}  // namespace

UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(realloc)(void* old, std::size_t bytes) {
  return get_larger(old, bytes, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(reallocarray)(void* old, std::size_t n, std::size_t bytes) {
  std::size_t all = 0;
  return is_too_much(n, bytes, all) ? nullptr : get_larger(old, all, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT std::size_t UFENCE_LAB_CALL(malloc_usable_size)(void* block) {
  return block == nullptr ? 0 : m().block_bytes(block);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(memalign)(std::size_t alignment, std::size_t bytes) {
  return get(bytes, alignment, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(aligned_alloc)(std::size_t alignment, std::size_t bytes) {
  return get(bytes, alignment, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(posix_memalign)(void** to, std::size_t alignment,
                                                      std::size_t bytes) {
  const std::source_location where = UFENCE_LAB_HERE;
  void* const block = get(bytes, alignment, where);
  write(static_cast<void*>(to), sizeof *to, where);
  *to = block;
  return 0;
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(free)(void* block) { give_back(block, UFENCE_LAB_HERE); }
UFENCE_LAB_EXPORT char* UFENCE_LAB_CALL(strdup)(const char* text) {
  const std::source_location where = UFENCE_LAB_HERE;
  const std::size_t bytes = std::strlen(text) + 1;
  read(text, bytes, where);
  void* const block = get(bytes, usual_alignment, where);
  write(block, bytes, where);
  return static_cast<char*>(std::memcpy(block, text, bytes));
}

// new and delete, by their names in object files.
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(_Znwm)(std::size_t bytes) {
  return get(bytes, usual_alignment, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(_Znam)(std::size_t bytes) {
  return get(bytes, usual_alignment, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(_ZnwmRKSt9nothrow_t)(std::size_t bytes, const void*) {
  return get(bytes, usual_alignment, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(_ZnamRKSt9nothrow_t)(std::size_t bytes, const void*) {
  return get(bytes, usual_alignment, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(_ZnwmSt11align_val_t)(std::size_t bytes,
                                                              std::size_t alignment) {
  return get(bytes, alignment, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(_ZnamSt11align_val_t)(std::size_t bytes,
                                                              std::size_t alignment) {
  return get(bytes, alignment, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(_ZnwmSt11align_val_tRKSt9nothrow_t)(std::size_t bytes,
                                                                            std::size_t alignment,
                                                                            const void*) {
  return get(bytes, alignment, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(_ZnamSt11align_val_tRKSt9nothrow_t)(std::size_t bytes,
                                                                            std::size_t alignment,
                                                                            const void*) {
  return get(bytes, alignment, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZdlPvRKSt9nothrow_t)(void* block, const void*) {
  give_back(block, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZdaPvRKSt9nothrow_t)(void* block, const void*) {
  give_back(block, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZdlPvSt11align_val_tRKSt9nothrow_t)(void* block,
                                                                            std::size_t,
                                                                            const void*) {
  give_back(block, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZdaPvSt11align_val_tRKSt9nothrow_t)(void* block,
                                                                            std::size_t,
                                                                            const void*) {
  give_back(block, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZdlPv)(void* block) { give_back(block, UFENCE_LAB_HERE); }
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZdaPv)(void* block) { give_back(block, UFENCE_LAB_HERE); }
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZdlPvm)(void* block, std::size_t) {
  give_back(block, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZdaPvm)(void* block, std::size_t) {
  give_back(block, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZdlPvSt11align_val_t)(void* block, std::size_t) {
  give_back(block, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZdaPvSt11align_val_t)(void* block, std::size_t) {
  give_back(block, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZdlPvmSt11align_val_t)(void* block, std::size_t,
                                                               std::size_t) {
  give_back(block, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZdaPvmSt11align_val_t)(void* block, std::size_t,
                                                               std::size_t) {
  give_back(block, UFENCE_LAB_HERE);
}
