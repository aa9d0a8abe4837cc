// fence_chain: the points of a timeline, each a fence and a link to the point before.
//
// A node is signaled when its fence and those of all nodes before it are. A thread that walks a chain unlinks
// the signaled nodes that it meets, so that a chain stays as long as what is pending.
//
//   previous_   owns a reference; changed by CAS, only ever to a node further back, or null
// Orders: CHAIN.1 unlink against who follows the link with a reference (fence::get_rcu()).
#pragma once

#include <cstdint>
#include <utility>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/lock.h"
#include "ufence/base/result.h"
#include "ufence/fence/library_fence.h"
#include "ufence/rcu/rcu.h"

namespace ufence {

/// Threads: any, concurrently. No operation recurses, however long the chain.
/// Source: Linux struct dma_fence_chain; differs: contains anything; remembers the first error
class UFENCE_API fence_chain final : public library_fence, private backend {
 public:
  /// Makes a point.
  /// @param previous  the point before, another fence, or null
  /// @param contained what this point waits for
  /// @param point     later than that of `previous`: the node joins its context; else it starts a
  ///                  context of its own, with the larger of the two points
  /// @return  -EINVAL no fence; -ENOMEM: nothing was taken
  /// Ownership: takes references of its own. Allocates: the node. Blocks, Context: as fence_array.
  /// Source: Linux dma_fence_chain_init(); differs: allocates, does not consume
  [[nodiscard]] static result<fence_ref> create(const fence_ref& previous,
                                                const fence_ref& contained,
                                                std::uint64_t point) noexcept;
  /// The same with the caller's references, which become the node's, unless it fails.
  [[nodiscard]] static result<fence_ref> create(fence_ref&& previous, fence_ref&& contained,
                                                std::uint64_t point) noexcept;

  /// Memory for a node.
  class room;
  /// Takes the memory of a point, which is all of its making that can fail: for a caller that makes it
  /// under a lock, where nothing is allocated.
  /// @return  -ENOMEM
  /// Allocates, Blocks, Context: as create().  Source: Linux dma_fence_chain_alloc()
  [[nodiscard]] static result<room> reserve() noexcept;
  /// As the other one, but cannot fail; `contained` is not null. Context: under any lock.
  /// Source: Linux dma_fence_chain_init()
  [[nodiscard]] static fence_ref create(room memory, fence_ref previous, fence_ref contained,
                                        std::uint64_t point) noexcept;

  /// The chain node that `f` is, before and after signaling, or nullptr.
  [[nodiscard]] static fence_chain* from(fence& f) noexcept {
    return is_of(f, type_of_chains) ? static_cast<fence_chain*>(&f) : nullptr;
  }
  /// The fence that a chain node contains, or `f` itself. Source: Linux dma_fence_chain_contained()
  [[nodiscard]] static fence& contained_in(fence& f) noexcept {
    fence_chain* chain = from(f);
    return chain != nullptr ? chain->contained() : f;
  }

  /// The caller has a reference to the node.
  [[nodiscard]] fence& contained() const noexcept {
    // relaxed: constant until the last reference is dropped
    return *contained_.load(mo::relaxed);
  }
  /// The point before this one when it was made; 0: it starts its context.
  [[nodiscard]] std::uint64_t previous_point() const noexcept { return previous_point_; }

  /// The node before `f` that is not signaled (or the fence that the chain starts with), or null at
  /// the end; unlinks what is signaled in between. `f` may be any fence. Source: Linux
  /// dma_fence_chain_walk()
  [[nodiscard]] static fence_ref walk(fence& f) noexcept;
  /// The node linked before, without a reference: inside an RCU read section. Its context and point
  /// may be read there; for what it contains take a reference first (fence::get_rcu()). Not so of
  /// another fence that the chain starts with: it may go at once, and only its address may be used.
  [[nodiscard]] fence* previous_rcu() const noexcept {
    // relaxed: all nodes further back were made before this one was, and a thread that knows this one sees
    // their constant fields. Failures are looked for by threads that follow links with a reference.
    return previous_.load(mo::relaxed);
  }

  /// Goes from the last node to the one whose signaling completes `point`: `f` becomes that node,
  /// or null if it is complete and unlinked already.
  /// @return  0; -EINVAL not a chain, or the point is not submitted yet: `f` stays
  /// Source: Linux dma_fence_chain_find_seqno()
  [[nodiscard]] static std::error_code find_seqno(fence_ref& f, std::uint64_t point) noexcept;

  /// The fence that failed first among those of this node and of the nodes before it, in the order
  /// of points, also if it was unlinked; null if none failed so far.
  [[nodiscard]] fence_ref first_failed() noexcept;

 private:
  friend struct detail::debug_access;
  fence_chain(fence_ref previous, fence_ref contained, std::uint64_t previous_point,
              std::uint64_t place) noexcept;
  static void release(fence& f) noexcept;
  static fence_ref child_of(fence& f, std::uint32_t i) noexcept;
  static int enable(backend* data) noexcept;
  static int poll(backend* data) noexcept;
  static void forward_deadline(backend* data, std::int64_t deadline_ns) noexcept;
  static void on_contained(callback& node, fence& f) noexcept;

  int watch_next() noexcept;
  void note_unlinked(fence& before) noexcept;
  [[nodiscard]] fence_ref skip_signaled(fence& from_here) noexcept;
  void unlink(fence& before) noexcept;
  [[nodiscard]] bool has_failed() const noexcept {
    // relaxed: a thread that follows a link, or drops the last reference, sees what was noted before
    // (CHAIN.1)
    return has_failed_.load(mo::relaxed);
  }
  void note_failed(fence& failed, std::uint64_t place) noexcept;

  static const fence_type type_of_chains;
  static const backend_ops ops_of_chains;

  // The entry by which the node is listed: the callback on the contained fence that is waited for now, one at
  // a time; at the end a deferred free.
  struct list_nodes : callback, rcu::deferred {
    fence_chain* chain = nullptr;
  };

  // First what walks look at: it ends in the cache line that the type is in.
  atomic<fence*> previous_;
  atomic<fence*> contained_;  // owns a reference; null once the last one to the node is dropped
  const std::uint64_t previous_point_;
  // How many nodes were before it when it was made, and one. Points do not order nodes: a context
  // may start with the point at which the last one ended.
  const std::uint64_t place_;
  list_nodes listed_;
  // Among unlinked nodes the failed fence of the lowest place, and that place (0: before all
  // nodes).
  // has_failed_ is set once there is one, for threads that look without the lock.
  atomic<bool> has_failed_{false};
  mutex failed_lock_{lock_rank::leaf};
  fence_ref failed_ UFENCE_GUARDED_BY(failed_lock_);
  std::uint64_t failed_place_ UFENCE_GUARDED_BY(failed_lock_) = 0;
};

class UFENCE_API fence_chain::room {
 public:
  room(room&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)) {}
  room& operator=(room&& other) noexcept {
    std::swap(memory_, other.memory_);
    return *this;
  }
  ~room();

 private:
  friend class fence_chain;
  explicit room(void* memory) noexcept : memory_(memory) {}
  void* memory_;
};

}  // namespace ufence
