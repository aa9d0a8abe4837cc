#include <new>

#include "ufence/c/convert.h"
#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/container/unwrap.h"
#include "ufence/fence/timeline.h"

using namespace ufence;
using namespace ufence::c;

struct ufence_timeline_issuer {
  timeline_issuer issuer;
};

// --- Timelines ---

int ufence_timeline_create(const ufence_timeline_options* given, ufence_timeline_issuer** issuer) {
  ufence_timeline_options options;
  if (!read_options(given, options)) return -EINVAL;
  result<timeline_issuer> made =
      timeline_issuer::create({.driver_name = text_of(options.driver_name),
                               .timeline_name = text_of(options.timeline_name),
                               .initial_seqno = options.initial_seqno,
                               .made_by = __builtin_return_address(0)});
  if (!made) return negative(made.error());
  auto* const handle = new (std::nothrow) ufence_timeline_issuer{std::move(*made)};
  if (handle == nullptr) return -ENOMEM;
  *issuer = handle;
  return 0;
}

int ufence_timeline_emit(ufence_timeline_issuer* i, ufence_fence** f) {
  return hand_over(i->issuer.emit(), f);
}

int ufence_timeline_create_unordered(ufence_timeline_issuer* i, ufence_backend* data,
                                     ufence_fence** f, ufence_signaler** right) {
  return hand_over(i->issuer.create_unordered(of(data)), f, right);
}

void ufence_timeline_create_reserved(ufence_timeline_issuer* i, ufence_fence_room* room,
                                     ufence_backend* data, ufence_fence** f,
                                     ufence_signaler** right) {
  fence_room memory = fence_room::adopt(reinterpret_cast<fence*>(room));
  hand_over(i->issuer.create_unordered(std::move(memory), of(data)), f, right);
}

void ufence_timeline_signal_up_to(ufence_timeline_issuer* i, uint64_t seqno) {
  i->issuer.signal_up_to(seqno);
}

int ufence_timeline_signal(ufence_timeline_issuer* i, ufence_fence* f, int error) {
  return i->issuer.signal(of(f), error) ? 1 : 0;
}

void ufence_timeline_fail(ufence_timeline_issuer* i, int error) { i->issuer.fail(error); }
uint64_t ufence_timeline_context(const ufence_timeline_issuer* i) {
  return i->issuer.line()->context();
}
uint64_t ufence_timeline_completed(const ufence_timeline_issuer* i) {
  return i->issuer.line()->completed();
}
uint64_t ufence_timeline_emitted(const ufence_timeline_issuer* i) {
  return i->issuer.line()->emitted();
}
void ufence_timeline_drop(ufence_timeline_issuer* i) { delete i; }

// --- Fences made of fences ---

int ufence_array_create(ufence_fence* const* fences, size_t n, unsigned int mode,
                        ufence_fence** array) {
  if (mode != UFENCE_ARRAY_ALL && mode != UFENCE_ARRAY_ANY) return -EINVAL;
  return hand_over(fence_array::create(lent(fences, n), mode == UFENCE_ARRAY_ALL ? array_mode::all
                                                                                 : array_mode::any),
                   array);
}

int ufence_chain_create(ufence_fence* previous, ufence_fence* contained, uint64_t point,
                        ufence_fence** chain) {
  return hand_over(fence_chain::create(borrowed(previous), borrowed(contained), point), chain);
}

int ufence_merge(ufence_fence* const* fences, size_t n, ufence_fence** merged) {
  return hand_over(merge(lent(fences, n)), merged);
}
