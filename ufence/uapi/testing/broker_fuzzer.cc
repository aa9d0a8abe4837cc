// libFuzzer's entry: whatever calls come from other processes, each is answered. An input is a
// series of calls, about devices, files and buffers that those before have given out.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "ufence/uapi/dispatcher.h"
#include "ufence/uapi/ioctls.h"
#include "ufence/uapi/protocol.h"
#include "ufence/uapi/waiting_call.h"

namespace ufence::uapi {
namespace {

constexpr std::size_t held_max = 24;

void expect(bool holds) {
  if (!holds) std::abort();
}

// What is left of the input; 0 behind its end.
class input {
 public:
  explicit input(std::span<const std::byte> bytes) noexcept : left_(bytes) {}
  [[nodiscard]] bool empty() const noexcept { return left_.empty(); }
  std::uint8_t byte() noexcept {
    const std::span<const std::byte> one = bytes(1);
    return one.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(one[0]);
  }
  std::span<const std::byte> bytes(std::size_t count) noexcept {
    const std::span<const std::byte> taken = left_.first(std::min(count, left_.size()));
    left_ = left_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const std::byte> left_;
};

class session {
 public:
  session() {
    expect(!calls_.devices().begin());
    for (const device_kind kind : {device_kind::sw_sync, device_kind::drm_card}) {
      std::vector<std::byte> message(sizeof(request_header) + 16);
      request_header header;
      header.what = static_cast<std::uint32_t>(operation::open);
      header.code = static_cast<std::uint32_t>(kind);
      header.argument_size = 16;
      std::memcpy(message.data(), &header, sizeof header);
      make_call(message, -1, -1, false);
    }
    held_.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    held_.emplace_back(::open("/dev/null", O_RDWR | O_CLOEXEC));
  }

  void step(input& from) {
    const std::uint8_t which = from.byte();
    const std::uint8_t how = from.byte();
    const int subject = pick(from.byte());
    const int other = (how & 1) != 0 ? pick(from.byte()) : -1;
    std::vector<std::byte> message;
    if (which < std::size(known_controls)) {
      message = control(known_controls[which], from, (how & 2) != 0);
    } else {
      const std::span<const std::byte> any = from.bytes(from.byte());
      message.assign(any.begin(), any.end());
    }
    make_call(message, subject, other, (how & 4) != 0);
    if ((how & 8) != 0 && held_.size() > 2) held_.erase(held_.begin() + subject_at_);
    calls_.devices().look();
    if ((how & 16) != 0) calls_.devices().on_time(calls_.devices().next_time_ns());
    if ((how & 32) != 0) calls_.buffers().sweep();
  }

 private:
  int pick(std::uint8_t number) {
    subject_at_ = static_cast<std::ptrdiff_t>(number % held_.size());
    return held_[static_cast<std::size_t>(subject_at_)].get();
  }

  // Of the right size, but for what has any.
  static std::vector<std::byte> control(std::uint32_t code, input& from, bool any_size) {
    if (any_size) code = (code & ~(0x3FFFU << 16)) | std::uint32_t{from.byte()} << 16;
    request_header header;
    header.what = static_cast<std::uint32_t>(operation::control);
    header.code = code;
    const bool is_sent = (_IOC_DIR(code) & _IOC_WRITE) != 0;
    header.argument_size = is_sent ? _IOC_SIZE(code) : 0;
    const std::span<const std::byte> argument = from.bytes(header.argument_size);
    const std::span<const std::byte> data = from.bytes(std::size_t{from.byte()} % 64);
    header.data_size = static_cast<std::uint32_t>(data.size());
    std::vector<std::byte> message(sizeof header + header.argument_size + data.size());
    std::memcpy(message.data(), &header, sizeof header);
    std::ranges::copy(argument, message.begin() + sizeof header);
    std::ranges::copy(data, message.end() - static_cast<std::ptrdiff_t>(data.size()));
    return message;
  }

  void make_call(std::span<const std::byte> message, int subject, int other, bool in_time) {
    const std::optional<request_view> request = parse_request(message);
    if (!request) return;
    expect(request->argument.size() <= argument_size_max && request->data.size() <= data_size_max);
    call c;
    static_cast<request_view&>(c) = *request;
    if (subject >= 0) c.subject.reset(::fcntl(subject, F_DUPFD_CLOEXEC, 0));
    if (other >= 0) c.other.reset(::fcntl(other, F_DUPFD_CLOEXEC, 0));
    reply r = calls_.handle(c, true);
    if (r.later) {
      const std::unique_ptr<waiting_call> waiting = std::move(r.later);
      expect(waiting->event() >= 0);
      if (waiting->is_ready() || in_time) r = waiting->finish(waiting->is_ready());
    }
    expect(!r.later && r.error >= 0 && r.error < 4096);
    // It fits into what a caller reads it with.
    expect(r.argument.size() <= argument_size_max && r.data.size() <= data_size_max);
    if (r.error != 0 || !r.descriptor) return;
    expect(r.descriptor_at == -1 || (static_cast<std::size_t>(r.descriptor_at) + sizeof(int) <=
                                     std::max(r.argument.size(), sizeof(dma_buf_sync_file))));
    if (held_.size() < held_max) {
      held_.push_back(std::move(r.descriptor));
    } else {
      std::swap(held_[2 + message.size() % (held_max - 2)], r.descriptor);
    }
  }

  dispatcher calls_;
  std::vector<unique_fd> held_;  // closed first
  std::ptrdiff_t subject_at_ = 0;
};

}  // namespace
}  // namespace ufence::uapi

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ufence::uapi::session all;
  ufence::uapi::input from({reinterpret_cast<const std::byte*>(data), size});
  for (int steps = 0; steps < 64 && !from.empty(); ++steps) all.step(from);
  return 0;
}
