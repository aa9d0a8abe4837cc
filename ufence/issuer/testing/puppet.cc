// A driver that does what a test tells it (puppet.h). PUPPET_FEATURES chooses its feature bits;
// PUPPET_INIT_ERROR makes init() fail, PUPPET_INIT_THROWS throw.
#include "ufence/issuer/testing/puppet.h"

#include <condition_variable>
#include <cstdlib>
#include <iterator>
#include <list>
#include <mutex>
#include <new>
#include <stdexcept>
#include <utility>

#include "ufence/driver.h"

#if !defined(PUPPET_FEATURES)
#define PUPPET_FEATURES                                                                         \
  (UFENCE_F_ENABLE | UFENCE_F_POLL | UFENCE_F_DEADLINE | UFENCE_F_RETIRE | UFENCE_F_CANCEL |    \
   UFENCE_F_OBSERVE)
#endif

namespace {

namespace puppet = ufence::puppet;
using puppet::board;

constexpr std::uint64_t features = PUPPET_FEATURES;
constexpr bool has(std::uint64_t feature) { return (features & feature) != 0; }

constexpr bool is_timeline = has(UFENCE_F_TIMELINE);
constexpr bool is_legacy = has(UFENCE_F_LEGACY);

struct driver_state {
  const ufence_host* host = nullptr;
  ufence_device* device = nullptr;
  board own;            // until a test attaches its own
  board* to = &own;
  std::mutex lock;
  std::condition_variable has_work;
  std::list<ufence_job*> held, queued;
  std::list<ufence_callback*> nodes;
  ufence_settlement kept = UFENCE_SETTLEMENT_INIT;
  bool is_stopping = false;
  bool has_worker = false;
  std::recursive_mutex old_lock;  // legacy: the external one
  volatile std::uint32_t word = 0;  // timelines: what the device writes
};

driver_state& of(void* state) { return *static_cast<driver_state*>(state); }

puppet::arguments arguments_of(const ufence_job& job) {
  if (job.args_size < sizeof(puppet::arguments)) return {};
  return *static_cast<const puppet::arguments*>(job.args);
}

void throw_if_told(const driver_state& s) {
  if (s.to->throws != 0) throw std::runtime_error("as told");
}

// Takes a held job off the list; null: no such.
ufence_job* take(driver_state& s, std::uint64_t seqno) {
  for (auto i = s.held.begin(); i != s.held.end(); ++i) {
    if ((*i)->seqno != seqno) continue;
    ufence_job* const job = *i;
    s.held.erase(i);
    --s.to->held;
    return job;
  }
  return nullptr;
}

// Timelines: held jobs up to this one are about to be completed.
void pass_held(driver_state& s, std::uint64_t seqno) {
  while (!s.held.empty() && s.held.front()->seqno <= seqno) {
    s.held.pop_front();
    --s.to->held;
  }
}

void finish_held(driver_state& s, std::uint64_t seqno, int error, ufence_settlement* later) {
  const std::scoped_lock hold(s.lock);
  if (is_timeline && error == 0) {
    pass_held(s, seqno);
    s.host->decide_up_to(s.device, seqno, later);
  } else if (ufence_job* const job = take(s, seqno)) {
    s.host->decide(job, error, later);
  }
}

void finish_all(driver_state& s, ufence_settlement* later) {
  const std::scoped_lock hold(s.lock);
  while (!s.held.empty()) {
    ufence_job* const job = s.held.front();
    s.held.pop_front();
    --s.to->held;
    s.host->decide(job, 0, later);
  }
}

void run_worker(void* state) {
  driver_state& s = of(state);
  std::unique_lock hold(s.lock);
  for (;;) {
    s.has_work.wait(hold, [&s] { return s.is_stopping || !s.queued.empty(); });
    if (s.queued.empty()) return;
    ufence_settlement later = UFENCE_SETTLEMENT_INIT;
    if (is_timeline) {
      const std::uint64_t last = s.queued.back()->seqno;
      s.queued.clear();
      pass_held(s, last);
      s.host->decide_up_to(s.device, last, &later);
    } else {
      ufence_job* const job = s.queued.front();
      s.queued.pop_front();
      s.host->decide(job, arguments_of(*job).error, &later);
    }
    hold.unlock();
    s.host->settle(&later);
    hold.lock();
  }
}

int queue_work(driver_state& s, ufence_job* job) {
  const std::scoped_lock hold(s.lock);
  if (s.is_stopping) return -ESHUTDOWN;
  if (!s.has_worker) {
    if (const int error = s.host->thread_start(s.device, "puppet worker", run_worker, &s)) return error;
    s.has_worker = true;
  }
  s.queued.push_back(job);
  s.has_work.notify_one();
  return 0;
}

void linger(void* state) { of(state).to->wait_here(); }

int hold(driver_state& s, ufence_job* job) {
  const std::scoped_lock hold_lock(s.lock);
  s.held.push_back(job);
  ++s.to->held;
  return 0;
}

int submit_told(driver_state& s, ufence_job* job, const puppet::arguments& a);

int submit(void* state, ufence_job* job) {
  driver_state& s = of(state);
  const puppet::arguments a = arguments_of(*job);
  if (job->opcode == puppet::attach) {
    if (a.to != nullptr) s.to = a.to;
    s.to->host = s.host;
    s.to->code = [] {};
  }
  ++s.to->submits;
  return submit_told(s, job, a);
}

// A job that is done in submit().
int done(driver_state& s, ufence_job* job, int error = 0) {
  if (is_timeline && error == 0) {
    ufence_settlement later = UFENCE_SETTLEMENT_INIT;
    s.host->decide(job, 0, &later);
    s.host->settle(&later);
  } else {
    s.host->signal(job, error);
  }
  return 0;
}

int submit_odd(driver_state& s, ufence_job* job, const puppet::arguments& a) {
  switch (job->opcode) {
    case puppet::refuse_decided: return done(s, job), a.error;
    case puppet::throw_it: throw std::runtime_error("as told");
    case puppet::twice: {
      done(s, job);
      ufence_settlement later = UFENCE_SETTLEMENT_INIT;
      s.to->double_decide = s.host->decide(job, 0, &later);
      s.host->settle(&later);
      return 0;
    }
    case puppet::spoil: {
      auto* const args = static_cast<puppet::arguments*>(job->args);
      done(s, job);
      args->value = 42;
      return 0;
    }
    case puppet::copy: {
      ufence_job other = *job;
      ufence_settlement later = UFENCE_SETTLEMENT_INIT;
      s.to->copy_decide = s.host->decide(&other, 0, &later);
      s.host->settle(&later);
      return done(s, job);
    }
    default: return -EINVAL;
  }
}

int submit_told(driver_state& s, ufence_job* job, const puppet::arguments& a) {
  ufence_settlement later = UFENCE_SETTLEMENT_INIT;
  switch (job->opcode) {
    case puppet::attach: break;
    case puppet::now: return done(s, job, a.error);
    case puppet::hold: return hold(s, job);
    case puppet::work: return queue_work(s, job);
    case puppet::refuse: return a.error;
    case puppet::block: s.to->wait_here(); break;
    case puppet::block_and_hold: s.to->wait_here(); return hold(s, job);
    case puppet::finish:
      finish_held(s, a.value, a.error, &later);
      s.host->settle(&later);
      break;
    case puppet::finish_all:
      finish_all(s, &later);
      s.host->settle(&later);
      break;
    case puppet::decide_only: finish_held(s, a.value, a.error, &s.kept); break;
    case puppet::settle: s.host->settle(&s.kept); break;
    case puppet::hand_over: finish_held(s, a.value, a.error, &s.to->handed); break;
    case puppet::tell: s.host->report(s.device, "told"); break;
    case puppet::linger:
      if (const int error = s.host->thread_start(s.device, "lingerer", linger, &s)) return error;
      break;
    case puppet::unlinked: return 0;
    default: return submit_odd(s, job, a);
  }
  return done(s, job);
}

int enable_signaling(void* state, ufence_job* job) {
  driver_state& s = of(state);
  ++s.to->enables;
  throw_if_told(s);
  const int told = s.to->enable_result;
  if (told != 0) {
    const std::scoped_lock hold_lock(s.lock);
    take(s, job->seqno);
  }
  return told;
}

int poll(void* state, ufence_job* job) {
  driver_state& s = of(state);
  ++s.to->polls;
  throw_if_told(s);
  if (s.to->blocks_polls != 0) s.to->wait_here();
  const int told = s.to->poll_result;
  if (told != 0) {
    const std::scoped_lock hold_lock(s.lock);
    if (take(s, job->seqno) == nullptr) return 0;
  }
  return told;
}

void set_deadline(void* state, ufence_job*, std::int64_t deadline_ns) {
  driver_state& s = of(state);
  ++s.to->deadlines;
  s.to->deadline_ns = deadline_ns;
}

void retire(void* state, ufence_job* job) {
  driver_state& s = of(state);
  ++s.to->retires;
  {
    const std::scoped_lock hold_lock(s.lock);
    if (take(s, job->seqno) != nullptr) ++s.to->late;
  }
  throw_if_told(s);
}

void cancel(void* state, ufence_job* job) {
  driver_state& s = of(state);
  ++s.to->cancels;
  if (s.to->blocks_cancel != 0) s.to->wait_here();
  if (s.to->ignores_cancel != 0) return;
  ufence_settlement later = UFENCE_SETTLEMENT_INIT;
  {
    const std::scoped_lock hold_lock(s.lock);
    if (take(s, job->seqno) != nullptr) s.host->decide(job, -ECANCELED, &later);
  }
  s.host->settle(&later);
}

void request_notify(void* state, std::uint64_t) { ++of(state).to->notify_requests; }
void retire_timeline(void* state) { ++of(state).to->line_retires; }

void lock(void* state, ufence_job*) { of(state).old_lock.lock(); }
void unlock(void* state, ufence_job*) { of(state).old_lock.unlock(); }
int wait(void*, ufence_job*, std::int64_t) { return 0; }
void release(void* state, ufence_job*) { ++of(state).to->releases; }

void on_signal(ufence_callback* node, ufence_fence*);

struct watch_node : ufence_callback {
  driver_state* of = nullptr;
};

int observe(void* state, ufence_fence* fence) {
  driver_state& s = of(state);
  ++s.to->observes;
  auto* const node = new watch_node{};
  node->fn = on_signal;
  node->of = &s;
  const std::scoped_lock hold_lock(s.lock);
  const int error = s.host->callback_add(s.device, fence, node);
  if (error != 0) {
    delete node;
    return error;
  }
  s.nodes.push_back(node);
  return 0;
}

void on_signal(ufence_callback* node, ufence_fence*) {
  driver_state& s = *static_cast<watch_node*>(node)->of;
  {
    const std::scoped_lock hold_lock(s.lock);
    s.nodes.remove(node);
  }
  delete static_cast<watch_node*>(node);
  ++s.to->callbacks;
  if (s.to->blocks_callbacks != 0) s.to->wait_here();
  throw_if_told(s);
}

int init(const ufence_host* host, ufence_device* device, void** state) {
#if defined(PUPPET_INIT_ERROR)
  static_cast<void>(host);
  static_cast<void>(device);
  static_cast<void>(state);
  return PUPPET_INIT_ERROR;
#elif defined(PUPPET_INIT_THROWS)
  static_cast<void>(device);
  static_cast<void>(state);
  throw static_cast<const void*>(host);
#else
  auto* const s = new (std::nothrow) driver_state;
  if (s == nullptr) return -ENOMEM;
  s->host = host;
  s->device = device;
  *state = s;
  // A thing that is no option of the driver has no value.
  if (host->option(device, "no_option") != nullptr || host->option(device, "fails") == nullptr) return -EPROTO;
  if (const int error = std::atoi(host->option(device, "fails")); error != 0) {
    delete s;
    return -error;
  }
  return is_timeline ? host->device_word(device, &s->word) : 0;
#endif
}

void stop(void* state) {
  driver_state& s = of(state);
  {
    const std::scoped_lock hold_lock(s.lock);
    ++s.to->stops;
    s.is_stopping = true;
    s.has_work.notify_all();
    s.to->held -= s.held.size();
    s.held.clear();
    s.queued.clear();
  }
  if (s.to->blocks_stop != 0) s.to->wait_here();
  throw_if_told(s);
}

void exit(void* state) {
  driver_state& s = of(state);
  ++s.to->exits;
  if (s.to->blocks_exit != 0) s.to->wait_here();
  for (ufence_callback* node : s.nodes) delete static_cast<watch_node*>(node);
  delete &s;
}

constexpr ufence_device_ops make_ops() {
  ufence_device_ops ops{};
  ops.size = sizeof ops;
  ops.submit = submit;
  if (has(UFENCE_F_ENABLE)) ops.enable_signaling = enable_signaling;
  if (has(UFENCE_F_POLL)) ops.poll = poll;
  if (has(UFENCE_F_DEADLINE)) ops.set_deadline = set_deadline;
  if (has(UFENCE_F_RETIRE)) ops.retire = retire;
  if (has(UFENCE_F_CANCEL)) ops.cancel = cancel;
  if (has(UFENCE_F_OBSERVE)) ops.observe = observe;
  if (is_timeline) {
    ops.request_notify = request_notify;
    ops.retire_timeline = retire_timeline;
  }
  if (is_legacy) {
    ops.lock = lock;
    ops.unlock = unlock;
    ops.wait = wait;
    ops.release = release;
  }
  return ops;
}
constexpr ufence_device_ops ops = make_ops();

}  // namespace

constexpr ufence_option options[] = {{"fails", "0", "an errno that init() returns"},
                                      {"mood", "good", nullptr}};

UFENCE_DRIVER = {sizeof(ufence_driver),
                 UFENCE_ABI_VERSION,
                 features,
                 "puppet",
                 "strings",
                 PUPPET_BUILD,
                 &ops,
                 init,
                 stop,
                 exit,
                 "ufence.puppet",
                 2,
                 std::size(options),
                 options};
