// The scheduler, explored. The caller's loop is the worker, since only the main thread of a
// scenario starts others.
#include "lab/models/testing/harness.h"
#include "ufence/rcu/rcu.h"
#include "ufence/sched/scheduler.h"

namespace ufence::lab {
namespace {

using namespace ufence::sched;

struct device;

// What a test looks at is in cells: a race on them is found.
struct model_job : job {
  explicit model_job(device& d) : of(d) {}
  ~model_job() = default;
  device& of;
  cell<int> input;       // written before push
  fence_ref not_before;  // run() puts the job back until this is signaled
};

// At most one job in flight: the test signals its fence.
struct device {
  explicit device(bool at_once = true) : is_at_once(at_once) {}

  static result<fence_ref> run(job& j) noexcept {
    auto& mine = static_cast<model_job&>(j);
    device& self = mine.of;
    LAB_CHECK(mine.input.get() == 1);
    if (mine.not_before && !mine.not_before->is_signaled()) {
      j.put_back(mine.not_before);
      return ufence::failure(EAGAIN);
    }
    self.runs.set(self.runs.get() + 1);
    if (self.is_at_once) return nullptr;
    return self.fences[self.next++].fence;
  }
  static void cancel(job& j) noexcept {
    device& self = static_cast<model_job&>(j).of;
    self.fences[0].signal.share().signal(-ECANCELED);
  }
  static void free(job& j) noexcept {
    auto& mine = static_cast<model_job&>(j);
    mine.of.freed.set(mine.of.freed.get() + 1);
    delete &mine;
  }
  static constexpr scheduler_ops ops{.run = &run, .cancel = &cancel, .free = &free};

  [[nodiscard]] scheduler make() const {
    return scheduler::create({.ops = &ops, .has_thread = false}).value();
  }

