#include "tools/ufence/hash/file_hash.h"

#include <array>
#include <cerrno>
#include <cstddef>
#include <span>
#include <utility>

#include "ufence/base/check.h"

namespace ufence::tool {
namespace {

constexpr unsigned timeouts_max = 8;  // of a file

// A fence whose end was not taken into account yet, and can be: what is queued on it comes first.
bool has_ended(block::step step, const watch& w, const issued_fence& f) {
  return step == block::step::pending && f && !w.is_queued && f.fence->is_signaled();
}

// It failed, and its news are on their way. What is submitted behind it would fail at once, and be
// submitted again, for as long as nobody takes the news.
bool has_failed(block::step step, const issued_fence& f) {
  return step == block::step::pending && f && f.fence->error() != 0;
}

}  // namespace

file_hash::file_hash(file_services& services, file_location where, sha256_digest& digest)
    : services_(services),
      is_expected_long_(where.size_hint > services.block_bytes),
      reads_(services.reads.open(std::move(where))),
      digest_(digest) {}

file_hash::~file_hash() = default;

bool file_hash::advance() {
  do {
    collect();
    if (is_going_on()) retire_done();
    if (is_going_on()) {
      is_blocked_ = false;
      drop_beyond_end();
      submit_reads();
      submit_hashes();
    }
    if (!is_going_on() && !has_pending()) {
      finish();
      return true;
    }
  } while (!watch_pending());
  return false;
}

// --- What has ended. ---

void file_hash::collect() {
  for (const auto& b : blocks_) {
    if (has_ended(b->read, b->read_watch, b->read_fence)) collect_read(*b);
    if (has_ended(b->hash, b->hash_watch, b->hash_fence)) collect_hash(*b);
  }
}

// A file whose jobs are late again and again is given up.
bool file_hash::may_try_again(int error) {
  return error != -ETIMEDOUT || ++timeouts_ <= timeouts_max;
}

void file_hash::collect_read(block& b) {
  const int error = b.read_fence.fence->error();
  if (error != 0) {
    b.read = step::none;
    if (reads_->was_cut(b.read_fence, error) && may_try_again(error)) {
      if (is_going_on()) ++services_.counters.resubmitted;
    } else if (!is_beyond_end(b)) {
      error_ = error;
    }
    services_.jobs.drop(b.read_fence);
    return;
  }
  b.read = step::done;
  if (const std::error_code nonsense = reads_->take(b)) {
    error_ = -nonsense.value();
    return;
  }
  if (b.is_first) goes_beyond_first_ = !b.is_at_end;
  end_is_read_ = end_is_read_ || b.is_at_end;
}

void file_hash::collect_hash(block& b) {
  const int error = b.hash_fence.fence->error();
  if (error == 0) {
    b.hash = step::done;
    return;
  }
  // It was cut off, itself or what it depended on; or what it depended on has failed
  // for good: that is told there.
  const bool was_cut =
      (b.hash_of && b.hash_of->error() != 0) || (b.hash_after && b.hash_after->error() != 0) ||
      (job_issuer::was_cancelled_by_unload(b.hash_fence, error) && may_try_again(error));
  if (!was_cut) {
    error_ = error;
  } else if (is_going_on()) {
    ++services_.counters.resubmitted;
  }
  b.hash = step::none;
  b.hash_of.reset();
  b.hash_after.reset();
  services_.jobs.drop(b.hash_fence);
}

void file_hash::retire_done() {
  while (!blocks_.empty()) {
    block& b = *blocks_.front();
    if (b.read != step::done || b.hash != step::done || !is_done_with(b)) return;
    give_back(std::move(blocks_.front()));
    blocks_.erase(blocks_.begin());
  }
}

// The first block was hashed. False: it has to be once more.
bool file_hash::is_done_with(block& b) {
  b.hash_of.reset();
  b.hash_after.reset();
  if (b.ends_hash && !b.is_at_end) {  // it was not the last one after all
    b.hash = step::none;
    services_.jobs.drop(b.hash_fence);
    return false;
  }
  bytes_ += b.bytes_read;
  services_.jobs.drop(b.read_fence);
  services_.jobs.drop(last_hash_);
  last_hash_ = std::exchange(b.hash_fence, {});
  is_hashed_ = b.ends_hash;
  if (is_hashed_ || !b.is_at_end) return true;
  // The last one, but that was not known when it was submitted.
  b.is_first = false;
  b.is_closing = true;
  b.bytes_read = 0;
  b.hash = step::none;
  return false;
}

// The file is known to end before this block.
bool file_hash::is_beyond_end(const block& b) const {
  if (!end_is_read_) return false;
  for (const auto& before : blocks_) {
    if (before.get() == &b) return false;
    if (before->read == step::done && before->is_at_end) return true;
  }
  return false;
}

// Gives back blocks that were read ahead for nothing.
void file_hash::drop_beyond_end() {
  while (!blocks_.empty() && blocks_.back()->read != step::pending &&
         is_beyond_end(*blocks_.back())) {
    services_.jobs.drop(blocks_.back()->read_fence);
    give_back(std::move(blocks_.back()));
    blocks_.pop_back();
  }
}

void file_hash::give_back(std::unique_ptr<block> b) {
  services_.blocks.give_back(std::move(b));
  services_.counters.has_news_for_blocked = true;
}

// --- What can be submitted. ---

void file_hash::submit_reads() {
  for (const auto& b : blocks_) {
    // Reads that failed beyond the end wait to be given back, behind reads that are still pending.
    if (b->read == step::none && !is_beyond_end(*b) && !submit_read(*b)) return;
  }
  if (!has_begun_ && !add_block()) return;
  while (may_read_on()) {
    if (!add_block()) return;
  }
}

bool file_hash::may_read_on() const {
  if (!goes_beyond_first_ || end_is_read_ || blocks_.size() >= services_.blocks_per_file_max)
    return false;
  // Beyond the size that the file had: one read at a time.
  return next_offset_ <= reads_->file_size() || blocks_.empty() ||
         blocks_.back()->read == step::done;
}

bool file_hash::add_block() {
  std::unique_ptr<block> added = services_.blocks.take();
  if (!added) {
    is_blocked_ = blocks_.empty();  // else it goes on when one of its own is done
    return false;
  }
  added->is_first = !has_begun_;
  added->offset = next_offset_;
  next_offset_ += services_.block_bytes;
  has_begun_ = true;
  blocks_.push_back(std::move(added));
  return submit_read(*blocks_.back());
}

bool file_hash::submit_read(block& b) {
  b.read_watch.owner = this;
  if (!accept(reads_->submit(b), b.read_fence)) return false;
  b.read = step::pending;
  return true;
}

void file_hash::submit_hashes() {
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    if (blocks_[i]->hash != step::none) continue;
    if (!may_hash(i) || !submit_hash(i)) return;
  }
}

