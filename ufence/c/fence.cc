#include <cstddef>
#include <new>
#include <string>

#include "ufence/c/convert.h"
#include "ufence/fence/wait.h"

using namespace ufence;
using namespace ufence::c;

// The fence as C sees it, and calls that return as C does, so that nothing is left to do after them.
struct ufence::detail::c_access {
  static_assert(offsetof(fence, state_) == offsetof(ufence_fence_view, state));
  static_assert(sizeof(fence::state_) == sizeof(ufence_fence_view::state));
  static_assert(offsetof(fence, error_) == offsetof(ufence_fence_view, error));
  static_assert(sizeof(fence::error_) == sizeof(ufence_fence_view::error));
  static_assert(fence_state::signaled == UFENCE_FENCE_SIGNALED);

  static int add_callback(fence& f, void* memory, callback_function function) noexcept {
    return f.add_new_callback(memory, function);
  }
  static int remove_callback(fence& f, callback& node) noexcept { return f.try_remove(node); }
};

namespace {

signaler right_of(ufence_signaler* right) noexcept {
  return signaler::adopt(reinterpret_cast<fence*>(right));
}
ufence_signaler* to_c(signaler right) noexcept {
  return reinterpret_cast<ufence_signaler*>(right.give_up());
}

// A callback of C++ lies in the first words of the node.
static_assert(sizeof(callback) <= sizeof(ufence_fence_cb::node));
static_assert(alignof(callback) <= alignof(ufence_fence_cb));

callback& node_of(ufence_fence_cb& cb) noexcept {
  return *std::launder(reinterpret_cast<callback*>(cb.node));
}

void run(callback& node, fence& f) noexcept {
  auto& cb = reinterpret_cast<ufence_fence_cb&>(node);
  cb.fn(c::to_c(&f), &cb);
}

}  // namespace

// --- Fences ---

int ufence_fence_create(uint64_t context, uint64_t seqno, ufence_fence** f,
                        ufence_signaler** right) {
  return hand_over(fence::create(context, seqno), f, right);
}

int ufence_fence_create_with(uint64_t context, uint64_t seqno, ufence_backend* data,
                             ufence_fence** f, ufence_signaler** right) {
  return hand_over(fence::create(context, seqno, of(data)), f, right);
}

int ufence_fence_room_reserve(ufence_fence_room** room) {
  result<fence_room> made = fence_room::reserve();
  if (!made) return negative(made.error());
  *room = reinterpret_cast<ufence_fence_room*>(made->give_up());
  return 0;
}

void ufence_fence_room_drop(ufence_fence_room* room) {
  static_cast<void>(fence_room::adopt(reinterpret_cast<fence*>(room)));
}

int ufence_fence_create_signaled(int64_t timestamp_ns, ufence_fence** f) {
  return hand_over(fence::create_signaled(timestamp_ns), f);
}

ufence_fence* ufence_fence_get_stub() { return c::to_c(fence::stub().release()); }

uint64_t ufence_fence_allocate_contexts(uint64_t n) { return fence::allocate_contexts(n); }

ufence_fence* ufence_fence_get(ufence_fence* f) {
  of(f).get();
  return f;
}

void ufence_fence_put(ufence_fence* f) {
  if (f != nullptr) of(f).put();
}

// In brackets: macros of the same names stand before them.
int(ufence_fence_is_signaled)(ufence_fence* f) { return of(f).is_signaled() ? 1 : 0; }
int ufence_fence_is_settled(ufence_fence* f) { return of(f).is_settled() ? 1 : 0; }
int(ufence_fence_status)(ufence_fence* f) { return of(f).status(); }
int64_t ufence_fence_timestamp_ns(ufence_fence* f) { return of(f).timestamp_ns(); }
uint64_t ufence_fence_context(const ufence_fence* f) { return of(f).context(); }
uint64_t ufence_fence_seqno(const ufence_fence* f) { return of(f).seqno(); }

size_t ufence_fence_driver_name(const ufence_fence* f, char* buffer, size_t size) {
  return copy_out(of(f).driver_name(), buffer, size);
}

size_t ufence_fence_timeline_name(const ufence_fence* f, char* buffer, size_t size) {
  return copy_out(of(f).timeline_name(), buffer, size);
}

long ufence_fence_describe(ufence_fence* f, char* buffer, size_t size) {
  try {
    return static_cast<long>(copy_out(of(f).describe(), buffer, size));
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

// --- Waiting, asking ---

int ufence_fence_wait(ufence_fence* f, int64_t deadline_ns) {
  return negative(of(f).wait(deadline_ns));
}

int ufence_fence_wait_result(ufence_fence* f, int64_t deadline_ns) {
  return negative(of(f).wait_result(deadline_ns));
}

int ufence_fence_wait_settled(ufence_fence* f, int64_t deadline_ns) {
  return negative(of(f).wait_settled(deadline_ns));
}

long ufence_fence_wait_any(ufence_fence* const* fences, size_t n, int64_t deadline_ns) {
  const result<std::size_t> found = wait_any(lent(fences, n), deadline_ns);
  return found ? static_cast<long>(*found) : negative(found.error());
}

int ufence_fence_wait_all(ufence_fence* const* fences, size_t n, int64_t deadline_ns) {
  return negative(wait_all(lent(fences, n), deadline_ns));
}

int ufence_fence_pollable_fd(ufence_fence* f) { return hand_over(of(f).pollable_fd()); }
void ufence_fence_enable_signaling(ufence_fence* f) { of(f).enable_signaling(); }
int ufence_fence_poll(ufence_fence* f) { return of(f).poll() ? 1 : 0; }
void ufence_fence_set_deadline(ufence_fence* f, int64_t deadline_ns) {
  of(f).set_deadline(deadline_ns);
}

// --- Callbacks ---

int ufence_fence_add_callback(ufence_fence* f, ufence_fence_cb* cb) {
  if (cb->fn == nullptr) return -EINVAL;
  return detail::c_access::add_callback(of(f), cb->node, &run);
}

int ufence_fence_remove_callback(ufence_fence* f, ufence_fence_cb* cb) {
  return detail::c_access::remove_callback(of(f), node_of(*cb));
}

// --- The right to signal ---

int ufence_signaler_signal(ufence_signaler* right, int error) {
  return right_of(right).signal(error) ? 1 : 0;
}

int ufence_signaler_decide(ufence_signaler* right, int error, ufence_settlement* later) {
  settlement decided = settlement::adopt(later->head);
  const bool won = right_of(right).decide(error, decided);
  later->head = decided.give_up();
  return won ? 1 : 0;
}

void ufence_settle(ufence_settlement* later) {
  settlement decided = settlement::adopt(std::exchange(later->head, nullptr));
  decided.settle();
}

ufence_signaler* ufence_signaler_share(const ufence_signaler* right) {
  signaler lent = right_of(const_cast<ufence_signaler*>(right));
  signaler another = lent.share();
  static_cast<void>(lent.give_up());  // it stays the caller's
  return ::to_c(std::move(another));
}

ufence_fence* ufence_signaler_fence(const ufence_signaler* right) {
  return c::to_c(reinterpret_cast<fence*>(const_cast<ufence_signaler*>(right)));
}

void ufence_signaler_drop(ufence_signaler* right) {
  if (right != nullptr) static_cast<void>(right_of(right));
}
