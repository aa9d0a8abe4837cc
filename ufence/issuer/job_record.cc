#include "ufence/issuer/job_record.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <span>

#include "ufence/base/alloc.h"

namespace ufence::detail {
namespace {

// Fills memory of a job that its driver must not write to any more. A byte that has another value later
// shows that the driver did.
constexpr std::byte poison{0xD6};
// Larger arguments are given back at once, not kept for a quarantine.
constexpr std::size_t kept_args_max = 4096;
// Records are allocated so many at a time.
constexpr std::size_t chunk_records = 64;

}  // namespace

// Called by the submitting thread, before anybody else knows the record. Room for arguments that an earlier
// job of this record needed is used again; room for more than two in-fences is not.
bool job_record::reserve(std::size_t args_bytes, std::size_t in_fences) noexcept {
  if (args_bytes > args_room) {
    auto* const room = static_cast<std::byte*>(allocate(args_bytes));
    if (room == nullptr) return false;
    free_args();
    args = room;
    args_room = args_bytes;
  }
  // From here on the arguments may be written: they are not looked at for poison.
  args_size = args_bytes;
  is_poisoned = false;
  free_in_fences();
  if (in_fences > inline_in_fences_max) {
    void* const memory = in_fences <= SIZE_MAX / sizeof(in_fence)
                             ? allocate(in_fences * sizeof(in_fence))
                             : nullptr;
    if (memory == nullptr) return false;
    in = static_cast<in_fence*>(memory);
    std::uninitialized_default_construct_n(in, in_fences);
  }
  in_count.set(static_cast<std::uint32_t>(in_fences));
  return true;
}

void job_record::free_args() noexcept {
  if (args != inline_args.data()) deallocate(args);
  args = inline_args.data();
  args_room = inline_args_max;
}

void job_record::free_in_fences() noexcept {
  if (in != inline_in.data()) {
    std::destroy_n(in, in_count.get());
    deallocate(in);
    in = inline_in.data();
  }
  in_count.set(0);
}

// The nodes stay in the record: the callback that ran last may be the caller. The next reserve() frees them.
void job_record::drop_in_fences() noexcept {
  for (std::uint32_t i = 0; i < in_count.get(); ++i) in[i].on.reset();
}

void job_record::poison_args() noexcept {
  // Memory that was given back can't be looked at: a write to it is for AddressSanitizer to find.
  if (args_room > kept_args_max) return free_args();
  std::fill_n(args, args_size, poison);
  is_poisoned = true;
}

bool job_record::is_poison_intact() const noexcept {
  return !is_poisoned || std::all_of(args, args + args_size, [](std::byte b) { return b == poison; });
}

void job_record::poison_private() noexcept {
  std::memset(job.driver_private, std::to_integer<int>(poison), sizeof job.driver_private);
}

bool job_record::is_private_intact() const noexcept {
  return std::ranges::all_of(std::as_bytes(std::span(job.driver_private)),
                             [](std::byte b) { return b == poison; });
}

// Memory of records. Chunks stay until clear(), so that a driver's pointer to a record of the past leads to a
// record.
struct job_pool::chunk {
  chunk* next = nullptr;
  std::array<job_record, chunk_records> records;
};

bool job_pool::grow() noexcept {
  static_assert(alignof(chunk) <= alignof(std::max_align_t), "what allocate() gives");
  void* const memory = allocate(sizeof(chunk));
  if (memory == nullptr) return false;
  auto* const c = ::new (memory) chunk;
  c->next = chunks_;
  chunks_ = c;
  for (job_record& r : c->records) put(r);
  return true;
}

job_pool::~job_pool() { clear(); }

void job_pool::clear() noexcept {
  free_first_ = free_last_ = nullptr;
  free_count_ = 0;
  while (chunk* const c = chunks_) {
    chunks_ = c->next;
    for (job_record& r : c->records) {
      r.free_args();
      r.free_in_fences();
    }
    c->~chunk();
    deallocate(c);
  }
}

job_record* job_pool::take() noexcept {
  // The oldest vacant record is taken, if there are more than the quarantine keeps; else a chunk is added
  // first. Its records go behind the vacant ones, which are taken first. Where no memory is to be had the
  // quarantine is shorter.
  if (free_count_ <= quarantine && !grow() && free_count_ == 0) return nullptr;
  job_record* const r = free_first_;
  free_first_ = r->next;
  (free_first_ != nullptr ? free_first_->previous : free_last_) = nullptr;
  --free_count_;
  r->next = nullptr;
  r->previous = last_;
  (last_ != nullptr ? last_->next : first_) = r;
  last_ = r;
  return r;
}

void job_pool::unlink(job_record& r) noexcept {
  (r.previous != nullptr ? r.previous->next : first_) = r.next;
  (r.next != nullptr ? r.next->previous : last_) = r.previous;
}

void job_pool::put(job_record& r) noexcept {
  // The driver's pointer of the job is poisoned as well: D-10 forbids its use from here on.
  r.poison_private();
  // relaxed: the device's lock is held
  r.phase.store(job_phase::vacant, mo::relaxed);
  r.next = nullptr;
  r.previous = free_last_;
  (free_last_ != nullptr ? free_last_->next : free_first_) = &r;
  free_last_ = &r;
  ++free_count_;
}

}  // namespace ufence::detail