bool file_hash::may_hash(std::size_t index) const {
  const block& b = *blocks_[index];
  if (b.read == step::none || has_failed(b.read, b.read_fence)) return false;
  if (index > 0) {
    const block& before = *blocks_[index - 1];
    if (before.hash == step::none || before.ends_hash) return false;
    if (has_failed(before.hash, before.hash_fence)) return false;
    if (before.read != step::done || before.is_at_end) return false;
  }
  if (b.read == step::done) return true;
  if (!b.read_fence) return false;
  if (b.is_first) return true;
  return b.offset + services_.block_bytes <= reads_->file_size();  // not the last one
}

bool file_hash::submit_hash(std::size_t index) {
  block& b = *blocks_[index];
  issued_fence& before = index > 0 ? blocks_[index - 1]->hash_fence : last_hash_;
  const bool ends = b.read == step::done ? b.is_at_end : b.is_first && !is_long();

  std::array<fence_ref, 2> in_fences;
  std::size_t count = 0;
  for (issued_fence* f : {&b.read_fence, &before}) {
    if (!*f) continue;
    if (!f->fence->is_signaled()) services_.jobs.note_awaited(*f);
    in_fences[count++] = f->fence;
  }
  const ufence_cpu_sha256_update args{
      .state = &state_,
      .data = b.is_closing ? nullptr : b.buffer,
      .size = b.is_closing ? 0 : services_.block_bytes,
      .size_from = b.is_closing ? &b.bytes_read : &reads_->size_of(b),
      .digest = ends ? digest_.data() : nullptr,
      .flags = (b.is_first ? std::uint32_t{UFENCE_CPU_FIRST} : 0) |
               (ends ? std::uint32_t{UFENCE_CPU_LAST} : 0),
      .reserved = 0};
  const auto asked = request_of(UFENCE_CPU_SHA256, args, std::span(in_fences).first(count));
  if (!accept(services_.jobs.submit(driver::cpu, asked, services_.client), b.hash_fence))
    return false;
  b.hash = step::pending;
  b.ends_hash = ends;
  b.hash_of = b.read_fence.fence;
  b.hash_after = before.fence;
  return true;
}

bool file_hash::accept(result<issued_fence> submitted, issued_fence& into) {
  if (submitted) {
    into = *std::move(submitted);
    return true;
  }
  if (submitted.error() == errno_code(ENODEV)) {
    is_blocked_ = true;
  } else {
    error_ = -submitted.error().value();
  }
  return false;
}

// --- What to wait for. ---

// False: something has ended meanwhile.
bool file_hash::watch_pending() {
  for (const auto& b : blocks_) {
    if (b->hash == step::pending && !queue(b->hash_watch, b->hash_fence)) return false;
    // The read of a small file's only block is known to be done when its hash is.
    const bool wants_read = is_long() || b->hash != step::pending || !is_going_on();
    const bool has_fence = b->read == step::pending && b->read_fence;
    if (has_fence && wants_read && !queue(b->read_watch, b->read_fence)) return false;
  }
  return true;
}

bool file_hash::queue(watch& w, issued_fence& on) {
  if (w.is_queued) return true;
  w.box = &services_.box;
  w.owner = this;
  w.is_queued = true;
  const std::error_code refused = on.fence->add_callback(w);
  if (!refused) {
    ++services_.counters.watches_queued;
    services_.jobs.note_awaited(on);
    return true;
  }
  UFENCE_CHECK(refused == errno_code(ENOENT));
  w.is_queued = false;
  return false;
}

bool file_hash::has_pending() const {
  for (const auto& b : blocks_) {
    if (b->read == step::pending || b->hash == step::pending) return true;
  }
  return false;
}

void file_hash::finish() {
  is_blocked_ = false;
  for (auto& b : blocks_) {
    services_.jobs.drop(b->read_fence);
    services_.jobs.drop(b->hash_fence);
    give_back(std::move(b));
  }
  blocks_.clear();
  services_.jobs.drop(last_hash_);
  reads_.reset();
}

}  // namespace ufence::tool
