// The driver `tlb`: see tlb.h for its jobs, and README.md.
#include "drivers/tlb/tlb.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <mutex>

#include "drivers/common/crew.h"
#include "ufence/driver.hpp"

namespace ufence::tlb {
namespace {

using driver::job;
using driver::job_list;

constexpr unsigned workers = 2;

class mmu {
 public:
  explicit mmu(driver::services host) noexcept : host_(host) {}

  int start();
  int submit(job& j);
  void cancel(job& j);
  void stop() { crew_.dismiss(); }

 private:
  struct entry {
    bool is_valid = false;
    std::uint64_t page = 0, address = 0;
  };

  void work() noexcept;
  int set_table(const ufence_tlb_table& args);
  int translate(const ufence_tlb_translate& args);
  void flush_locked(const ufence_tlb_flush& args);
  entry& entry_of(std::uint64_t page) { return cache_.at(page % cache_.size()); }

  const driver::services host_;
  driver::crew crew_;  // its mutex guards what follows
  job_list flushes_;
  std::array<entry, 256> cache_;
  ufence_tlb_table table_{};
};

// A queued flush has this in driver_private[2].
int queued_mark;

int mmu::start() {
  for (unsigned i = 0; i < workers; ++i) {
    if (const int error = crew_.hire<&mmu::work>(host_, "tlb", *this); error != 0) return error;
  }
  return 0;
}

int mmu::submit(job& j) {
  int error = -EINVAL;
  switch (j.opcode) {
    case UFENCE_TLB_TABLE: {
      const auto* const args = driver::args_of<ufence_tlb_table>(j);
      if (args != nullptr) error = set_table(*args);
      break;
    }
    case UFENCE_TLB_TRANSLATE: {
      const auto* const args = driver::args_of<ufence_tlb_translate>(j);
      if (args != nullptr && args->address != nullptr) error = translate(*args);
      break;
    }
    case UFENCE_TLB_FLUSH: {
      const auto* const args = driver::args_of<ufence_tlb_flush>(j);
      if (args == nullptr || args->error > 0 || args->error < -4095) return -EINVAL;
      if ((args->flags & ~std::uint32_t{UFENCE_TLB_NO_MEMORY}) != 0) return -EINVAL;
      const int result = args->error;
      const bool is_inline = (args->flags & UFENCE_TLB_NO_MEMORY) != 0;
      {
        const std::scoped_lock lock(crew_.mutex);
        if (is_inline) {
          flush_locked(*args);
        } else {
          j.driver_private[2] = &queued_mark;
          flushes_.push_back(j);
          crew_.changed.notify_all();
        }
      }
      if (is_inline) host_.signal(j, result);
      return 0;
    }
    default: break;
  }
  if (error != 0) return error;
  host_.signal(j, 0);
  return 0;
}

int mmu::set_table(const ufence_tlb_table& args) {
  if (args.entries == nullptr && args.count != 0) return -EINVAL;
  const std::scoped_lock lock(crew_.mutex);
  table_ = args;
  return 0;
}

int mmu::translate(const ufence_tlb_translate& args) {
  const std::scoped_lock lock(crew_.mutex);
  entry& e = entry_of(args.page);
  if (!e.is_valid || e.page != args.page) {
    if (args.page >= table_.count) return -ENXIO;
    e = {.is_valid = true, .page = args.page, .address = table_.entries[args.page]};
  }
  *args.address = e.address;
  return 0;
}

void mmu::flush_locked(const ufence_tlb_flush& args) {
  for (entry& e : cache_) {
    if (e.page - args.first < args.count) e.is_valid = false;
  }
}

void mmu::cancel(job& j) {
  driver::settlement later = host_.later();
  const std::scoped_lock lock(crew_.mutex);
  if (j.driver_private[2] != &queued_mark) return;  // a worker has it
  flushes_.remove(j);
  j.driver_private[2] = nullptr;
  host_.decide(j, -ECANCELED, later);
}

void mmu::work() noexcept {
  std::unique_lock lock(crew_.mutex);
  while (!crew_.stopping) {
    job* const j = flushes_.pop_front();
    if (j == nullptr) {
      crew_.changed.wait(lock);
      continue;
    }
    j->driver_private[2] = nullptr;
    const ufence_tlb_flush args = *driver::args_of<ufence_tlb_flush>(*j);
    flush_locked(args);
    // The workers signal beside each other: what was queued first may be signaled last.
    lock.unlock();
    host_.signal(*j, args.error);
    lock.lock();
  }
  crew_.leave();
}

}  // namespace
}  // namespace ufence::tlb

UFENCE_CPP_DRIVER(ufence::tlb::mmu, "tlb", "invalidation", "a cache of translations");
