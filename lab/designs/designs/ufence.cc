// ufence: not a model but the product's own sources. signal() is decide(); clean_up() settles, and
// retire gives the driver its data back when no op is inside.
#include <array>
#include <climits>
#include <new>
#include <optional>

#include "lab/designs/model/design.h"
#include "lab/engine/scenario.h"
#include "lab/models/product.h"
#include "ufence/container/array.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/report.h"
#include "ufence/fence/timeline.h"
#include "ufence/foreign/legacy.h"
#include "ufence/rcu/rcu.h"
#include "ufence/sched/scheduler.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence::lab {
namespace {

// The driver's part of a fence: the product's ops, in terms of the scenario's driver.
struct issued : backend {
  driver* issuer;
  job* data;

  static issued& of(backend* b) { return *static_cast<issued*>(b); }
  void destroy() const {
    const issued mine = *this;
    delete this;
    mine.issuer->destroy(*mine.data);
  }
};

constexpr backend_ops ops{
    .enable_signaling =
        [](backend* b) noexcept {
          const issued& i = issued::of(b);
          if (i.issuer->has_enable()) i.issuer->enable_signaling(*i.data);
          return 0;
        },
    .poll =
        [](backend* b) noexcept {
          const issued& i = issued::of(b);
          return i.issuer->has_poll() && i.issuer->signaled(*i.data) ? 1 : 0;
        },
    .set_deadline =
        [](backend* b, std::int64_t) noexcept {
          const issued& i = issued::of(b);
          if (i.issuer->has_deadline()) i.issuer->set_deadline(*i.data);
        },
    .retire =
        [](backend* b, retired_by who) noexcept {
          if (who == retired_by::last_op) pay(cost::defers);
          issued::of(b).destroy();
        },
};

// A driver that insists on its own lock: a legacy fence, which pins its module. Its data goes with
// the last reference.
constexpr legacy_ops ops_of_legacy{
    .lock = [](void* d) noexcept { static_cast<issued*>(d)->data->ring_lock.lock(); },
    .unlock = [](void* d) noexcept { static_cast<issued*>(d)->data->ring_lock.unlock(); },
    .release = [](void* d) noexcept { static_cast<issued*>(d)->destroy(); },
};

struct node : callback {
  explicit node(consumer_callback& c)
      : callback([](callback& n, ufence::fence&) noexcept {
          consumer_callback& called = *static_cast<node&>(n).of;
          called.function(called);
        }),
        of(&c) {}
  consumer_callback* of;
};

class product_fence : public model_fence {
 public:
  explicit product_fence(const fence_options& o)
      : line_(timeline_issuer::create({.driver_name = "lab", .timeline_name = "ring"}).value()) {
    auto* data = new issued{{&ops}, o.issuer, o.data};
    new_fence made = o.uses_drivers_lock ? create_legacy_fence(line_, ops_of_legacy, data).value()
                                         : line_.create_unordered(data).value();
    fence_ = made.fence.get();
    fence_->get();
    name(*fence_, "fence");
    for (unsigned i = 1; i < o.signallers; ++i) rights_.at(i) = made.signal.share();
    rights_[0] = std::move(made.signal);
  }

  bool is_signaled() override { return fence_->is_signaled(); }
  bool is_done() override { return fence_->is_settled(); }
  bool poll() override { return fence_->poll(); }
  int error() override { return fence_->error(); }
  std::int64_t timestamp() override { return fence_->timestamp_ns(); }
  void read_names() override {
    if (fence_->driver_name() != "lab" || fence_->timeline_name() != "ring") {
      goes_wrong("wrong-result: the names are not the fence's");
    }
  }
  void set_deadline() override { fence_->set_deadline(INT64_C(1)); }
  void enable_signaling() override { fence_->enable_signaling(); }
  bool add_callback(consumer_callback& c) override {
    static_assert(sizeof(node) <= sizeof c.room);
    return !fence_->add_callback(*::new (c.room) node(c));
  }
  bool remove_callback(consumer_callback& c) override {
    return fence_->remove_callback(*std::launder(reinterpret_cast<node*>(c.room))).value();
  }
  // By the timeline, which a fence has for ever.
  bool is_issued_by(const driver&) override { return fence_->owner() == line_.line().get(); }
  void get() override { fence_->get(); }
  void put() override { fence_->put(); }

  bool signal(int error, unsigned who) override { return rights_.at(who).decide(error, later_); }
  void clean_up() override { later_.settle(); }
  void wait_quiesced() override {
    pay(cost::waits_for_ops);
    later_.settle();  // first: nobody waits for what he holds himself
    if (fence_->wait_quiesced()) goes_wrong("wrong-result: wait_quiesced() fails");
  }
  void wait_before_unload() override {
    if (fence_->wait_quiesced()) goes_wrong("wrong-result: wait_quiesced() fails");
  }
  spinlock& lock_for_drivers() override { return deadline_lock_; }

  void publish() override { slot_.store(fence_, mo::release); }
  void unpublish() override { slot_.store(nullptr, mo::release); }
  void wait_for_signaller() override {
    const fence_ref found = ufence::fence::get_rcu(slot_);
    if (found && found->is_signaled() && found->wait_settled()) {
      goes_wrong("wrong-result: wait_settled() fails");
    }
  }
  void lose() override {
    rights_[0] = {};
    put();
  }
  void dispose() override { delete this; }

  [[nodiscard]] fence_ref reference() const {
    fence_->get();
    return fence_ref::adopt(fence_);
  }

