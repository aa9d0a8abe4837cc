// Hazards of objects that are made of fences.
#include "lab/designs/model/hazard.h"
#include "lab/designs/model/stage.h"

namespace ufence::lab {
namespace {

// R17. One of two is signaled; the array is enabled while somebody asks whether both are.
void array_enable_against_signaled(const candidate& c) {
  stage a(c);
  stage b(c);
  a.signal();
  const auto array = c.of->make_array(a.fence(), b.fence(), c.without);
  {
    thread enabler("enabler", [&] { array->enable_signaling(); });
    thread reader("reader", [&] {
      if (array->is_signaled()) {
        goes_wrong("wrong-result: an array is signaled with a child pending");
      }
    });
  }
  a.clean_up();
  b.complete();
  if (!array->is_signaled()) goes_wrong("wrong-result: an array is pending, its children are not");
}

// R18. The hardware's fence becomes known while a deadline is set.
void deadline_against_parent(const candidate& c) {
  const auto forwarder = c.of->make_forwarder(c.without);
  {
    thread scheduler("scheduler", [&] { forwarder->set_parent(); });
    thread compositor("compositor", [&] { forwarder->set_deadline(); });
  }
  if (!forwarder->was_forwarded()) goes_wrong("wrong-result: nobody forwards the deadline");
}

// R21. A reader without a lock takes a reference to what a slot holds while that is replaced.
void unlocked_iteration(const candidate& c) {
  const auto slot = c.of->make_slot(c.without);
  thread writer("writer", [&] { slot->write(); });
  thread reader("reader", [&] {
    const std::uint64_t number = slot->read();
    if (number > 2) goes_wrong("wrong-result: the fence was never in the slot");
  });
  writer.join();
  reader.join();
}

// R22. A handle is waited for while a fence is put into it and signaled.
void wait_against_install(const candidate& c) {
  stage s(c);
  const auto syncobj = c.of->make_syncobj(c.without);
  {
    thread issuer("issuer", [&] { syncobj->install(s.fence()), s.complete(); });
    thread waiter("waiter", [&] { syncobj->wait(); });
  }
}

}  // namespace

std::vector<hazard> hazards_of_containers() {
  return {
      {"R17", "array: enable vs signaled",
       "an array of a signaled and a pending fence is enabled while it is asked",
       array_enable_against_signaled, [](const design& d) { return d.make_array != nullptr; }},
      {"R18", "scheduler deadline", "the hardware's fence becomes known while a deadline is set",
       deadline_against_parent, [](const design& d) { return d.make_forwarder != nullptr; }},
      {"R21", "unlocked iteration",
       "a reader takes a reference to a slot's fence while that is replaced", unlocked_iteration,
       [](const design& d) { return d.make_slot != nullptr; }},
      {"R22", "syncobj: wait vs install",
       "a syncobj is waited for while a fence is installed and signaled", wait_against_install,
       [](const design& d) { return d.make_syncobj != nullptr; }},
  };
}

}  // namespace ufence::lab
