// Hazards of a driver's code and data while a thread is on the way into them.
#include "lab/designs/model/hazard.h"
#include "lab/designs/model/stage.h"

namespace ufence::lab {
namespace {

// R1. The driver signals, cleans up and is unloaded; somebody prints the fence.
void names_against_detach(const candidate& c) {
  stage s(c);
  thread issuer("issuer", [&] { s.complete(), s.unload(); });
  thread reader("reader", [&] { s.fence().read_names(); });
}

// R2. A driver asserts that a fence of its own is its own.
void identity_after_detach(const candidate& c) {
  stage s(c);
  thread issuer("issuer", [&] { s.signal(); });
  thread reader("reader", [&] {
    if (!s.fence().is_issued_by(s.device())) {
      goes_wrong("wrong-result: the driver does not know its own fence: BUG_ON");
    }
  });
}

// R3. An op runs while the driver signals and destroys the data of the fence.
void op_against_destructor(const candidate& c) {
  stage s(c);
  atomic<std::uint32_t> hardware_seqno{0};
  name(hardware_seqno, "hardware seqno");
  s.device().on_poll = [&](job& j) {
    const bool is_complete = hardware_seqno.load(mo::relaxed) != 0;
    j.use();
    return is_complete;
  };
  thread issuer("issuer", [&] { s.complete(); });
  thread reader("reader", [&] { s.fence().poll(); });
}

// R6. As R3, with set_deadline, which takes the lock under which drivers keep the deadline.
void deadline_against_signal(const candidate& c) {
  stage s(c);
  s.device().on_deadline = [&](job& j) {
    const holding guard(s.fence().lock_for_drivers());
    j.use();
  };
  thread issuer("issuer", [&] { s.complete(); });
  thread reader("reader", [&] { s.fence().set_deadline(); });
}

// R7. The fence lock is the driver's ring lock, and goes with the driver's data.
void lock_freed_before_the_last_reference(const candidate& c) {
  stage s(c, {.uses_drivers_lock = true});
  calling callback([] {});
  const bool added = s.fence().add_callback(callback);
  thread issuer("issuer", [&] { s.complete(); });
  thread reader("reader", [&] {
    if (added) s.fence().remove_callback(callback);
  });
}

// R8. The hardware is armed without a reference; the only one is dropped before the interrupt.
void enable_against_final_put(const candidate& c) {
  stage s(c);
  s.device().on_enable = [&](job& j) {
    const holding guard(s.device().lock);
    s.device().link_locked(j);
  };
  s.device().on_destroy = [&](job& j) {
    const holding guard(s.device().lock);
    s.device().unlink_locked(j);
  };
  thread interrupt("interrupt", [&] {
    bool is_armed = false;
    {
      const holding guard(s.device().lock);
      is_armed = s.device().first_pending_locked() != nullptr;
    }
    if (is_armed) s.complete();
  });
  thread consumer("consumer", [&] { s.fence().enable_signaling(), s.put(); });
}

// R12. Somebody without a reference takes and drops the fence lock, to wait for the signaller.
void lock_of_a_fence_that_goes(const candidate& c) {
  stage s(c);
  s.fence().publish();
  thread issuer("issuer", [&] { s.complete(), s.fence().unpublish(), s.put(); });
  thread waiter("waiter", [&] { s.fence().wait_for_signaller(); });
}

// R14. The issuer loses its fence; a consumer that waits for it uses the memory while the hardware writes to
// it.
void lost_reference(const candidate& c) {
  stage s(c);
  auto* buffer = new cell<int>{0};
  calling reuse([&] { delete buffer; });
  s.fence().add_callback(reuse);
  thread hardware("hardware", [&] { buffer->set(1); });
  thread issuer("issuer", [&] { s.lose(); });
}

}  // namespace

std::vector<hazard> hazards_of_ops() {
  return {
      {"R1", "names vs detach",
       "the driver signals and is unloaded while somebody prints the fence's names",
       names_against_detach},
      {"R2", "identity after detach",
       "a driver asks whether a fence is its own while that is signaled", identity_after_detach},
      {"R3", "op vs destructor",
       "the driver signals and destroys its data of the fence while an op runs",
       op_against_destructor},
      {"R6", "set_deadline vs signal",
       "set_deadline, which takes the lock that drivers have for it, while the driver signals and "
       "cleans up",
       deadline_against_signal},
      {"R7", "external lock vs last reference",
       "the fence lock is part of the driver's data; a callback is removed after the signal",
       lock_freed_before_the_last_reference},
      {"R8", "enable vs final put",
       "the driver arms its hardware without a reference of its own; the consumer drops the last "
       "one before the interrupt",
       enable_against_final_put},
      {"R12", "lock of a fence that goes",
       "somebody without a reference waits for the signaller while the last one is dropped",
       lock_of_a_fence_that_goes},
      {"R14", "lost reference",
       "the issuer drops the fence unsignaled while its hardware still writes", lost_reference},
  };
}

}  // namespace ufence::lab
