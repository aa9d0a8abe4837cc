// Legacy fences, explored: an external lock, ops and callbacks under it, and the thread that frees it.
#include "ufence/foreign/legacy.h"

#include "lab/models/testing/harness.h"

namespace ufence::lab {
namespace {

// An old driver's data; its lock may go once the fence is settled.
struct old_driver {
  static old_driver& of(void* data) noexcept { return *static_cast<old_driver*>(data); }
  static void take(void* data) noexcept { of(data).lock.lock(); }
  static void drop(void* data) noexcept { of(data).lock.unlock(); }
  static int touch(void* data) noexcept {
    LAB_CHECK(of(data).is_alive.get());
    return 0;
  }
  static void hint(void* data, std::int64_t) noexcept { touch(data); }
  static constexpr legacy_ops ops{.lock = &take,
                                  .unlock = &drop,
                                  .enable_signaling = &touch,
                                  .poll = &touch,
                                  .set_deadline = &hint};

  user_lock lock;
  cell<bool> is_alive{true};
};

// Also memory for legacy fences.
void warm_up_legacy() {
  warm_up();
  timeline_issuer line = timeline_issuer::create({}).value();
  old_driver driver;
  new_fence made = create_legacy_fence(line, old_driver::ops, &driver).value();
  made.signal.signal();
  line.fail(-5);
}
settings with_legacy_memory() {
  settings with;
  with.prelude = warm_up_legacy;
  return with;
}

template <class Body>
void with_legacy_fence(Body body) {
  timeline_issuer line = timeline_issuer::create({}).value();
  auto* driver = new old_driver;
  new_fence made = create_legacy_fence(line, old_driver::ops, driver).value();
  body(made, driver);
  line.fail(-5);
}

TEST(legacy_model, the_external_lock_may_be_freed_once_the_fence_is_settled) {
  expect_safe_so_far(
      [] {
        with_legacy_fence([](new_fence& made, old_driver* driver) {
          thread issuer("issuer", [&] {
            made.signal.signal(-5);
            LAB_CHECK(!made.fence->wait_settled());
            delete driver;
          });
          thread enable("enable", [&] { made.fence->enable_signaling(); });
          thread poll("poll", [&] { made.fence->poll(); });
        });
      },
      with_legacy_memory());
}

TEST(legacy_model, who_waits_for_settled_sees_what_callbacks_and_ops_did) {
  expect_safe_so_far(
      [] {
        with_legacy_fence([](new_fence& made, old_driver* driver) {
          cell<int> runs;
          counting node(runs, false);
          LAB_CHECK(!made.fence->add_callback(node));
          thread signal("signal", [&] { made.signal.signal(-5); });
          thread hint("hint", [&] { made.fence->set_deadline(INT64_C(1)); });
          thread wait("wait", [&] {
            LAB_CHECK(!made.fence->wait_settled());
            LAB_CHECK(runs.get() == 1);
            delete driver;
          });
        });
      },
      with_legacy_memory());
}

TEST(legacy_model, who_looks_and_finds_it_settled_may_free_the_lock) {
  expect_safe_so_far(
      [] {
        with_legacy_fence([](new_fence& made, old_driver* driver) {
          cell<bool> freed;
          {
            thread signal("signal", [&] { made.signal.signal(-5); });
            thread poll("poll", [&] { made.fence->poll(); });
            thread look("look", [&] {
              if (!made.fence->is_settled()) return;
              delete driver;
              freed.set(true);
            });
          }
          if (!freed.get()) delete driver;
        });
      },
      with_legacy_memory());
}

TEST(legacy_model, enabling_and_signaling_meet_under_the_external_lock) {
  expect_safe(
      [] {
        with_legacy_fence([](new_fence& made, old_driver* driver) {
          {
            thread signal("signal", [&] { made.signal.signal(-5); });
            thread enable("enable", [&] { made.fence->enable_signaling(); });
          }
          LAB_CHECK(made.fence->is_settled());
          delete driver;
        });
      },
      with_legacy_memory());
}

// --- Memory ---

// Slots of legacy fences go straight to their span, whose memory is given back when it is empty;
// those of others go through a cache of their thread first.
struct legacy_maker {
  timeline_issuer line = timeline_issuer::create({}).value();
  old_driver driver;

  fence_ref make(int error) {
    new_fence made = create_legacy_fence(line, old_driver::ops, &driver).value();
    made.signal.signal(error);
    return std::move(made.fence);
  }
};

TEST(legacy_model, a_reader_of_a_slot_meets_memory_that_is_given_back_and_used_again) {
  expect_safe(
      [] {
        legacy_maker maker;
        fence_ref first = maker.make(-5);
        atomic<fence*> slot{first.get()};
        atomic<fence*> other_slot{nullptr};
        fence_ref next;
        {
          // The slot owns a reference. The last fence of the span goes, and its memory with it.
          thread writer("writer", [&] {
            slot.store(nullptr, mo::release);
            first.reset();
            next = maker.make(-6);
            other_slot.store(next.get(), mo::release);
          });
          thread reader("reader", [&] {
            if (const fence_ref f = fence::get_rcu(slot)) LAB_CHECK(f->error() == -5);
            if (const fence_ref f = fence::get_rcu(other_slot)) LAB_CHECK(f->error() == -6);
          });
        }
        next.reset();
        maker.line.fail(-5);
      },
      with_legacy_memory());
}

// An op is inside when the fence is signaled, and its callbacks are looked for.
TEST(legacy_model, a_callback_is_removed_while_an_op_is_inside_of_a_signaled_fence) {
  expect_safe_so_far(
      [] {
        with_legacy_fence([](new_fence& made, old_driver* driver) {
          cell<int> runs;
          counting node(runs, false);
          LAB_CHECK(!made.fence->add_callback(node));
          {
            thread signal("signal", [&] { made.signal.signal(-5); });
            thread poll("poll", [&] { made.fence->poll(); });
            thread remove("remove", [&] {
              const result<bool> removed = made.fence->remove_callback(node);
              LAB_CHECK(removed && *removed == (runs.get() == 0));
            });
          }
          delete driver;
        });
      },
      with_legacy_memory());
}

TEST(legacy_model, memory_that_was_given_back_reads_as_free_beside_who_allocates) {
  expect_safe(
      [] {
        legacy_maker maker;
        fence_ref first = maker.make(-5);
        fence& place = *first;
        thread drop("drop", [&] { first.reset(); });
        thread allocate("allocate", [&] { maker.make(-6).reset(); });
        // Knows where a fence was, and may get what is there now.
        thread look("look", [&] {
          if (!place.try_get()) return;
          if (place.is_signaled()) LAB_CHECK(place.error() == -5 || place.error() == -6);
          place.put();
        });
      },
      with_legacy_memory());
}

}  // namespace
}  // namespace ufence::lab
