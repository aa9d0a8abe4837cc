// A counted reference to something that counts itself (get, put).
#pragma once

#include <cstddef>
#include <utility>

namespace ufence {

template <class T>
class ref {
 public:
  constexpr ref() noexcept = default;
  constexpr ref(std::nullptr_t) noexcept {}  // NOLINT(google-explicit-constructor)
  ref(const ref& other) noexcept : object_(other.object_) {
    if (object_ != nullptr) object_->get();
  }
  ref(ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  ref& operator=(ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~ref() { reset(); }

  /// Takes over a reference that the caller owns.
  [[nodiscard]] static ref adopt(T* object) noexcept {
    ref r;
    r.object_ = object;
    return r;
  }
  /// Takes a reference of its own.
  [[nodiscard]] static ref take(T& object) noexcept {
    object.get();
    return adopt(&object);
  }
  /// Hands the reference to the caller.
  [[nodiscard]] T* release() noexcept { return std::exchange(object_, nullptr); }
  void reset() noexcept {
    if (T* old = std::exchange(object_, nullptr)) old->put();
  }

  [[nodiscard]] T* get() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  T* operator->() const noexcept { return object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  friend bool operator==(const ref&, const ref&) noexcept = default;

 private:
  T* object_ = nullptr;
};

}  // namespace ufence