  const bool is_at_once;
  new_fence fences[2];
  std::size_t next = 0;
  cell<int> runs{0}, freed{0};
};

entity make_entity(const scheduler& s) {
  const scheduler* const list[] = {&s};
  return entity::create({.schedulers = list}).value();
}

fence_ref push(entity& e, device& d) {
  auto* const j = new model_job(d);
  j->input.set(1);
  armed_job armed = e.arm(*j).value();
  fence_ref finished = armed.finished();
  return finished;
}

// Runs until nothing is left to do now.
void run(scheduler& s) { LAB_CHECK(s.run_ready().has_value()); }

TEST(sched_model, a_job_that_is_pushed_while_the_last_one_is_chosen_is_not_forgotten) {
  expect_safe_so_far([] {
    device d;
    scheduler s = d.make();
    {
      entity e = make_entity(s);
      fence_ref first = push(e, d), second;
      {
        thread pushes("push", [&] { second = push(e, d); });
        thread works("work", [&] { run(s); });
      }
      run(s);
      LAB_CHECK(first->status() == 1 && second->status() == 1);
      LAB_CHECK(d.runs.get() == 2);
    }
    LAB_CHECK(!s.fini());
    LAB_CHECK(d.freed.get() == 2);
  });
}

// Arming, pushing and killing: the job ends, or is its owner's.
TEST(sched_model, a_job_that_is_armed_while_its_entity_is_killed_ends_or_is_refused) {
  expect_safe_so_far([] {
    device d;
    scheduler s = d.make();
    {
      entity e = make_entity(s);
      fence_ref finished;
      bool is_refused = false;
      {
        thread arms("arm", [&] {
          auto* const j = new model_job(d);
          j->input.set(1);
          result<armed_job> armed = e.arm(*j);
          is_refused = !armed;
          if (is_refused) {
            delete j;
          } else {
            finished = armed->finished();
          }
        });
        thread kills("kill", [&] { LAB_CHECK(!e.kill()); });
        thread works("work", [&] { run(s); });
      }
      run(s);
      LAB_CHECK(is_refused || finished->status() != 0);
    }
    LAB_CHECK(!s.fini());
  });
}

TEST(sched_model, the_device_signals_while_the_scheduler_ends) {
  expect_safe_so_far([] {
    device d(false);
    d.fences[0] = fence::create(7, 1).value();
    scheduler s = d.make();
    {
      entity e = make_entity(s);
      const fence_ref finished = push(e, d);
      run(s);
      cell<int> work;
      {
        thread signals("signal", [&] { work.set(1), d.fences[0].signal.share().signal(-5); });
        thread ends("end", [&] { LAB_CHECK(!s.fini()); });
      }
      LAB_CHECK(finished->status() == -5 || finished->status() == -ECANCELED);
      LAB_CHECK(d.freed.get() == 1);
    }
    d.fences[0].signal.signal();
  });
}

TEST(sched_model, a_job_that_is_pushed_while_its_scheduler_ends_is_ended_or_refused) {
  expect_safe_so_far([] {
    device d;
    scheduler s = d.make();
    {
      entity e = make_entity(s);
      fence_ref finished;
      {
        thread pushes("push", [&] {
          auto* const j = new model_job(d);
          j->input.set(1);
          result<armed_job> armed = e.arm(*j);
          if (armed) {
            finished = armed->finished();
          } else {
            delete j;
          }
        });
        thread ends("end", [&] { LAB_CHECK(!s.fini()); });
      }
      LAB_CHECK(!finished || finished->status() != 0);
    }
  });
}

// R18: of the deadline and the device fence, whichever is second sees the first.
struct hearing : backend {
  hearing() : backend{&table} {}
  static void hear(backend* b, std::int64_t) noexcept {
    static_cast<hearing*>(b)->heard.store(1, mo::relaxed);
  }
  static constexpr backend_ops table{.set_deadline = &hear};
  atomic<std::uint32_t> heard{0};
};

TEST(sched_model, a_deadline_that_is_set_while_the_job_is_given_to_the_device_reaches_it) {
  expect_safe_so_far([] {
    device d(false);
    hearing data;
    d.fences[0] = fence::create(7, 1, &data).value();
    scheduler s = d.make();
    {
      entity e = make_entity(s);
      const fence_ref finished = push(e, d);
      {
        thread hints("hint", [&] { finished->set_deadline(INT64_C(1000)); });
        thread works("work", [&] { run(s); });
      }
      LAB_CHECK(data.heard.load(mo::relaxed) == 1);
      d.fences[0].signal.signal();
      run(s);
    }
    LAB_CHECK(!s.fini());
  });
}

// Its ops may be inside when finished is signaled: the job is freed after the last of both, and
// what they did with it is seen by then.
TEST(sched_model, the_last_use_of_a_job_frees_it_after_all_uses) {
  expect_safe_so_far([] {
    device d;
    scheduler s = d.make();
    {
      entity e = make_entity(s);
      const fence_ref finished = push(e, d);
      {
        thread hints("hint", [&] { finished->set_deadline(INT64_C(1000)); });
        thread works("work", [&] { run(s); });
      }
      run(s);
      LAB_CHECK(d.freed.get() == 1);
    }
    LAB_CHECK(!s.fini());
  });
}

// The handle of the entity goes while the last of its jobs ends.
TEST(sched_model, the_last_reference_to_an_entity_frees_it_after_all_uses) {
  expect_safe_so_far([] {
    device d;
    scheduler s = d.make();
    auto* const e = new entity(make_entity(s));
    const fence_ref finished = push(*e, d);
    {
      thread drops("drop", [&] { delete e; });
      thread works("work", [&] { run(s); });
    }
    run(s);
    LAB_CHECK(finished->status() != 0);
    LAB_CHECK(!s.fini());
  });
}

TEST(sched_model, the_last_reference_to_a_scheduler_frees_it_after_all_uses) {
  expect_safe_so_far([] {
    device d;
    auto* const s = new scheduler(d.make());
    auto* const e = new entity(make_entity(*s));
    {
      thread one("entity", [&] { delete e; });
      thread other("scheduler", [&] { delete s; });
    }
  });
}

TEST(sched_model, stopping_while_the_device_signals_completes_the_job_once) {
  expect_safe_so_far([] {
    device d(false);
    d.fences[0] = fence::create(7, 1).value();
    d.fences[1] = fence::create(7, 2).value();
    scheduler s = d.make();
    {
      entity e = make_entity(s);
      const fence_ref finished = push(e, d);
      run(s);
      {
        thread signals("signal", [&] { d.fences[0].signal.share().signal(); });
        thread stops("stop", [&] {
          LAB_CHECK(!s.stop());
          LAB_CHECK(s.statistics().in_flight + static_cast<std::uint32_t>(finished->status()) == 1);
          LAB_CHECK(!s.start(in_flight::keep));
        });
      }
      run(s);
      LAB_CHECK(finished->status() == 1);
      LAB_CHECK(s.statistics().credits_used == 0);
    }
    LAB_CHECK(!s.fini());
    for (new_fence& f : d.fences) f.signal.signal();
  });
}

TEST(sched_model, a_dependency_that_is_signaled_while_it_is_looked_at_wakes_its_entity) {
  expect_safe_so_far([] {
    device d;
    new_fence before = make_fence();
    scheduler s = d.make();
    {
      entity e = make_entity(s);
      auto* const j = new model_job(d);
      j->input.set(1);
      LAB_CHECK(!j->add_dependency(before.fence));
      const fence_ref finished = e.arm(*j).value().finished();
      {
        thread signals("signal", [&] { before.signal.signal(); });
        thread works("work", [&] { run(s); });
      }
      run(s);
      LAB_CHECK(finished->status() == 1);
    }
    LAB_CHECK(!s.fini());
  });
}

TEST(sched_model, a_job_that_was_put_back_ends_once_whether_it_is_killed_or_run) {
  expect_safe_so_far([] {
    device d;
    new_fence there = make_fence();
    scheduler s = d.make();
    {
      entity e = make_entity(s);
      auto* const j = new model_job(d);
      j->input.set(1);
      j->not_before = there.fence;
      const fence_ref finished = e.arm(*j).value().finished();
      run(s);
      {
        thread signals("signal", [&] { there.signal.signal(); });
        thread kills("kill", [&] { LAB_CHECK(!e.kill(-5)); });
        thread works("work", [&] { run(s); });
      }
      run(s);
      LAB_CHECK(finished->status() == (d.runs.get() == 1 ? 1 : -5));
    }
    LAB_CHECK(!s.fini());
    LAB_CHECK(d.freed.get() == 1);
  });
}

}  // namespace
}  // namespace ufence::lab
