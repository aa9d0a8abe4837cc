// What can not go on is reported, and the process ends.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <functional>
#include <optional>
#include <thread>

#include "ufence/fence/fence.h"
#include "ufence/fence/testing/support.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

std::atomic<int> reported = 0;

}  // namespace

TEST(F11_registration, that_two_running_callbacks_drop_each_others_is_reported_and_aborts) {
  const int child = in_child([] {
    const report_handler count = [](const report& what, void*) noexcept {
      if (what.kind == report_kind::callback_deadlock) ++reported;
    };
    UFENCE_CHILD_EXPECT(set_report_handler(count, nullptr) == no_error);
    std::signal(SIGABRT, [](int) { ::_exit(reported == 1 ? 77 : 78); });

    std::array<new_fence, 2> fences = {make_fence(), make_fence()};
    std::array<std::optional<callback_registration<std::function<void(fence&)>>>, 2> registrations;
    std::atomic<int> running = 0;
    for (std::size_t i = 0; i < 2; ++i) {
      registrations[i].emplace([&, i](fence&) {
        ++running;
        static_cast<void>(eventually([&] { return running == 2; }));
        registrations[1 - i]->remove();
      });
      UFENCE_CHILD_EXPECT(registrations[i]->add(fences[i].fence) == no_error);
    }
    std::jthread settles([&] { fences[0].signal.signal(); });
    fences[1].signal.signal();
    return __LINE__;  // not reached
  });
  EXPECT_EQ(child, 77);
}
