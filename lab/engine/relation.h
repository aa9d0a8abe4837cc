// Binary relations over a small set, for conditions that are written as formulas.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ufence::lab {

/// A relation over 0..n-1 as a matrix of bits.
class relation {
 public:
  explicit relation(std::size_t n) : n_(n), words_((n + 63) / 64), bits_(n * words_) {}

  [[nodiscard]] std::size_t size() const noexcept { return n_; }
  void add(std::size_t a, std::size_t b) noexcept {
    bits_[a * words_ + b / 64] |= std::uint64_t{1} << (b % 64);
  }
  [[nodiscard]] bool has(std::size_t a, std::size_t b) const noexcept {
    return ((bits_[a * words_ + b / 64] >> (b % 64)) & 1) != 0;
  }
  relation& operator|=(const relation& other) noexcept {
    for (std::size_t i = 0; i < bits_.size(); ++i) bits_[i] |= other.bits_[i];
    return *this;
  }
  /// First this, then the other.
  [[nodiscard]] relation then(const relation& other) const {
    relation result(n_);
    for (std::size_t a = 0; a < n_; ++a) {
      for (std::size_t b = 0; b < n_; ++b) {
        if (has(a, b)) result.include_row(a, other, b);
      }
    }
    return result;
  }
  /// Together with the identity.
  [[nodiscard]] relation or_self() const {
    relation result = *this;
    for (std::size_t a = 0; a < n_; ++a) result.add(a, a);
    return result;
  }
  [[nodiscard]] relation closure() const {
    relation result = *this;
    for (std::size_t middle = 0; middle < n_; ++middle) {
      for (std::size_t a = 0; a < n_; ++a) {
        if (result.has(a, middle)) result.include_row(a, result, middle);
      }
    }
    return result;
  }
  [[nodiscard]] bool is_irreflexive() const noexcept {
    for (std::size_t a = 0; a < n_; ++a) {
      if (has(a, a)) return false;
    }
    return true;
  }
  [[nodiscard]] bool is_acyclic() const { return closure().is_irreflexive(); }

 private:
  void include_row(std::size_t a, const relation& other, std::size_t row) noexcept {
    for (std::size_t w = 0; w < words_; ++w) bits_[a * words_ + w] |= other.bits_[row * words_ + w];
  }

  std::size_t n_;
  std::size_t words_;
  std::vector<std::uint64_t> bits_;
};

}  // namespace ufence::lab
