// The callbacks, jobs and waiters that hear of a fence.
#include <utility>

#include "ufence/debug/gatherer.h"
#include "ufence/debug/graph.h"
#include "ufence/issuer/job_record.h"

namespace ufence::debug {

namespace {

std::string text_of(const code_place& place) {
  if (place.module.empty()) return "unknown code";
  return place.module.substr(place.module.rfind('/') + 1) + "+" + hex_text(place.offset);
}

}  // namespace

// LOCK of the fence is held: what a callback that is queued belongs to is alive.
gatherer::seen_callback gatherer::copy_callback(callback& c) {
  seen_callback seen{.function = access::function_of(c), .address = &c};
  if (seen.function == access::callback_of_arrays()) {
    seen.target = fence_ref::take(access::array_of(c));
  } else if (seen.function == access::callback_of_chains()) {
    seen.target = fence_ref::take(access::chain_of(c));
  } else if (seen.function == access::callback_of_jobs()) {
    seen.target = fence_ref::take(access::finished_of(c));
  } else if (seen.function == access::callback_of_entities()) {
    seen.entity = ref<access::entity_core>::take(access::entity_of(c));
  } else if (seen.function == detail::callback_of_in_fences()) {
    // The record keeps its fence until it is vacant, and it is not while it waits.
    fence* const of = static_cast<detail::in_fence&>(c).job->of.get();
    if (of != nullptr && of->try_get()) seen.target = fence_ref::adopt(of);
  } else {
    seen.is_export = detail::is_export(c, seen.function, seen.file, seen.export_fd);
  }
  return seen;
}

void gatherer::look_at_callbacks(fence& f, std::uint32_t n) {
  constexpr std::size_t callbacks_max = 1'000;
  std::vector<seen_callback> all;
  access::visit_callbacks(f, callbacks_max,
                          [&all](callback& c) { all.push_back(copy_callback(c)); });
  if (all.size() == callbacks_max) found_.nodes[n].note += " (there may be more callbacks)";
  for (seen_callback& c : all) {
    std::string text = tell_callback(c, n);
    found_.nodes[n].callbacks.push_back(std::move(text));
  }
}

std::string gatherer::tell_callback(seen_callback& c, std::uint32_t n) {
  if (c.target) {
    const std::uint32_t waiter = node_of(*c.target);
    node& told = found_.nodes[n];
    if (c.function == access::callback_of_jobs()) {
      if (told.why == cause::never_signaled) told.why = cause::with_device;
      return "a scheduler";
    }
    if (c.function != detail::callback_of_in_fences()) return "a container";
    // A job of a driver tells what it waits for by its callbacks alone.
    add_edge(waiter, n, "an in-fence");
    return "a job of a driver module";
  }
  if (c.entity) {
    entities_.push_back(std::move(c.entity));
    return "an entity of a scheduler";
  }
  if (c.is_export) {
    found_.nodes[n].export_fds.push_back(c.export_fd);
    found_.nodes[n].export_key = detail::label_number_of(found_.nodes[n].context);
    return "sync file \"" + std::string(c.file.data()) + "\"";
  }
  if (c.function == detail::callback_of_wait_any()) return "a thread in wait_any()";
  if (c.function == detail::callback_of_pollable()) return "a pollable descriptor";
  std::string text = text_of(modules_.place_of(reinterpret_cast<const void*>(c.function)));
  foreign_.push_back({.on = n, .address = c.address, .text = text});
  return text;
}

}  // namespace ufence::debug
