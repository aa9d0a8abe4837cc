// The jobs of linux/gpu_scheduler.h, and what the scheduler calls for them.
#include <cstring>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/kernel/gpu_scheduler.h"
#include "ufence/kernel/interop.h"
#include "ufence/kernel/kernel_fence.h"
#include "ufence/sync/syncobj_table.h"

using ufence::as_atomic;
using ufence::drm_entity;
using ufence::drm_job;
using ufence::drm_scheduler;
using ufence::fence_ref;
using ufence::kernel_fence;
namespace mo = ufence::mo;
namespace sched = ufence::sched;

namespace {

static_assert(alignof(drm_job) <= 16, "malloc() aligns it");

drm_job& of_finished(dma_fence* f) noexcept {
  return drm_job::of_c(*reinterpret_cast<drm_sched_fence*>(
      reinterpret_cast<char*>(f) - offsetof(drm_sched_fence, finished)));
}
drm_job& of_scheduled(dma_fence* f) noexcept {
  return drm_job::of_c(*reinterpret_cast<drm_sched_fence*>(f));
}

// --- The ops of the two fences ---

const char* get_driver_name(dma_fence*) { return "drm_sched"; }
const char* get_name_of_scheduled(dma_fence* f) { return of_scheduled(f).name; }
const char* get_name_of_finished(dma_fence* f) { return of_finished(f).name; }

// `finished` has a reference to `scheduled`.
void release_finished(dma_fence* f) { dma_fence_put(&of_finished(f).scheduled); }

void release_scheduled(dma_fence* f) {
  drm_job& j = of_scheduled(f);
  dma_fence_put(j.parent);
  j.~drm_job();
  // Readers that look for a reference under RCU see the count alone.
  dma_fence_free(f);
}

void set_deadline(dma_fence* f, ktime_t deadline) {
  const fence_ref& native = of_finished(f).native_finished;
  if (native) native->set_deadline(deadline);
}

constexpr dma_fence_ops scheduled_ops{.get_driver_name = &get_driver_name,
                                      .get_timeline_name = &get_name_of_scheduled,
                                      .enable_signaling = nullptr,
                                      .signaled = nullptr,
                                      .wait = nullptr,
                                      .release = &release_scheduled,
                                      .set_deadline = nullptr};
constexpr dma_fence_ops finished_ops{.get_driver_name = &get_driver_name,
                                     .get_timeline_name = &get_name_of_finished,
                                     .enable_signaling = nullptr,
                                     .signaled = nullptr,
                                     .wait = nullptr,
                                     .release = &release_finished,
                                     .set_deadline = &set_deadline};

void init_fence(dma_fence& f, const dma_fence_ops& ops, u64 context, u64 seqno) noexcept {
  spin_lock_init(&f.inline_lock);
  kernel_fence::init(f, &ops, context, seqno,
                     ufence::flag(DMA_FENCE_FLAG_INLINE_LOCK_BIT) |
                         ufence::flag(DMA_FENCE_FLAG_SEQNO64_BIT),
                     nullptr);
}

void scheduled_is_signaled(ufence::callback& node, ufence::fence& native) noexcept {
  drm_job& j = static_cast<drm_job::node&>(node).of;
  kernel_fence::of(j.scheduled).signal(native.timestamp_ns(), false);
  dma_fence_put(&j.finished);
}

void finished_is_signaled(ufence::callback& node, ufence::fence& native) noexcept {
  drm_job& j = static_cast<drm_job::node&>(node).of;
  j.end(native.error(), native.timestamp_ns());
  dma_fence_put(&j.finished);
}

// --- The functions for ufence/sched ---

/// A call of the driver with a job that its entity has.
class entity_call {
 public:
  explicit entity_call(drm_job& j) noexcept : entity_(j.entity), is_let_in_(entity_.enter()) {}
  ~entity_call() {
    if (is_let_in_) entity_.leave();
  }
  entity_call(const entity_call&) = delete;
  entity_call& operator=(const entity_call&) = delete;
  explicit operator bool() const noexcept { return is_let_in_; }

