// The driver's lock: taken in its interrupt, and in its ops.
#include "lab/designs/model/hazard.h"
#include "lab/designs/model/stage.h"

namespace ufence::lab {
namespace {

// The driver keeps a plain list of what is pending under its lock; enable_signaling puts the job on
// it, the thread that destroys a job takes it off.
void keep_pending_list(stage& s) {
  driver& d = s.device();
  d.on_enable = [&d](job& j) {
    const holding guard(d.lock);
    d.link_locked(j);
  };
  d.on_destroy = [&d](job& j) {
    const holding guard(d.lock);
    d.unlink_locked(j);
  };
}

// R11. The interrupt signals under the driver's lock, enable_signaling takes it. The data stays.
void lock_inversion(const candidate& c) {
  stage s(c);
  s.device().on_enable = [&](job&) { const holding guard(s.device().lock); };
  thread interrupt("interrupt", [&] {
    const holding guard(s.device().lock);
    s.signal();
  });
  calling callback([] {});
  thread consumer("consumer", [&] { s.fence().add_callback(callback); });
  interrupt.join();
  consumer.join();
  s.clean_up();
}

// Q6. After signal(), cleaning up and what the design has for waiting, no op runs any more.
void decoupled_after_signal(const candidate& c) {
  stage s(c);
  atomic<bool> is_decoupled{false};
  s.device().on_poll = [&](job&) {
    if (is_decoupled.load(mo::relaxed)) {
      goes_wrong("wrong-result: an op runs although the driver was told that none does");
    }
    return false;
  };
  thread issuer("issuer", [&] {
    s.complete();
    s.fence().wait_quiesced();
    is_decoupled.store(true, mo::relaxed);
  });
  thread reader("reader", [&] { s.fence().poll(); });
  issuer.join();
  reader.join();
}

// Q10. The interrupt signals under the driver's lock and then destroys; the op wants that lock.
void signal_under_drivers_lock(const candidate& c) {
  stage s(c);
  s.device().on_poll = [&](job& j) {
    const holding guard(s.device().lock);
    j.use();
    return false;
  };
  thread interrupt("interrupt", [&] { s.interrupt(); });
  thread reader("reader", [&] { s.fence().poll(); });
}

// Q11. enable_signaling signals its own fence; a callback signals the fence that it is called for.
void reentrancy(const candidate& c) {
  stage s(c, {.signallers = 2});
  bool won = false;
  if (choose(2) == 0) {
    s.device().on_enable = [&](job&) { won = s.signal(0, 1); };
    thread consumer("consumer", [&] {
      s.fence().enable_signaling();
      if (won) s.clean_up();
    });
  } else {
    calling callback([&] {
      s.fence().signal(0, 1);
      s.fence().get();
      s.fence().put();
    });
    s.fence().add_callback(callback);
    thread issuer("issuer", [&] { s.complete(); });
  }
}

// Q15. Two enable while the driver signals and cleans up; the op takes the lock that drivers share.
void enable_without_lock(const candidate& c) {
  stage s(c);
  atomic<int> enabled{0};
  s.device().on_enable = [&](job& j) {
    if (enabled.fetch_add(1, mo::relaxed) != 0) goes_wrong("double-run: a second enable_signaling");
    const holding guard(s.fence().lock_for_drivers());
    j.use();
  };
  thread issuer("issuer", [&] { s.complete(); });
  thread first("first", [&] { s.fence().enable_signaling(); });
  thread second("second", [&] { s.fence().enable_signaling(); });
}

// Q18. Interrupt and enable share the driver's plain list; what is destroyed must not stay on it.
void plain_pending_list(const candidate& c) {
  stage s(c);
  keep_pending_list(s);
  thread interrupt("interrupt", [&] {
    bool won = false;
    {
      const holding guard(s.device().lock);
      if (job* j = s.device().first_pending_locked()) s.device().unlink_locked(*j);
      won = s.signal();
    }
    if (won) s.clean_up();
  });
  thread consumer("consumer", [&] { s.fence().enable_signaling(); });
  interrupt.join();
  consumer.join();
  const holding guard(s.device().lock);
  if (job* j = s.device().first_pending_locked()) j->use();
}

// Q22. The work is done; the interrupt and a poller find out. The data is destroyed once, by
// somebody who was told to.
void destructor_runs_once(const candidate& c) {
  stage s(c);
  bool is_destroyed = false;
  s.device().on_poll = [](job& j) { return j.use(), true; };
  s.device().on_poll_won = [&](job&) { s.clean_up(); };
  s.device().on_destroy = [&](job&) { is_destroyed = true; };
  thread interrupt("interrupt", [&] { s.complete(); });
  thread poller("poller", [&] { s.fence().poll(); });
  interrupt.join();
  poller.join();
  if (!is_destroyed) goes_wrong("wrong-result: nobody was told to destroy the data");
}

}  // namespace

std::vector<hazard> hazards_of_locks() {
  return {
      {"R11", "lock inversion",
       "the interrupt signals under the driver's lock, enable_signaling takes it", lock_inversion},
      {"Q6", "no op after signal",
       "an op runs while the driver signals, cleans up and waits, as far as the design has a way "
       "to",
       decoupled_after_signal},
      {"Q10", "signal under the driver's lock",
       "the interrupt signals under the driver's lock, then cleans up; the op takes that lock",
       signal_under_drivers_lock},
      {"Q11", "re-entrancy", "an op signals its own fence, a callback signals its own fence",
       reentrancy},
      {"Q15", "enable without lock",
       "two enable while the driver signals and cleans up; the op takes the lock that drivers "
       "share",
       enable_without_lock},
      {"Q18", "plain pending list",
       "interrupt, enable_signaling and the destructor share a doubly linked list under the "
       "driver's lock",
       plain_pending_list},
      {"Q22", "destructor exactly once",
       "interrupt and poller both find the work done; the data is destroyed once, by who was told",
       destructor_runs_once},
  };
}

}  // namespace ufence::lab
