#include "ufence/fence/fence_type.h"

#include <gtest/gtest.h>

#include "ufence/fence/fence.h"

using namespace ufence;

namespace {

void nothing(fence&) noexcept {}

constexpr fence_type of_the_library{.driver_name = "driver",
                                    .timeline_name = "timeline",
                                    .enable = &nothing,
                                    .end = &nothing,
                                    .release = &nothing};
constexpr fence_type of_an_issuer{.enable = &nothing,
                                  .end = &nothing,
                                  .is_foreign = true,
                                  .poll = [](fence&) noexcept { return 0; },
                                  .set_deadline = [](fence&, std::int64_t) noexcept {},
                                  .wait = [](fence&, std::int64_t) noexcept { return 0; },
                                  .settle = &nothing};

// Is it still complete after one change?
template <class Change>
bool is_complete_with(fence_type type, Change change) {
  change(type);
  return is_complete(type);
}

TEST(fence_type, is_complete_with_what_all_have_and_what_its_kind_has) {
  EXPECT_TRUE(is_complete(of_the_library));
  EXPECT_TRUE(is_complete(of_an_issuer));
  EXPECT_FALSE(is_complete(fence_type{}));
  for (const fence_type& type : {of_the_library, of_an_issuer}) {
    EXPECT_FALSE(is_complete_with(type, [](fence_type& t) { t.enable = nullptr; }));
    EXPECT_FALSE(is_complete_with(type, [](fence_type& t) { t.end = nullptr; }));
  }
}

TEST(fence_type, of_the_library_releases_its_fences_and_has_no_foreign_ops) {
  EXPECT_FALSE(is_complete_with(of_the_library, [](fence_type& t) { t.release = nullptr; }));
  EXPECT_FALSE(is_complete_with(of_the_library, [](fence_type& t) { t.poll = of_an_issuer.poll; }));
  EXPECT_FALSE(is_complete_with(of_the_library, [](fence_type& t) { t.settle = &nothing; }));
  EXPECT_FALSE(is_complete_with(of_the_library, [](fence_type& t) { t.is_foreign = true; }));
  EXPECT_TRUE(is_complete_with(of_the_library, [](fence_type& t) { t.is_remote = true; }));
}

TEST(fence_type, of_an_issuer_has_all_foreign_ops_and_is_not_remote) {
  EXPECT_FALSE(is_complete_with(of_an_issuer, [](fence_type& t) { t.poll = nullptr; }));
  EXPECT_FALSE(is_complete_with(of_an_issuer, [](fence_type& t) { t.set_deadline = nullptr; }));
  EXPECT_FALSE(is_complete_with(of_an_issuer, [](fence_type& t) { t.wait = nullptr; }));
  EXPECT_FALSE(is_complete_with(of_an_issuer, [](fence_type& t) { t.settle = nullptr; }));
  EXPECT_FALSE(is_complete_with(of_an_issuer, [](fence_type& t) { t.release = &nothing; }));
  EXPECT_FALSE(is_complete_with(of_an_issuer, [](fence_type& t) { t.is_remote = true; }));
  EXPECT_FALSE(is_complete_with(of_an_issuer, [](fence_type& t) { t.is_foreign = false; }));
}

TEST(fence_type, of_a_container_has_both_ways_to_look_inside) {
  const auto child = [](fence_type& t) {
    t.child = [](fence&, std::uint32_t) noexcept { return fence_ref(); };
  };
  const auto before = [](fence_type& t) { t.before = [](fence&) noexcept { return fence_ref(); }; };
  EXPECT_FALSE(is_complete_with(of_the_library, child));
  EXPECT_FALSE(is_complete_with(of_the_library, before));
  EXPECT_TRUE(is_complete_with(of_the_library, [&](fence_type& t) {
    child(t);
    before(t);
  }));
}

}  // namespace
