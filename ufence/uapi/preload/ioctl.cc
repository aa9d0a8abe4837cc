// ioctl() on emulated descriptors.
#include <time.h>

#include <cstdarg>

#include "ufence/uapi/ioctls.h"
#include "ufence/uapi/preload/broker_call.h"
#include "ufence/uapi/preload/descriptors.h"
#include "ufence/uapi/preload/layouts.h"
#include "ufence/uapi/preload/next.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

constinit next_function<int(int, unsigned long, ...)> next_ioctl("ioctl");

// An argument: its copy, and where the program has it.
class argument {
 public:
  argument(std::uint32_t code, void* theirs) noexcept
      : theirs_(theirs), size_(_IOC_SIZE(code)), is_read_((_IOC_DIR(code) & _IOC_WRITE) != 0) {}
  // @return  errno, or 0
  int fetch() noexcept {
    if (size_ > sizeof bytes_) return EINVAL;
    return !is_read_ || system::copy_in(bytes_, theirs_, size_) ? 0 : EFAULT;
  }
  template <class T>
  [[nodiscard]] T at(int offset, T otherwise) const noexcept {
    const auto from = static_cast<std::size_t>(offset);
    if (offset < 0 || from + sizeof(T) > size_) return otherwise;
    T value;
    std::memcpy(&value, bytes_ + from, sizeof value);
    return value;
  }
  [[nodiscard]] void* pointer_at(int offset) const noexcept {
    return reinterpret_cast<void*>(at<std::uint64_t>(offset, 0));
  }
  [[nodiscard]] const void* bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t sent_size() const noexcept { return is_read_ ? size_ : 0; }
  [[nodiscard]] char* theirs() const noexcept { return static_cast<char*>(theirs_); }

 private:
  void* const theirs_;
  const std::size_t size_;
  const bool is_read_;
  alignas(8) char bytes_[argument_size_max] = {};
};

// The arrays of a call. @return  errno, or 0
int add_arrays(broker_call& call, const layout& l, const argument& a) noexcept {
  const auto count = static_cast<std::size_t>(a.at<std::uint32_t>(l.count, 0));
  void* const handles = a.pointer_at(l.handles);
  void* const points = a.pointer_at(l.points);
  void* const results = a.pointer_at(l.results);
  if (l.handles >= 0) {
    if (count > data_size_max / 12) return ENOMEM;
    call.data[0] = {handles, count * sizeof(std::uint32_t)};
    if (points != nullptr) call.data[1] = {points, count * sizeof(std::uint64_t)};
  }
  if (l.text >= 0) {
    const auto size = a.at<std::uint64_t>(0, 0);
    if (size > client_name_max) return EINVAL;
    call.data[0] = {a.pointer_at(l.text), static_cast<std::size_t>(size)};
  }
  if (l.results >= 0) {
    const std::size_t fit = file_data_size_max / l.result_size;
    call.reply_data = {results, (count < fit ? count : fit) * l.result_size};
    // They may come in a file.
    call.for_this_call = true;
  }
  return 0;
}

bool is_past(std::int64_t time_ns) noexcept {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return time_ns <= now.tv_sec * 1'000'000'000 + now.tv_nsec;
}

broker_reply failed_with(int error) noexcept {
  broker_reply reply;
  reply.error = error;
  return reply;
}

int end(const broker_reply& reply, const argument& a) noexcept {
  if (reply.error != 0) {
    errno = reply.error;
    return -1;
  }
  if (reply.fd >= 0) {
    const auto at = static_cast<std::size_t>(reply.descriptor_at);
    if (reply.descriptor_at < 0 || at + sizeof reply.fd > a.size() ||
        !system::copy_out(a.theirs() + at, &reply.fd, sizeof reply.fd)) {
      system::close(reply.fd);
      errno = EFAULT;
      return -1;
    }
  }
  return 0;
}

// The only one that gives back several arrays, each with its own size.
int get_version(broker_call& call, const argument& a) noexcept {
  char texts[256];
  call.reply_data = {texts, sizeof texts};
  const broker_reply reply = call_broker(call);
  if (reply.error != 0) return end(reply, a);
  drm_version now;
  if (!system::copy_in(&now, a.theirs(), sizeof now)) return end(failed_with(EFAULT), a);
  const char* text = texts;
  const auto put = [&](std::uint64_t to, std::uint64_t room, std::uint64_t size) {
    const bool done = to == 0 || room == 0 ||
                      system::copy_out(reinterpret_cast<void*>(to), text,
                                       static_cast<std::size_t>(room < size ? room : size));
    text += size;
    return done;
  };
  drm_version before;
  std::memcpy(&before, a.bytes(), sizeof before);
  if (now.name_size + now.date_size + now.description_size != reply.data_size ||
      !put(before.name, before.name_size, now.name_size) ||
      !put(before.date, before.date_size, now.date_size) ||
      !put(before.description, before.description_size, now.description_size)) {
    return end(failed_with(EFAULT), a);
  }
  return 0;
}

