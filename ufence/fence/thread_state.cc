#include "ufence/fence/thread_state.h"

#include "ufence/fence/timeline.h"

namespace ufence {

template <class Match>
bool thread_state::any(Match match) const noexcept {
  for (const frame* f = top; f != nullptr; f = f->outer) {
    if (match(*f->of)) return true;
  }
  for (const thread_state* s = this; s != nullptr; s = s->outer) {
    if (s->queue == nullptr) continue;
    const fence* f = s->queue;
    do {
      if (match(*f)) return true;
      f = f->link_.get();
    } while (f != s->queue);
  }
  return false;
}

bool thread_state::involves(const fence& f) const noexcept {
  return any([&](const fence& other) { return &other == &f; });
}

bool thread_state::involves(std::uint64_t context) const noexcept {
  return any([&](const fence& other) {
    const timeline* line = other.owner();
    return (line != nullptr ? line->context() : other.context()) == context;
  });
}

bool thread_state::runs(const callback& node, const fence& of) const noexcept {
  for (const frame* f = top; f != nullptr; f = f->outer) {
    if (f->node == &node && f->of == &of) return true;
  }
  return false;
}

bool thread_state::runs_one_of(const callback_group& group) const noexcept {
  for (const frame* f = top; f != nullptr; f = f->outer) {
    if (f->group == &group) return true;
  }
  return false;
}

void thread_state::queue_chain(fence* last) noexcept {
  if (queue != nullptr) {
    fence* first = queue->link_.get();
    queue->link_.set(last->link_.get());
    last->link_.set(first);
  }
  queue = last;
  has_deferred = true;
}

void thread_state::queue_work(thread_work& added) noexcept {
  added.next = nullptr;
  if (work == nullptr) {
    work = &added;
  } else {
    last_work->next = &added;
  }
  last_work = &added;
  has_deferred = true;
}

// Fences that were decided are settled before further work is begun: as in the kernel, whose nested signals call
// back at once, and whose irq_work runs later.
void thread_state::drain_queue() noexcept {
  draining = true;
  for (;;) {
    if (queue != nullptr) {
      fence* first = queue->link_.get();
      if (first == queue) {
        queue = nullptr;
      } else {
        queue->link_.set(first->link_.get());
      }
      first->settle();
    } else if (work != nullptr) {
      thread_work& first = *work;
      work = first.next;
      first.run(first);  // may queue it again, or free it
    } else {
      break;
    }
  }
  draining = false;
  has_deferred = false;
}

}  // namespace ufence
