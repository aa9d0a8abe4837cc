// Fences that are exported as sync files, explored: their maker, their signal, and the thread that handles the
// closed peer.
#include "ufence/sync/exported.h"

#include "lab/models/testing/harness.h"
#include "ufence/io/reactor.h"
#include "ufence/rcu/rcu.h"

namespace ufence::lab {
namespace {

// The file is closed as soon as it is there, and the reactor may be told of that at once.
void export_and_close(const fence_ref& f) {
  LAB_CHECK(ufence::detail::export_fence(f, "file").has_value());
}

void reap() { ufence::detail::the_reactor.reap_closed(); }

// What is left of it goes; a thread that makes fences frees what containers leave.
template <class Body>
std::function<void()> and_handle_the_rest(Body body) {
  return [body] {
    body();
    reap();
    rcu::flush_deferred();
  };
}

TEST(exported_model, who_handles_the_hang_up_frees_it_after_its_maker_is_done) {
  expect_safe(and_handle_the_rest([] {
    new_fence made = make_fence();
    thread maker("maker", [&] { export_and_close(made.fence); });
    thread reactor("reactor", reap);
  }));
}

TEST(exported_model, the_record_of_a_signaled_fence_is_sent_before_it_is_freed) {
  expect_safe(and_handle_the_rest([] {
    new_fence made = make_fence();
    made.signal.signal(-5);
    thread maker("maker", [&] { export_and_close(made.fence); });
    thread reactor("reactor", reap);
  }));
}

TEST(exported_model, the_hang_up_is_handled_beside_the_signal) {
  expect_safe_so_far(and_handle_the_rest([] {
    new_fence made = make_fence();
    export_and_close(made.fence);
    thread signal("signal", [&] { made.signal.signal(-5); });
    thread reactor("reactor", reap);
  }));
}

}  // namespace
}  // namespace ufence::lab