 private:
  timeline_issuer line_;
  ufence::fence* fence_ = nullptr;  // one reference is the scenario's, by put()
  std::array<signaler, 2> rights_;
  settlement later_;  // of the one who wins
  spinlock deadline_lock_;
  atomic<ufence::fence*> slot_{nullptr};
};

class product_array : public model_array {
 public:
  product_array(model_fence& a, model_fence& b) {
    const fence_ref both[] = {static_cast<product_fence&>(a).reference(),
                              static_cast<product_fence&>(b).reference()};
    array_ = fence_array::create(both).value();
  }
  ~product_array() override {
    array_.reset();
    rcu::flush_deferred();
  }
  void enable_signaling() override { array_->enable_signaling(); }
  bool is_signaled() override { return array_->poll(); }

 private:
  fence_ref array_;
};

class product_slot : public model_slot {
 public:
  ~product_slot() override { slot_.store(nullptr, mo::relaxed); }

  void write() override {
    fence_ref first = signaled(1);
    slot_.store(first.get(), mo::release);
    stays_ = signaled(2);
    slot_.store(stays_.get(), mo::release);
    first.reset();
    static_cast<void>(signaled(3));
  }
  std::uint64_t read() override {
    const fence_ref found = ufence::fence::get_rcu(slot_);
    return found ? found->seqno() : 0;
  }

 private:
  static fence_ref signaled(std::uint64_t seqno) {
    new_fence made = ufence::fence::create(7, seqno).value();
    made.signal.signal();
    return std::move(made.fence);
  }

  atomic<ufence::fence*> slot_{nullptr};
  fence_ref stays_;
};

class product_syncobj : public model_syncobj {
 public:
  void install(model_fence& f) override {
    object_->replace_fence(static_cast<product_fence&>(f).reference());
  }
  void wait() override {
    // The work of wait() with a point, without its lists of several: those take and drop references,
    // and each order of them is an execution.
    const result<fence_ref> there = object_->find_fence_by(0, no_deadline);
    if (!there || (*there)->wait(no_deadline)) goes_wrong("wrong-result: the wait fails");
  }

 private:
  syncobj_ref object_ = syncobj::create().value();
};

// A job of a scheduler: the worker gives it to the device, whose fence becomes known with that.
class product_forwarder : public model_forwarder {
 public:
  product_forwarder() {
    device_ = ufence::fence::create(7, 1, &hears_).value();
    const sched::scheduler* const home[] = {&scheduler_};
    sched::entity e = sched::entity::create({.schedulers = home}).value();
    finished_ = e.arm(job_).value().finished();
    entity_.emplace(std::move(e));
  }
  // Nothing of the job is left then.
  ~product_forwarder() override {
    device_.signal.signal();
    static_cast<void>(scheduler_.run_ready());
    if (!job_.is_free || scheduler_.fini()) goes_wrong("wrong-result: the job does not end");
  }

  void set_parent() override {
    if (!scheduler_.run_ready()) goes_wrong("wrong-result: the job is not given to the device");
  }
  void set_deadline() override { finished_->set_deadline(INT64_C(1000)); }
  bool was_forwarded() override { return hears_.heard.load(mo::relaxed) != 0; }

 private:
  struct hearing : backend {
    hearing() : backend{&table} {}
    static void hear(backend* b, std::int64_t) noexcept {
      static_cast<hearing*>(b)->heard.store(1, mo::relaxed);
    }
    static constexpr backend_ops table{.set_deadline = &hear};
    atomic<std::uint32_t> heard{0};
  };
  struct forwarded_job : sched::job {
    explicit forwarded_job(product_forwarder& f) : of(f) {}
    ~forwarded_job() = default;
    product_forwarder& of;
    bool is_free = false;
  };
  static result<fence_ref> run(sched::job& j) noexcept {
    return static_cast<forwarded_job&>(j).of.device_.fence;
  }
  static void free(sched::job& j) noexcept { static_cast<forwarded_job&>(j).is_free = true; }
  static constexpr sched::scheduler_ops job_ops{.run = &run, .free = &free};

  hearing hears_;
  new_fence device_;
  sched::scheduler scheduler_ =
      sched::scheduler::create({.ops = &job_ops, .has_thread = false}).value();
  forwarded_job job_{*this};
  std::optional<sched::entity> entity_;
  fence_ref finished_;
};

void set_up() {
  warm_up();
  timeline_issuer line = timeline_issuer::create({}).value();
  static_cast<void>(line.emit().value());
  line.signal_up_to(1);
  // A dropped signaler is reported; a scenario that drops knows.
  static_cast<void>(set_report_handler([](const ufence::report&, void*) noexcept {}, nullptr));
  // As the kernel's designs have spinlocks: how a thread sleeps for LOCK, lab_models explores.
  turns_before_sleep = INT_MAX;
}

}  // namespace

extern const design design_ufence{
    .name = "ufence",
    .summary = "this library's own sources: decide, settle, retire",
    .column = 80,
    .make = [](const fence_options& o, unsigned) -> model_fence* { return new product_fence(o); },
    .make_array = [](model_fence& a, model_fence& b, unsigned) -> std::unique_ptr<model_array> {
      return std::make_unique<product_array>(a, b);
    },
    .make_slot = [](unsigned) -> std::unique_ptr<model_slot> {
      return std::make_unique<product_slot>();
    },
    .make_syncobj = [](unsigned) -> std::unique_ptr<model_syncobj> {
      return std::make_unique<product_syncobj>();
    },
    .make_forwarder = [](unsigned) -> std::unique_ptr<model_forwarder> {
      return std::make_unique<product_forwarder>();
    },
    .prelude = set_up,
};

}  // namespace ufence::lab