 private:
  drm_entity& entity_;
  const bool is_let_in_;
};

void list_pending(drm_job& j) noexcept {
  drm_scheduler& home = drm_scheduler::of_c(*j.sched);
  const ufence::scoped_lock hold(home.lock);
  j.is_pending = true;
  j.previous_pending = home.last_pending;
  (home.last_pending != nullptr ? home.last_pending->next_pending : home.first_pending) = &j;
  home.last_pending = &j;
}

void unlist_pending(drm_job& j) noexcept {
  drm_scheduler& home = drm_scheduler::of_c(*j.sched);
  const ufence::scoped_lock hold(home.lock);
  if (!std::exchange(j.is_pending, false)) return;
  (j.previous_pending != nullptr ? j.previous_pending->next_pending : home.first_pending) =
      j.next_pending;
  (j.next_pending != nullptr ? j.next_pending->previous_pending : home.last_pending) =
      j.previous_pending;
}

// The first time that the device gets the job.
void begin(drm_job& j) noexcept {
  if (std::exchange(j.was_given, true)) return;
  drm_sched_entity& e = *j.entity.c();
  if (e.guilty != nullptr && atomic_read(e.guilty) != 0) {
    // relaxed: the signal publishes it
    as_atomic(j.finished.error).store(-ECANCELED, mo::relaxed);
  }
  list_pending(j);
  j.entity.note_last(j.finished);
  j.job->entity = nullptr;
}

ufence::result<fence_ref> run(sched::job& native) noexcept {
  drm_job& j = drm_job::of_native(native);
  dma_fence* device = nullptr;
  {
    const entity_call call(j);
    if (!call || j.job == nullptr) return ufence::failure(ESRCH);
    const bool is_first = !j.was_given;
    begin(j);
    device = j.ops->run_job(j.job);
    if (is_first) j.entity.drop_queued();
  }
  if (IS_ERR(device)) return ufence::failure(static_cast<int>(-PTR_ERR(device)));
  dma_fence_put(std::exchange(j.parent, device));
  return device != nullptr ? ufence::to_fence(*device) : nullptr;
}

fence_ref prepare(sched::job& native) noexcept {
  drm_job& j = drm_job::of_native(native);
  const entity_call call(j);
  if (!call) return nullptr;
  dma_fence* const more = j.ops->prepare_job(j.job, j.entity.c());
  if (IS_ERR_OR_NULL(more)) return nullptr;
  fence_ref f = ufence::native_of(*more);
  dma_fence_put(more);
  return f;
}

sched::timeout_verdict timed_out(sched::job& native) noexcept {
  drm_job& j = drm_job::of_native(native);
  // Its driver has taken it, and only the device's fence is waited for.
  if (j.job == nullptr) return sched::timeout_verdict::no_hang;
  switch (j.ops->timedout_job(j.job)) {
    case DRM_GPU_SCHED_STAT_NO_HANG: return sched::timeout_verdict::no_hang;
    case DRM_GPU_SCHED_STAT_ENODEV: return sched::timeout_verdict::gone;
    case DRM_GPU_SCHED_STAT_NONE:
    case DRM_GPU_SCHED_STAT_RESET: break;
  }
  return sched::timeout_verdict::handled;
}

void cancel(sched::job& native) noexcept {
  drm_job& j = drm_job::of_native(native);
  if (j.job != nullptr) j.ops->cancel_job(j.job);
}

void free_native(sched::job& native) noexcept { drm_job::of_native(native).free(); }

// By what a driver has: prepare_job, timedout_job, cancel_job.
constexpr sched::scheduler_ops ops_with(bool prepares, bool times_out, bool cancels) noexcept {
  return {.run = &run,
          .prepare = prepares ? &prepare : nullptr,
          .timed_out = times_out ? &timed_out : nullptr,
          .cancel = cancels ? &cancel : nullptr,
          .free = &free_native};
}
constexpr sched::scheduler_ops all_ops[2][2][2] = {
    {{ops_with(false, false, false), ops_with(false, false, true)},
     {ops_with(false, true, false), ops_with(false, true, true)}},
    {{ops_with(true, false, false), ops_with(true, false, true)},
     {ops_with(true, true, false), ops_with(true, true, true)}}};

}  // namespace

