#include "drivers/uring/ring.h"

#include <sys/eventfd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

namespace ufence::uring {

namespace {
// Tags of requests that belong to no job.
int wake_tag, cancel_tag, probe_tag;
}  // namespace

ring::~ring() {
  if (!is_open_) return;
  // The kernel must not write wake_value_ later.
  while (is_wake_read_queued_) {
    static_cast<void>(::eventfd_write(inbox_.wake_fd(), 1));
    enter(1);
    reap();
  }
  ::io_uring_queue_exit(&ring_);
}

int ring::open() noexcept {
  // One thread does all, so completions need not interrupt it; older kernels know less.
  constexpr std::array<std::uint32_t, 3> choices = {
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN, 0};
  int error = -EINVAL;
  for (const std::uint32_t flags : choices) {
    io_uring_params params{};
    params.flags = flags | IORING_SETUP_CQSIZE;
    params.cq_entries = 4 * in_flight_max;  // each may have a cancellation: it never overflows
    error = ::io_uring_queue_init_params(requests_max, &ring_, &params);
    if (error != -EINVAL) break;
  }
  if (error != 0) return error;
  // A filter may allow the setup and refuse the rest.
  io_uring_sqe& probe = request();
  ::io_uring_prep_nop(&probe);
  ::io_uring_sqe_set_data(&probe, &probe_tag);
  error = ::io_uring_submit_and_wait(&ring_, 1);
  if (error < 0) {
    ::io_uring_queue_exit(&ring_);
    return error;
  }
  is_open_ = true;
  reap();
  return 0;
}

void ring::run() {
  inbox::orders told;
  for (;;) {
    const bool has_work = in_flight_count_ > 0 || !ready_.empty();
    // Those that are ready go first: a later turn takes more.
    const bool wants_jobs = ready_.empty() && in_flight_count_ < in_flight_max && !told.leave_ring;
    told = inbox_.receive(ready_, wants_jobs ? in_flight_max - in_flight_count_ : 0, !has_work);
    if (told.is_stopping || told.cancels) cancel(told.is_stopping);
    prepare_batch();
    enter(0);
    reap();
    if (!ready_.empty()) continue;
    if (in_flight_count_ > 0) {
      sleep_in_kernel(told);
    } else if (told.is_stopping || told.leave_ring) {
      return;
    }
  }
}

void ring::prepare_batch() noexcept {
  std::uint64_t bytes = 0;
  for (std::uint32_t n = 0; n < batch_requests_max && bytes < batch_bytes_max; ++n) {
    job* const j = ready_.pop_front();
    if (j == nullptr) return;
    bytes += prepare(*j);
  }
}

// Makes the job's next request; returns how many bytes it will probably read.
std::uint64_t ring::prepare(job& j) noexcept {
  const bool is_to_open = is_file(j) && progress_of(j).fd < 0;
  const span_left left = left_to_read(j);
  if (!is_to_open && left.size == 0) {
    end(j, 0);
    return 0;
  }
  io_uring_sqe& r = request();
  if (is_to_open) {
    const auto& args = *driver::args_of<ufence_uring_read_file>(j);
    ::io_uring_prep_openat(&r, args.dirfd, args.path, open_flags(args), 0);
  } else {
    ::io_uring_prep_read(&r, left.fd, left.buffer, static_cast<unsigned>(left.size), left.offset);
  }
  ::io_uring_sqe_set_data(&r, &j);
  in_flight_.push_back(j);
  ++in_flight_count_;
  return is_to_open ? 0 : expected_bytes(j);
}

io_uring_sqe& ring::request() noexcept {
  io_uring_sqe* r = ::io_uring_get_sqe(&ring_);
  while (r == nullptr) {  // the submission queue is full
    enter(0);
    r = ::io_uring_get_sqe(&ring_);
  }
  return *r;
}

// Ends what the kernel does not have, and asks it to end the rest: D-12.
void ring::cancel(bool all) {
  for (job *j = ready_.front(), *next = nullptr; j != nullptr; j = next) {
    next = driver::job_list::next(*j);
    if (!all && !inbox_.was_cancel_asked(*j)) continue;
    ready_.remove(*j);
    end(*j, -ECANCELED);
  }
  for (job* j = in_flight_.front(); j != nullptr; j = driver::job_list::next(*j)) {
    progress& p = progress_of(*j);
    if (p.cancel_sent || (!all && !inbox_.was_cancel_asked(*j))) continue;
    p.cancel_sent = true;
    io_uring_sqe& r = request();
    ::io_uring_prep_cancel(&r, j, 0);
    ::io_uring_sqe_set_data(&r, &cancel_tag);
  }
}

void ring::sleep_in_kernel(const inbox::orders& known) {
  if (!is_wake_read_queued_) {
    io_uring_sqe& r = request();
    ::io_uring_prep_read(&r, inbox_.wake_fd(), &wake_value_, sizeof wake_value_, 0);
    ::io_uring_sqe_set_data(&r, &wake_tag);
    is_wake_read_queued_ = true;
  }
  const bool wants_jobs = in_flight_count_ < in_flight_max && !known.leave_ring;
  if (!inbox_.begin_kernel_sleep(known, wants_jobs)) return;
  enter(1);
  inbox_.end_kernel_sleep();
  reap();
}

// Submits what was prepared, and waits until so many completions are there.
void ring::enter(std::uint32_t completions_min) noexcept {
  const std::uint32_t requests = ::io_uring_sq_ready(&ring_);
  if (requests == 0 && in_flight_count_ == 0 && completions_min == 0) return;
  counted_.ring_requests += requests;
  ++counted_.ring_enters;
  const int result = completions_min == 0 ? ::io_uring_submit_and_get_events(&ring_)
                                          : ::io_uring_submit_and_wait(&ring_, completions_min);
  if (result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY) return;
  // Nothing may be decided while the kernel has it (D-6): what can be done is to say so and try on.
  if (!std::exchange(has_complained_, true)) host_.report("io_uring_enter fails; trying on");
}

void ring::reap() {
  std::array<io_uring_cqe*, 64> completions;
  for (;;) {
    const std::uint32_t n =
        ::io_uring_peek_batch_cqe(&ring_, completions.data(), std::uint32_t{completions.size()});
    if (n == 0) break;
    for (std::uint32_t i = 0; i < n; ++i) {
      void* const tag = ::io_uring_cqe_get_data(completions[i]);
      if (tag == &wake_tag) {
        is_wake_read_queued_ = false;
      } else if (tag != &cancel_tag && tag != &probe_tag) {
        complete(*static_cast<job*>(tag), completions[i]->res);
      }
    }
    ::io_uring_cq_advance(&ring_, n);
  }
  if (!ended_.empty()) decide_ended();
}

void ring::decide_ended() {
  inbox_.count(std::exchange(counted_, {}));
  driver::settlement later = host_.later();
  decide(ended_, host_, later);
}

// A request of the job is complete: the job ends, or makes its next one.
void ring::complete(job& j, int result) {
  progress& p = progress_of(j);
  in_flight_.remove(j);
  --in_flight_count_;
  bool is_done = false;
  if (result >= 0 && is_file(j) && p.fd < 0) {
    result = accept_file(j, result);
  } else if (result >= 0) {
    is_done = advance(j, static_cast<std::uint64_t>(result));
    if (!is_done) ++counted_.continued;
    result = 0;
  } else if (result == -EINTR || (result == -EAGAIN && make_blocking(j))) {
    result = 0;
  }
  if (is_done || result < 0) {
    end(j, result);
  } else if (p.cancel_sent) {
    end(j, -ECANCELED);
  } else {
    ready_.push_back(j);
  }
}

void ring::end(job& j, int error) noexcept {
  uring::end(j, error, counted_);
  ended_.push_back(j);
}

}  // namespace ufence::uring