// Nobody asks for the name of a buffer here, which is taken if it is one. Its end may be that of
// the program's memory.
int name_dma_buf(const char* name) noexcept {
  for (std::size_t size = 0; size <= dma_buf_name_max; ++size) {
    char letter = 0;
    if (!system::copy_in(&letter, name + size, 1)) {
      errno = EFAULT;
      return -1;
    }
    if (letter == '\0') return 0;
  }
  errno = EINVAL;
  return -1;
}

int control(int fd, bool is_device, std::uint32_t code, void* theirs) noexcept {
  if (code == dma_buf_set_name || code == dma_buf_set_name_a) {
    return name_dma_buf(static_cast<const char*>(theirs));
  }
  const layout* const found = layout_of(code);
  argument a(code, theirs);
  // An argument that refers to nothing is sent from where it is.
  const bool is_looked_at = found != nullptr || code == drm::version;
  if (const int failed = is_looked_at ? a.fetch() : 0) return end(failed_with(failed), a);
  broker_call call;
  call.code = code;
  call.subject = fd;
  call.is_about_device = is_device;
  call.argument = is_looked_at ? a.bytes() : theirs;
  call.argument_size = a.sent_size();
  if ((_IOC_DIR(code) & _IOC_READ) != 0) call.reply_argument = {theirs, a.size()};
  if (found != nullptr) {
    const layout& l = *found;
    if (const int failed = add_arrays(call, l, a)) return end(failed_with(failed), a);
    const int other = a.at<std::int32_t>(l.descriptor, -1);
    // The broker says what it means that there is none.
    if (other >= 0 && system::fcntl(other, F_GETFD) >= 0) call.other = other;
    // A call that waits no more can't be interrupted: a program that calls again and again comes to an end.
    call.is_interruptible = l.waits && !is_past(a.at<std::int64_t>(l.timeout, INT64_MAX));
  }
  if (is_same(code, drm::prime_to_fd)) {
    call.close_on_exec = (a.at<std::uint32_t>(offsetof(drm_prime, flags), 0) &
                          static_cast<unsigned>(O_CLOEXEC)) != 0;
  }
  if (code == drm::version) return get_version(call, a);
  return end(call_broker(call), a);
}

bool is_known(std::uint32_t code) noexcept {
  if (is_displays(code)) return true;
  for (const std::uint32_t known : known_controls) {
    if (is_same(code, known)) return true;
  }
  return false;
}

// The kind that a descriptor has for the number of an ioctl. A call that is refused is refused before anything of the
// argument is looked at, as in the kernel.
struct subject {
  bool is_emulated = false;  // false: whatever it is, it is not for us
  int refusal = 0;           // errno, or 0
  bool is_device = false;
};

subject subject_of(int fd, std::uint32_t code) noexcept {
  const int unknown = is_known(code) ? 0 : ENOTTY;
  switch (_IOC_TYPE(code)) {
    case sw_sync_type: {
      const device_kind kind = device_of(fd);
      return {kind != device_kind::none, kind == device_kind::sw_sync ? unknown : ENOTTY, true};
    }
    case drm_type: {
      const device_kind kind = device_of(fd);
      const bool is_node = kind == device_kind::drm_card || kind == device_kind::drm_render;
      const int refused = !is_allowed_on(kind, code) ? EACCES : 0;
      return {kind != device_kind::none, !is_node ? ENOTTY : unknown != 0 ? EINVAL : refused, true};
    }
    case sync_type: return {is_sync_file(fd), unknown};
    case dma_buf_type: return {is_dma_buf(fd), unknown};
    default: break;
  }
  // The calls that sockets know, and these devices do not.
  const bool is_of_sockets = code == FIONREAD || code == TIOCOUTQ || _IOC_TYPE(code) == 0x89;
  const file_kind kind = is_of_sockets ? kind_of(fd) : file_kind::other;
  return {kind != file_kind::other && kind != file_kind::dma_buf, ENOTTY};
}

// DRM takes arguments of any size; no more than this means anything.
std::uint32_t of_known_size(std::uint32_t code) noexcept {
  if (_IOC_TYPE(code) != drm_type || _IOC_SIZE(code) <= argument_size_max) return code;
  return (code & ~(std::uint32_t{_IOC_SIZEMASK} << _IOC_SIZESHIFT)) |
         std::uint32_t{argument_size_max} << _IOC_SIZESHIFT;
}

}  // namespace
}  // namespace ufence::uapi

UFENCE_REPLACES int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  const auto code = static_cast<std::uint32_t>(request);
  const ufence::uapi::subject subject = ufence::uapi::subject_of(fd, code);
  if (!subject.is_emulated) return ufence::uapi::next_ioctl.get()(fd, request, argument);
  if (subject.refusal == 0) {
    return ufence::uapi::control(fd, subject.is_device, ufence::uapi::of_known_size(code),
                                 argument);
  }
  errno = subject.refusal;
  return -1;
}
