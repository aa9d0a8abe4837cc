#include "ufence/net/awaited_points.h"

#include <algorithm>
#include <utility>

namespace ufence::detail {

namespace {

constexpr auto is_later = [](const auto& a, const auto& b) { return a.point > b.point; };

}  // namespace

void awaited_points::add(std::uint64_t point, signaler&& right) {
  heap_.push_back({point, std::move(right)});
  std::ranges::push_heap(heap_, is_later);
}

void awaited_points::decide_lowest(int error, settlement& later) noexcept {
  std::ranges::pop_heap(heap_, is_later);
  heap_.back().right.decide(error, later);
  heap_.pop_back();
}

void awaited_points::advance(const importer& known, settlement& later) noexcept {
  const auto is_reached = [&](const awaited& one) {
    return known.is_following() && one.point <= known.value();
  };
  while (!heap_.empty() && is_reached(heap_.front())) decide_lowest(0, later);
  if (known.ended() != 0) fail(known.ended(), later);
}

void awaited_points::fail(int error, settlement& later) noexcept {
  while (!heap_.empty()) decide_lowest(error, later);
}

}  // namespace ufence::detail
