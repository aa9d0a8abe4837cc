// Some fences, with a reference to each, in memory of the library's: no exception.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "ufence/base/api.h"
#include "ufence/fence/fence.h"

namespace ufence {

/// Threads: one at a time per object. Allocates: beyond 32 fences.
class UFENCE_API fence_list {
 public:
  fence_list() noexcept = default;
  fence_list(fence_list&& other) noexcept { take(other); }
  fence_list& operator=(fence_list&& other) noexcept {
    if (this != &other) {
      drop();
      take(other);
    }
    return *this;
  }
  ~fence_list() { drop(); }

  /// False: no memory; nothing changed.
  [[nodiscard]] bool push(fence_ref f) noexcept {
    if (size_ == room_ && !grow(2 * room_)) return false;
    ::new (items_ + size_) fence_ref(std::move(f));
    ++size_;
    return true;
  }
  void clear() noexcept {
    std::destroy_n(items_, size_);
    size_ = 0;
  }

  [[nodiscard]] std::span<fence_ref> items() noexcept { return {items_, size_}; }
  [[nodiscard]] std::span<const fence_ref> items() const noexcept { return {items_, size_}; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  fence_ref& operator[](std::size_t i) noexcept { return items_[i]; }
  const fence_ref& operator[](std::size_t i) const noexcept { return items_[i]; }
  [[nodiscard]] fence_ref* begin() noexcept { return items_; }
  [[nodiscard]] fence_ref* end() noexcept { return items_ + size_; }
  [[nodiscard]] const fence_ref* begin() const noexcept { return items_; }
  [[nodiscard]] const fence_ref* end() const noexcept { return items_ + size_; }

 private:
  static constexpr std::size_t inline_room = 32;

  [[nodiscard]] fence_ref* inline_items() noexcept {
    return reinterpret_cast<fence_ref*>(inline_.data());
  }
  [[nodiscard]] bool grow(std::size_t room) noexcept;
  void drop() noexcept;
  void take(fence_list& other) noexcept;

  alignas(fence_ref) std::array<std::byte, inline_room * sizeof(fence_ref)> inline_;
  fence_ref* items_ = inline_items();
  std::size_t size_ = 0;
  std::size_t room_ = inline_room;
};

}  // namespace ufence
