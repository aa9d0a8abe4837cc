#include "lab/designs/model/stage.h"

namespace ufence::lab {
namespace {

model_fence* make(const candidate& c, fence_options o, driver* d, job* j) {
  o.issuer = d;
  o.data = j;
  return c.of->make(o, c.without);
}

}  // namespace

stage::stage(const candidate& c, fence_options o)
    : device_(new driver), data_(new job), fence_(make(c, o, device_, data_)) {
  device_->name_parts();
  name(*data_, "data");
}

stage::~stage() {
  if (!is_signaled_) signal();
  if (!is_clean_) clean_up();
  if (!was_put_) {
    if (!is_unloaded_) fence_->wait_before_unload();
    put();
  }
  if (!is_unloaded_) delete device_;
  fence_->dispose();
}

bool stage::signal(int error, unsigned who) {
  const bool won = fence_->signal(error, who);
  remark(won ? "signal() returns: it was this one" : "signal() returns: somebody else had");
  is_signaled_ = true;
  return won;
}

void stage::clean_up() {
  is_clean_ = true;
  fence_->clean_up();
}

void stage::complete(int error, unsigned who) {
  if (signal(error, who)) clean_up();
}

void stage::interrupt() {
  bool won = false;
  {
    const holding guard(device_->lock);
    won = signal();
  }
  if (won) clean_up();
}

void stage::put() {
  was_put_ = true;
  fence_->put();
}

void stage::lose() {
  is_signaled_ = is_clean_ = was_put_ = true;
  fence_->lose();
}

void stage::unload() {
  is_unloaded_ = true;
  fence_->wait_before_unload();
  remark("the module is unloaded");
  delete device_;
}

}  // namespace ufence::lab