namespace ufence {

const sched::scheduler_ops& native_ops_for(const drm_sched_backend_ops& ops) noexcept {
  return all_ops[ops.prepare_job != nullptr][ops.timedout_job != nullptr]
                [ops.cancel_job != nullptr];
}

fence_ref native_of(dma_fence& f) noexcept {
  if (const drm_sched_fence* s = to_drm_sched_fence(&f)) {
    const auto& j = static_cast<const drm_job&>(*s);
    // A job that could not be armed has none.
    if (const fence_ref& native = &f == &s->finished ? j.native_finished : j.native_scheduled) return native;
  }
  return to_fence(f);
}

drm_job::drm_job(drm_sched_job& j, drm_entity& e, std::uint32_t credits) noexcept
    : drm_sched_fence{},
      job(&j),
      entity(e),
      on_scheduled(*this, &scheduled_is_signaled),
      on_finished(*this, &finished_is_signaled) {
  native.emplace(*this, credits);
}

void drm_job::arm(drm_sched_job& mine) noexcept {
  drm_gpu_scheduler& home = entity.choose_home();
  mine.sched = sched = &home;
  ops = home.ops;
  const char* const text = home.name != nullptr ? home.name : "";
  const std::size_t length = strnlen(text, sizeof(name) - 1);
  std::memcpy(name, text, length);
  name[length] = '\0';
  const u64 seqno = entity.next_seqno();
  const u64 context = mine.entity->fence_context;
  mine.s_priority = READ_ONCE(mine.entity->priority);
  init_fence(scheduled, scheduled_ops, context, seqno);
  init_fence(finished, finished_ops, context + 1, seqno);
  dma_fence_get(&finished);  // for `native`, or the refusal
  auto made = entity.native().arm(*native);
  if (!made) {
    refused = -made.error().value();
    return;
  }
  armed.emplace(*std::move(made));
  native_scheduled = armed->scheduled();
  native_finished = armed->finished();
  // Both are pending until the push; each callback has a reference.
  for (node* n : {&on_scheduled, &on_finished}) {
    dma_fence_get(&finished);
    if ((n == &on_scheduled ? native_scheduled : native_finished)->add_callback(*n)) dma_fence_put(&finished);
  }
}

void drm_job::push() noexcept {
  atomic_inc(sched->score);
  entity.add_queued();
  if (refused == 0) {
    // From the push on it may be freed.
    sched::armed_job mine = *std::move(armed);
    armed.reset();
    mine.push();
    return;
  }
  end(refused, 0);
  // The caller may hold locks that free_job wants: it comes later, with drm_sched_fini() at the
  // latest.
  {
    drm_scheduler& home = drm_scheduler::of_c(*sched);
    const scoped_lock hold(home.lock);
    home.has_refused = true;
  }
  call_rcu(&ufence_rcu, [](rcu_head* head) {
    auto& of = *reinterpret_cast<drm_sched_fence*>(reinterpret_cast<char*>(head) -
                                                   offsetof(drm_sched_fence, ufence_rcu));
    drm_job::of_c(of).free();
  });
}

void drm_job::end(int error, std::int64_t timestamp_ns) noexcept {
  kernel_fence::of(scheduled).signal(timestamp_ns, false);
  if (error != 0 && !dma_fence_test_signaled_flag(&finished)) {
    // relaxed: the signal publishes it; another thread that may signal now has the same error
    as_atomic(finished.error).store(error, mo::relaxed);
  }
  kernel_fence::of(finished).signal(timestamp_ns, false);
}

void drm_job::free() noexcept {
  unlist_pending(*this);
  if (!was_given) entity.drop_queued();
  atomic_dec(sched->score);
  if (refused != 0) {
    end(refused, 0);
  } else {
    end(native_finished->error(), native_finished->timestamp_ns());
  }
  native.reset();
  if (job != nullptr) ops->free_job(job);
  entity.put();
  dma_fence_put(&finished);
}

}  // namespace ufence

