#include "lab/source/adapter/source_design.h"

#include <dlfcn.h>

#include <memory>
#include <stdexcept>

#include "lab/check/program/names.h"
#include "lab/check/runtime/runtime.h"
#include "lab/designs/model/kernel_containers.h"
#include "lab/designs/model/kernel_rcu.h"
#include "lab/engine/explore.h"
#include "lab/source/adapter/services.h"

namespace ufence::lab::kernel_source {
namespace {

// Set in a prelude, of the library that is explored.
constinit const kernel_glue_table* glue = nullptr;
constinit const check::object_names* names = nullptr;

// Who the kernel's sources know as a callback, and behind that who it is.
struct callback_room {
  std::byte of_kernel[kernel_callback_bytes];
  consumer_callback* self;
};
static_assert(sizeof(callback_room) <= sizeof(consumer_callback::room));

// A fence of the tree's and the driver that it belongs to.
class source_fence final : public model_fence {
 public:
  explicit source_fence(const fence_options& o) : issuer_(o.issuer), data_(o.data) {
    unsigned* const lock =
        o.uses_drivers_lock ? reinterpret_cast<unsigned*>(&o.data->ring_lock) : nullptr;
    fence_ = glue->make(this, o.issuer->ops_room, lock);
    kernel_fence_parts parts{};
    glue->parts(fence_, &parts);
    lock_ = static_cast<unsigned*>(parts.lock);
    name(parts.flags, sizeof(unsigned long), "flags");
    name(parts.ops, sizeof(void*), "ops");
    name(parts.references, sizeof(int), "refs");
    name(parts.error, sizeof(int), "error");
    name(parts.timestamp, 2 * sizeof(void*), "callbacks or timestamp");
    name(parts.lock, sizeof(unsigned), "fence lock");
    name(o.issuer->ops_room, sizeof o.issuer->ops_room, "driver's ops");
    kernel_rcu::name_all();
  }

  [[nodiscard]] void* fence() const { return fence_; }
  [[nodiscard]] driver& issuer() const { return *issuer_; }
  [[nodiscard]] job& data() const { return *data_; }

  bool is_signaled() override { return glue->is_signaled(fence_) != 0; }
  bool poll() override { return glue->poll(fence_) != 0; }
  int error() override { return glue->error(fence_); }
  std::int64_t timestamp() override { return glue->timestamp(fence_); }
  void read_names() override { glue->read_names(fence_); }
  void set_deadline() override { glue->set_deadline(fence_); }
  void enable_signaling() override { glue->enable_signaling(fence_); }
  bool add_callback(consumer_callback& c) override {
    auto* const room = reinterpret_cast<callback_room*>(c.room);
    room->self = &c;
    return glue->add_callback(fence_, room) != 0;
  }
  bool remove_callback(consumer_callback& c) override {
    return glue->remove_callback(fence_, c.room) != 0;
  }
  bool is_issued_by(const driver& d) override {
    return glue->is_issued_by(fence_, const_cast<std::byte*>(d.ops_room)) != 0;
  }
  void get() override { glue->get(fence_); }
  void put() override { glue->put(fence_); }

  bool signal(int error, unsigned) override { return glue->signal(fence_, error) != 0; }
  void clean_up() override { issuer_->destroy(*data_); }
  void wait_before_unload() override { kernel_rcu::synchronize(); }
  spinlock& lock_for_drivers() override { return *reinterpret_cast<spinlock*>(lock_); }
  void publish() override { published.store(this, mo::release); }
  void unpublish() override { published.store(nullptr, mo::release); }
  // The pointer to the lock is used after the read section that protected it.
  void wait_for_signaller() override {
    spinlock* lock = nullptr;
    {
      const kernel_rcu::read_section section;
      if (source_fence* const f = published.load(mo::acquire)) lock = &f->lock_for_drivers();
    }
    if (lock == nullptr) return;
    lock->lock();
    lock->unlock();
  }
  void lose() override {
    driver& issuer = *issuer_;
    job& data = *data_;
    put();
    issuer.destroy(data);
  }
  void dispose() override { delete this; }

 private:
  static atomic<source_fence*> published;

