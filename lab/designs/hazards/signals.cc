// The meaning of "signaled" to those who see it, and the threads that may say it.
#include <cerrno>

#include "lab/designs/model/hazard.h"
#include "lab/designs/model/stage.h"

namespace ufence::lab {
namespace {

// R4. A consumer frees its callback once the fence is done, or removes it first if not.
void signaled_before_callbacks(const candidate& c) {
  stage s(c);
  auto* callback = new calling([] {});
  s.fence().add_callback(*callback);
  thread issuer("issuer", [&] { s.complete(); });
  thread consumer("consumer", [&] {
    if (!s.fence().is_done()) s.fence().remove_callback(*callback);
    delete callback;
  });
}

// R5. "Done" is said while the second of two callbacks has not run.
void done_while_callbacks_run(const candidate& c) {
  stage s(c);
  atomic<int> ran{0};
  calling first([&] { ran.fetch_add(1, mo::relaxed); });
  calling second([&] { ran.fetch_add(1, mo::relaxed); });
  s.fence().add_callback(first);
  s.fence().add_callback(second);
  thread issuer("issuer", [&] { s.complete(); });
  thread poller("poller", [&] {
    if (s.fence().is_done() && ran.load(mo::relaxed) != 2) {
      goes_wrong("wrong-result: done is said while callbacks have yet to run");
    }
  });
  issuer.join();
  poller.join();
}

// R9. A consumer that learns that the fence is signaled reads the time of that.
void timestamp_window(const candidate& c) {
  stage s(c);
  calling callback([] {});
  thread issuer("issuer", [&] { s.signal(); });
  thread reader("reader", [&] {
    if (!s.fence().add_callback(callback) && s.fence().timestamp() == 0) {
      goes_wrong("wrong-result: a signaled fence has no time");
    }
  });
  issuer.join();
  reader.join();
  s.clean_up();
}

// R10. The interrupt signals success while the timeout signals an error.
void error_of_the_winner(const candidate& c) {
  stage s(c, {.signallers = 2});
  bool interrupt_won = false;
  bool timeout_won = false;
  thread interrupt("interrupt", [&] { interrupt_won = s.signal(0, 0); });
  thread timeout("timeout", [&] { timeout_won = s.signal(-ETIME, 1); });
  interrupt.join();
  timeout.join();
  if (interrupt_won && s.fence().error() != 0) {
    goes_wrong("wrong-result: the interrupt signaled success, the fence has the loser's error");
  }
  if (timeout_won && s.fence().error() != -ETIME) {
    goes_wrong("wrong-result: the timeout's error is lost");
  }
}

// Q3. Done: the error is there, and what a callback did is seen.
void done_means_all_is_readable(const candidate& c) {
  stage s(c);
  atomic<int> effect{0};
  calling callback([&] { effect.store(1, mo::relaxed); });
  s.fence().add_callback(callback);
  thread issuer("issuer", [&] { s.complete(-EIO); });
  thread reader("reader", [&] {
    if (!s.fence().is_done()) return;
    if (s.fence().error() != -EIO) goes_wrong("wrong-result: done, but the error is not there");
    if (effect.load(mo::relaxed) != 1) {
      goes_wrong("wrong-result: done, but a callback's effect is not seen");
    }
  });
  issuer.join();
  reader.join();
}

// Q12. Two signal at once; each drops its reference then, the last one frees the fence.
void one_winner(const candidate& c) {
  stage s(c, {.signallers = 2});
  s.fence().get();
  bool won[2]{};
  atomic<int> cleaned{0};
  const auto signal = [&](unsigned who) {
    won[who] = s.signal(0, who);
    if (won[who] && cleaned.fetch_add(1, mo::relaxed) == 0) s.clean_up();
    if (s.fence().is_signaled() && s.fence().error() != 0) {
      goes_wrong("wrong-result: success has an error");
    }
    s.put();
  };
  thread first("first", [&] { signal(0); });
  thread second("second", [&] { signal(1); });
  first.join();
  second.join();
  if (won[0] && won[1]) goes_wrong("double-run: two signallers are both told that they won");
  if (!won[0] && !won[1]) goes_wrong("wrong-result: nobody won");
}

}  // namespace

std::vector<hazard> hazards_of_signals() {
  return {
      {"R4", "signaled before callbacks", "a consumer that sees the fence done frees its callback",
       signaled_before_callbacks},
      {"R5", "polling while callbacks run",
       "a poller sees the fence done and takes all callbacks for run", done_while_callbacks_run},
      {"R9", "timestamp window", "a thread that learns of the signal reads the timestamp",
       timestamp_window},
      {"R10", "double signal, late error",
       "the interrupt signals success while the timeout signals an error", error_of_the_winner},
      {"Q3", "done means readable",
       "who sees the fence done reads its error and what callbacks did",
       done_means_all_is_readable},
      {"Q12", "one winner", "two signal, one is told that it won; the last reference frees",
       one_winner},
  };
}

}  // namespace ufence::lab