// --- Jobs ---

int drm_sched_job_init(drm_sched_job* job, drm_sched_entity* entity, u32 credits, void* owner,
                       u64 drm_client_id) {
  *job = {};
  if (credits == 0 || entity->ufence_entity == nullptr) return -EINVAL;
  void* memory = ufence::allocate(sizeof(drm_job));
  if (memory == nullptr) return -ENOMEM;
  drm_entity& mine = drm_entity::of_c(*entity);
  mine.get();
  auto* made = ::new (memory) drm_job(*job, mine, credits);
  // The end of the fence *scheduled* frees it all.
  UFENCE_CHECK(static_cast<void*>(&made->scheduled) == memory);
  made->owner = owner;
  made->drm_client_id = drm_client_id;
  job->s_fence = made;
  job->entity = entity;
  job->credits = credits;
  job->s_priority = READ_ONCE(entity->priority);
  return 0;
}

void drm_sched_job_arm(drm_sched_job* job) { drm_job::of_c(*job->s_fence).arm(*job); }

void drm_sched_entity_push_job(drm_sched_job* job) {
  job->submit_ts = ktime_get();
  drm_job::of_c(*job->s_fence).push();
}

int drm_sched_job_add_dependency(drm_sched_job* job, dma_fence* fence) {
  if (fence == nullptr) return 0;
  const std::error_code failed =
      drm_job::of_c(*job->s_fence).native->add_dependency(ufence::native_of(*fence));
  dma_fence_put(fence);
  return -failed.value();
}

int drm_sched_job_add_syncobj_dependency(drm_sched_job* job, drm_file* file, u32 handle,
                                         u64 point) {
  const ufence::syncobj_ref object = reinterpret_cast<ufence::syncobj_table*>(file)->find(handle);
  if (!object) return -ENOENT;
  return -drm_job::of_c(*job->s_fence).native->add_dependency(*object, point).value();
}

bool drm_sched_job_has_dependency(drm_sched_job* job, dma_fence* fence) {
  return drm_job::of_c(*job->s_fence).native->has_dependency(*ufence::native_of(*fence));
}

void drm_sched_job_cleanup(drm_sched_job* job) {
  drm_job& mine = drm_job::of_c(*job->s_fence);
  job->s_fence = nullptr;
  mine.job = nullptr;
  if (dma_fence_was_initialized(&mine.finished)) {
    dma_fence_put(&mine.finished);
    return;
  }
  mine.native.reset();
  mine.entity.put();
  mine.~drm_job();
  ufence::deallocate(&mine);
}

void drm_sched_increase_karma(drm_sched_job* bad) {
  if (bad == nullptr || bad->s_priority == DRM_SCHED_PRIORITY_KERNEL) return;
  atomic_inc(&bad->karma);
  drm_job::of_c(*bad->s_fence).entity.note_guilty();
}

bool drm_sched_job_is_signaled(drm_sched_job* job) {
  drm_sched_fence& s = *job->s_fence;
  return (s.parent != nullptr && dma_fence_is_signaled(s.parent)) ||
         dma_fence_is_signaled(&s.finished);
}

drm_sched_fence* to_drm_sched_fence(dma_fence* f) {
  if (f == nullptr) return nullptr;
  const dma_fence_ops* const ops = kernel_fence::of(*f).attached_ops();
  if (ops == &scheduled_ops) return &of_scheduled(f);
  if (ops == &finished_ops) return &of_finished(f);
  return nullptr;
}