  driver* const issuer_;
  job* const data_;
  void* fence_ = nullptr;
  unsigned* lock_ = nullptr;
};

constinit atomic<source_fence*> source_fence::published{nullptr};

void* fence_of(model_fence& f) { return static_cast<source_fence&>(f).fence(); }

class source_array final : public model_array {
 public:
  source_array(model_fence& a, model_fence& b)
      : fence_(glue->make_array(fence_of(a), fence_of(b))) {}
  ~source_array() override { glue->put(fence_); }

  void enable_signaling() override { glue->enable_signaling(fence_); }
  bool is_signaled() override { return glue->poll(fence_) != 0; }

 private:
  void* const fence_;
};

class source_slot final : public model_slot {
 public:
  source_slot() : slot_(glue->make_slot(ops_)) {}
  ~source_slot() override { glue->free_slot(slot_); }

  void write() override { glue->write_slot(slot_); }
  std::uint64_t read() override { return glue->read_slot(slot_); }

 private:
  alignas(16) std::byte ops_[kernel_ops_bytes]{};
  void* const slot_;
};

void adjust(const candidate& c, settings& with) {
  const auto& of = static_cast<const source_design&>(*c.of);
  const std::string& library = of.libraries.at(c.without);
  check::prepare_program(library);
  names = new check::object_names(library);
  with.is_program = true;
  with.prelude = [] {
    void* const handle = check::load_program();
    glue = static_cast<const kernel_glue_table*>(::dlsym(handle, "kernel_glue"));
  };
  with.static_name = [](std::uintptr_t address) {
    return names->name_of(address, check::program().base);
  };
}

void explain(report& r) {
  check::name_places();
  for (step& s : r.steps) {
    if (const std::string function = check::function_in(s.place); !function.empty()) {
      s.function = function;
    }
    s.source = check::source_in(s.place);
    s.place = check::with_places(s.place);
    s.what = check::with_places(s.what);
  }
  r.found.text = check::with_places(r.found.text);
}

}  // namespace

source_design::source_design(std::string name_text, std::vector<std::string> found)
    : text(std::move(name_text)), libraries(std::move(found)) {
  name = text;
  summary = "the sources of a kernel tree";
  barriers = static_cast<unsigned>(libraries.size()) - 1;
  make = [](const fence_options& o, unsigned) -> model_fence* { return new source_fence(o); };
  make_array = [](model_fence& a, model_fence& b, unsigned) -> std::unique_ptr<model_array> {
    return std::make_unique<source_array>(a, b);
  };
  make_slot = [](unsigned) -> std::unique_ptr<model_slot> {
    return std::make_unique<source_slot>();
  };
  make_syncobj = make_kernel_syncobj;
  make_forwarder = nullptr;
  adjust = kernel_source::adjust;
  explain = kernel_source::explain;
}

std::vector<kernel_site> sites_of(const std::string& library) {
  void* const handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw std::runtime_error(::dlerror());
  const auto* const table = static_cast<const kernel_glue_table*>(::dlsym(handle, "kernel_glue"));
  return {table->sites, table->sites_end};  // it stays loaded: they are its
}

}  // namespace ufence::lab::kernel_source

// --- What service/glue.c calls ---

using ufence::lab::kernel_source::source_fence;

UFENCE_LAB_EXPORT bool UFENCE_LAB_CALL(kernel_op_enable)(source_fence* f) {
  using namespace ufence::lab;
  if (!f->issuer().has_enable()) return true;
  if (kernel_source::holds_spinlock()) pay(cost::lock_over_driver_code);
  f->issuer().enable_signaling(f->data());
  return true;
}
UFENCE_LAB_EXPORT bool UFENCE_LAB_CALL(kernel_op_signaled)(source_fence* f) {
  return f->issuer().has_poll() && f->issuer().signaled(f->data());
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_op_set_deadline)(source_fence* f) {
  if (f->issuer().has_deadline()) f->issuer().set_deadline(f->data());
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_op_name)(source_fence* f) { f->issuer().read_name(); }
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_run_callback)(
    ufence::lab::kernel_source::callback_room* room) {
  using namespace ufence::lab;
  if (kernel_source::holds_spinlock()) pay(cost::lock_over_callbacks);
  consumer_callback& c = *room->self;
  c.function(c);
}
