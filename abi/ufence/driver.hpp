// C++ for drivers: a class becomes a driver module. Header-only, over the C contract of driver.h,
// whose rules (D-n) it cites; nothing in it pins a module (no thread, no thread_local, no unique
// symbol when compiled with -fno-gnu-unique). It needs exceptions enabled, and lets none out.
//
//   class null_device {
//    public:
//     explicit null_device(ufence::driver::services host) : host_(host) {}
//     int submit(ufence::driver::job& j) { return host_.signal(j, 0), 0; }
//     void stop() {}
//    private:
//     ufence::driver::services host_;
//   };
//   UFENCE_CPP_DRIVER(null_device, "null", nullptr, "completes every job at once");
//
// The members that the class may have, and the kind of driver that each of them makes:
//   Class(services)                    init(): what it throws becomes the error of the load
//   int start()                        optional, at the end of init(): start threads here; an error
//                                      is the load's, after stop()
//   int submit(job&), void stop()      always; when stop() has returned, no thread of the driver
//                                      touches the object any more (it may still be returning)
//   ~Class()                           exit()
//   int enable_signaling(job&)         UFENCE_F_ENABLE
//   int poll(job&)                     UFENCE_F_POLL
//   void set_deadline(job&, int64_t)   UFENCE_F_DEADLINE; of a timeline: set_deadline(int64_t)
//   void retire(job&)                  UFENCE_F_RETIRE
//   void cancel(job&)                  UFENCE_F_CANCEL
//   int observe(ufence_fence&)         UFENCE_F_OBSERVE
//   static constexpr bool is_timeline = true;                                     UFENCE_F_TIMELINE
//       and optionally void request_notify(uint64_t), void retire_timeline()
//   void lock(job&), unlock(job&), int wait(job&, int64_t), void release(job&)    UFENCE_F_LEGACY
//   static constexpr const char* interface_name = "...", uint32_t interface_version = 1;
//   static constexpr ufence_option options[] = {{"name", "value", "for people"}};     optional
// A member with one of these names and another type is a compile error, not a missing feature.
#pragma once

#if __cplusplus < 202002L
#error "ufence/driver.hpp needs C++20: compile with -std=c++20"
#endif

#include <cxxabi.h>

#include <array>
#include <cerrno>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "ufence/driver.h"

namespace ufence::driver {

using job = ufence_job;

/// Thrown by a constructor, start() or submit() to fail with this -errno. Other exceptions become
/// -ENOMEM (std::bad_alloc) or -EIO; those that become -EIO are reported with their type and what().
struct failure {
  int error;
};

/// Decided jobs whose callbacks are still to run; its end runs them (D-7). Declare it before the
/// locks under which decide() is called, so that it ends after they are dropped.
class settlement {
 public:
  explicit settlement(const ufence_host& host) noexcept : host_(host) {}
  ~settlement() { settle(); }
  settlement(const settlement&) = delete;
  settlement& operator=(const settlement&) = delete;

  /// Runs them now, no lock held; it may be filled again.
  void settle() noexcept { host_.settle(&decided_); }
  [[nodiscard]] ufence_settlement* get() noexcept { return &decided_; }

 private:
  const ufence_host& host_;
  ufence_settlement decided_ = UFENCE_SETTLEMENT_INIT;
};

/// The host, for one device; a value of two pointers. See struct ufence_host for each function.
class services {
 public:
  services(const ufence_host* host, ufence_device* device) noexcept
      : host_(host), device_(device) {}

  int decide(job& j, int error, settlement& later) const noexcept {
    return host_->decide(&j, error, later.get());
  }
  int signal(job& j, int error) const noexcept { return host_->signal(&j, error); }
  int signal_locked(job& j, int error) const noexcept { return host_->signal_locked(&j, error); }
  [[nodiscard]] settlement later() const noexcept { return settlement(*host_); }

  int decide_up_to(std::uint64_t seqno, settlement& later) const noexcept {
    return host_->decide_up_to(device_, seqno, later.get());
  }
  int decide_notify(settlement& later) const noexcept {
    return host_->decide_notify(device_, later.get());
  }
  [[nodiscard]] int device_word(const volatile std::uint32_t* word) const noexcept {
    return host_->device_word(device_, word);
  }

  /// Starts a thread that runs (object.*Member)(), which must be noexcept.
  template <auto Member, class T>
  [[nodiscard]] int start_thread(const char* name, T& object) const noexcept {
    static_assert(std::is_nothrow_invocable_v<decltype(Member), T&>,
                  "a thread's function must be noexcept: nobody catches (D-4)");
    return host_->thread_start(
        device_, name, [](void* arg) { (static_cast<T*>(arg)->*Member)(); }, &object);
  }

  [[nodiscard]] int add_callback(ufence_fence& fence, ufence_callback& node) const noexcept {
    return host_->callback_add(device_, &fence, &node);
  }
  int remove_callback(ufence_fence& fence, ufence_callback& node) const noexcept {
    return host_->callback_remove(&fence, &node);
  }
  [[nodiscard]] int fence_status(ufence_fence& fence) const noexcept {
    return host_->fence_status(&fence);
  }

  void report(const char* text) const noexcept { host_->report(device_, text); }
  [[nodiscard]] std::int64_t now_ns() const noexcept { return host_->now_ns(); }
  /// The value of one of the driver's options; null: it has none of this name.
  [[nodiscard]] const char* option(const char* name) const noexcept {
    return host_->size < sizeof(ufence_host) ? nullptr : host_->option(device_, name);
  }

 private:
  const ufence_host* host_;
  ufence_device* device_;
};

/// The job's arguments as a T, or nullptr if they are shorter: then submit() returns -EINVAL.
/// Longer is fine (a newer caller). The memory is the job's: not touched after the decision (D-6).
template <class T>
[[nodiscard]] T* args_of(job& j) noexcept {
  static_assert(std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>,
                "arguments are plain C data");
  static_assert(alignof(T) <= 16, "arguments are aligned to 16 bytes");
  return j.args != nullptr && j.args_size >= sizeof(T) ? static_cast<T*>(j.args) : nullptr;
}

/// A queue of accepted jobs, linked through driver_private[0] and [1], so that nothing is allocated
/// for a job. No lock of its own. A job must be out of every list before it is decided (D-10).
class job_list {
 public:
  job_list() noexcept = default;
  job_list(job_list&& other) noexcept
      : first_(std::exchange(other.first_, nullptr)), last_(std::exchange(other.last_, nullptr)) {}
  job_list& operator=(job_list&&) = delete;

  [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
  [[nodiscard]] job* front() const noexcept { return first_; }
  [[nodiscard]] static job* next(const job& j) noexcept {
    return static_cast<job*>(j.driver_private[0]);
  }

  void push_back(job& j) noexcept {
    j.driver_private[0] = nullptr;
    j.driver_private[1] = last_;
    if (last_ != nullptr) {
      last_->driver_private[0] = &j;
    } else {
      first_ = &j;
    }
    last_ = &j;
  }
  /// The job must be in this list.
  void remove(job& j) noexcept {
    job* const after = next(j);
    job* const before = static_cast<job*>(j.driver_private[1]);
    if (before != nullptr) {
      before->driver_private[0] = after;
    } else {
      first_ = after;
    }
    if (after != nullptr) {
      after->driver_private[1] = before;
    } else {
      last_ = before;
    }
    j.driver_private[0] = j.driver_private[1] = nullptr;
  }
  [[nodiscard]] job* pop_front() noexcept {
    job* const j = first_;
    if (j != nullptr) remove(*j);
    return j;
  }

 private:
  job* first_ = nullptr;
  job* last_ = nullptr;
};

/// A callback on a fence of somebody else: `callback<watcher, &watcher::on_signal> node(owner);`
/// calls owner.on_signal(node, fence), which is noexcept. The node stays in place until the member
/// was called or remove_callback() returned (D-17); the member may free it.
template <class Owner, auto Member>
class callback : public ufence_callback {
 public:
  explicit callback(Owner& owner) noexcept : ufence_callback{}, owner_(&owner) { fn = &run; }
  callback(const callback&) = delete;
  callback& operator=(const callback&) = delete;

 private:
  static void run(ufence_callback* node, ufence_fence* fence) noexcept {
    static_assert(std::is_nothrow_invocable_v<decltype(Member), Owner&, callback&, ufence_fence&>,
                  "a callback must be noexcept (D-4)");
    callback& self = *static_cast<callback*>(node);
    (self.owner_->*Member)(self, *fence);
  }

  Owner* owner_;
};

namespace detail {

// Every optional member. If D has one of these names too, of whatever type, then naming it in a
// class derived from both is ambiguous.
struct names {
  int enable_signaling, poll, set_deadline, retire, cancel, request_notify, retire_timeline;
  int lock, unlock, wait, release, observe, start;
};
template <class D>
struct both : D, names {};

#define UFENCE_DRIVER_MEMBER_(name, ...)                                                     \
  template <class D>                                                                         \
  concept has_##name = requires(D& d, job& j, ufence_fence& f, std::int64_t ns) {            \
    __VA_ARGS__;                                                                             \
  };                                                                                         \
  template <class D>                                                                         \
  concept sound_##name = has_##name<D> || std::is_final_v<D> || requires { &both<D>::name; };
UFENCE_DRIVER_MEMBER_(start, { d.start() } -> std::same_as<int>)
UFENCE_DRIVER_MEMBER_(enable_signaling, { d.enable_signaling(j) } -> std::same_as<int>)
UFENCE_DRIVER_MEMBER_(poll, { d.poll(j) } -> std::same_as<int>)
UFENCE_DRIVER_MEMBER_(retire, { d.retire(j) } -> std::same_as<void>)
UFENCE_DRIVER_MEMBER_(cancel, { d.cancel(j) } -> std::same_as<void>)
UFENCE_DRIVER_MEMBER_(observe, { d.observe(f) } -> std::same_as<int>)
UFENCE_DRIVER_MEMBER_(request_notify, { d.request_notify(std::uint64_t{}) } -> std::same_as<void>)
UFENCE_DRIVER_MEMBER_(retire_timeline, { d.retire_timeline() } -> std::same_as<void>)
UFENCE_DRIVER_MEMBER_(lock, { d.lock(j) } -> std::same_as<void>)
UFENCE_DRIVER_MEMBER_(unlock, { d.unlock(j) } -> std::same_as<void>)
UFENCE_DRIVER_MEMBER_(wait, { d.wait(j, ns) } -> std::same_as<int>)
UFENCE_DRIVER_MEMBER_(release, { d.release(j) } -> std::same_as<void>)
#undef UFENCE_DRIVER_MEMBER_

template <class D>
concept is_timeline = requires { requires bool{D::is_timeline}; };

template <class D>
concept has_set_deadline =
    (is_timeline<D> && requires(D& d, std::int64_t ns) {
      { d.set_deadline(ns) } -> std::same_as<void>;
    }) || (!is_timeline<D> && requires(D& d, job& j, std::int64_t ns) {
      { d.set_deadline(j, ns) } -> std::same_as<void>;
    });
template <class D>
concept sound_set_deadline =
    has_set_deadline<D> || std::is_final_v<D> || requires { &both<D>::set_deadline; };

template <class D>
concept is_legacy = has_lock<D> || has_unlock<D> || has_wait<D> || has_release<D>;

/// The object that init() makes: the driver, and the host to report to.
template <class D>
struct instance {
  explicit instance(services s) : host(s), driver(s) {}
  services host;
  D driver;
};
/// In a handler: reports the exception that it handles, by type and, if it has that, what() (D-4).
inline void report_exception(const services& host, const char* entry, const char* what) noexcept {
  const std::type_info* const type = abi::__cxa_current_exception_type();
  int failed = 0;
  char* const name =
      type != nullptr ? abi::__cxa_demangle(type->name(), nullptr, nullptr, &failed) : nullptr;
  std::array<char, 400> text{};
  std::snprintf(text.data(), text.size(), "D-4: %s threw an exception (%s)%s%s", entry,
                name != nullptr   ? name
                : type != nullptr ? type->name()
                                  : "of another language",
                what != nullptr ? ": " : "", what != nullptr ? what : "");
  std::free(name);
  host.report(text.data());
}

/// Calls f, which returns 0 or -errno; an exception becomes its error, and is reported if it is not one of
/// those that say what it is. The unwinding of pthread_exit() goes on: the host stops it.
template <class F>
[[nodiscard]] int no_throw(const services& host, const char* entry, F&& f) {
  try {
    return std::forward<F>(f)();
  } catch (const failure& e) {
    return e.error;
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  } catch (const std::exception& e) {
    report_exception(host, entry, e.what());
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (...) {
    report_exception(host, entry, nullptr);
  }
  return -EIO;
}
template <class D, class F>
[[nodiscard]] int no_throw(void* state, const char* entry, F&& f) {
  auto& i = *static_cast<instance<D>*>(state);
  return no_throw(i.host, entry, [&] { return std::forward<F>(f)(i.driver); });
}
/// Calls f, which returns nothing; an exception is reported.
template <class D, class F>
void no_throw_void(void* state, const char* entry, F&& f) {
  auto& i = *static_cast<instance<D>*>(state);
  try {
    std::forward<F>(f)(i.driver);
  } catch (const std::exception& e) {
    report_exception(i.host, entry, e.what());
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (...) {
    report_exception(i.host, entry, nullptr);
  }
}

template <class D>
constexpr void check_class() noexcept {
  static_assert(std::constructible_from<D, services>, "the class is made from services");
  static_assert(requires(D& d, job& j) { { d.submit(j) } -> std::same_as<int>; },
                "int submit(job&) is missing (D-3)");
  static_assert(requires(D& d) { { d.stop() } -> std::same_as<void>; },
                "void stop() is missing (D-3)");
  static_assert(sound_start<D> && sound_enable_signaling<D> && sound_poll<D> &&
                    sound_set_deadline<D> && sound_retire<D> && sound_cancel<D> &&
                    sound_observe<D> && sound_request_notify<D> && sound_retire_timeline<D> &&
                    sound_lock<D> && sound_unlock<D> && sound_wait<D> && sound_release<D>,
                "a member has the name of an op, but not its type");
  static_assert(
      is_timeline<D> || !(has_request_notify<D> || has_retire_timeline<D>),
      "request_notify and retire_timeline are a timeline's: is_timeline = true is missing");
  static_assert(!is_legacy<D> || (has_lock<D> && has_unlock<D> && has_wait<D> && has_release<D>),
                "a legacy driver has lock, unlock, wait and release (D-19)");
}

template <class D>
[[nodiscard]] constexpr std::uint64_t features_of() noexcept {
  std::uint64_t features = 0;
  if (has_enable_signaling<D>) features |= UFENCE_F_ENABLE;
  if (has_poll<D>) features |= UFENCE_F_POLL;
  if (has_set_deadline<D>) features |= UFENCE_F_DEADLINE;
  if (has_retire<D>) features |= UFENCE_F_RETIRE;
  if (has_cancel<D>) features |= UFENCE_F_CANCEL;
  if (is_timeline<D>) features |= UFENCE_F_TIMELINE;
  if (is_legacy<D>) features |= UFENCE_F_LEGACY;
  if (has_observe<D>) features |= UFENCE_F_OBSERVE;
  return features;
}

template <class D>
int init(const ufence_host* host, ufence_device* device, void** state) {
  if (host->size < sizeof(ufence_host) || host->abi_version != UFENCE_ABI_VERSION) return -EPROTO;
  const services to(host, device);
  return no_throw(to, "the constructor", [&] {
    auto made = std::make_unique<instance<D>>(to);
    if constexpr (has_start<D>) {
      const int error = no_throw(to, "start()", [&] { return made->driver.start(); });
      if (error != 0) {
        made->driver.stop();
        return error;
      }
    }
    *state = made.release();
    return 0;
  });
}
template <class D>
void stop(void* state) {
  no_throw_void<D>(state, "stop()", [](D& d) { d.stop(); });
}
template <class D>
void exit(void* state) noexcept {
  delete static_cast<instance<D>*>(state);
}

template <class D>
[[nodiscard]] constexpr ufence_device_ops make_ops() noexcept {
  check_class<D>();
  ufence_device_ops ops{};
  ops.size = sizeof ops;
  ops.submit = [](void* s, job* j) {
    return no_throw<D>(s, "submit()", [&](D& d) { return d.submit(*j); });
  };
  if constexpr (has_enable_signaling<D>) {
    ops.enable_signaling = [](void* s, job* j) {
      return no_throw<D>(s, "enable_signaling()", [&](D& d) { return d.enable_signaling(*j); });
    };
  }
  if constexpr (has_poll<D>) {
    ops.poll = [](void* s, job* j) {
      return no_throw<D>(s, "poll()", [&](D& d) { return d.poll(*j); });
    };
  }
  if constexpr (has_set_deadline<D>) {
    ops.set_deadline = [](void* s, job* j, std::int64_t deadline_ns) {
      no_throw_void<D>(s, "set_deadline()", [&](D& d) {
        if constexpr (is_timeline<D>) {
          static_cast<void>(j);
          d.set_deadline(deadline_ns);
        } else {
          d.set_deadline(*j, deadline_ns);
        }
      });
    };
  }
  if constexpr (has_retire<D>) {
    ops.retire = [](void* s, job* j) {
      no_throw_void<D>(s, "retire()", [&](D& d) { d.retire(*j); });
    };
  }
  if constexpr (has_cancel<D>) {
    ops.cancel = [](void* s, job* j) {
      no_throw_void<D>(s, "cancel()", [&](D& d) { d.cancel(*j); });
    };
  }
  if constexpr (has_request_notify<D>) {
    ops.request_notify = [](void* s, std::uint64_t seqno) {
      no_throw_void<D>(s, "request_notify()", [&](D& d) { d.request_notify(seqno); });
    };
  }
  if constexpr (has_retire_timeline<D>) {
    ops.retire_timeline = [](void* s) {
      no_throw_void<D>(s, "retire_timeline()", [](D& d) { d.retire_timeline(); });
    };
  }
  if constexpr (is_legacy<D>) {
    ops.lock = [](void* s, job* j) {
      no_throw_void<D>(s, "lock()", [&](D& d) { d.lock(*j); });
    };
    ops.unlock = [](void* s, job* j) {
      no_throw_void<D>(s, "unlock()", [&](D& d) { d.unlock(*j); });
    };
    ops.wait = [](void* s, job* j, std::int64_t deadline_ns) {
      return no_throw<D>(s, "wait()", [&](D& d) { return d.wait(*j, deadline_ns); });
    };
    ops.release = [](void* s, job* j) {
      no_throw_void<D>(s, "release()", [&](D& d) { d.release(*j); });
    };
  }
  if constexpr (has_observe<D>) {
    ops.observe = [](void* s, ufence_fence* f) {
      return no_throw<D>(s, "observe()", [&](D& d) { return d.observe(*f); });
    };
  }
  return ops;
}

template <class D>
[[nodiscard]] constexpr const char* interface_name_of() noexcept {
  if constexpr (requires { D::interface_name; }) return D::interface_name;
  return nullptr;
}
template <class D>
[[nodiscard]] constexpr std::uint32_t interface_version_of() noexcept {
  if constexpr (requires { D::interface_version; }) return D::interface_version;
  return 0;
}
template <class D>
[[nodiscard]] constexpr std::span<const ufence_option> options_of() noexcept {
  if constexpr (requires { D::options; }) return D::options;
  return {};
}

template <class D>
[[nodiscard]] constexpr ufence_driver make_driver(const ufence_device_ops& ops, const char* name,
                                                  const char* timeline,
                                                  const char* description) noexcept {
  return {.size = sizeof(ufence_driver), .abi_version = UFENCE_ABI_VERSION,
          .features = features_of<D>(), .name = name, .timeline = timeline,
          .description = description, .ops = &ops,
          .init = &init<D>, .stop = &stop<D>, .exit = &exit<D>,
          .interface_name = interface_name_of<D>(),
          .interface_version = interface_version_of<D>(),
          .options_count = static_cast<std::uint32_t>(options_of<D>().size()),
          .options = options_of<D>().data()};
}

}  // namespace detail
}  // namespace ufence::driver

/// Makes Class the driver of this module, in one source file, at global scope. The names are string
/// literals; the timeline's may be nullptr. Constant data, as D-1 wants. A semicolon comes after it:
/// the error without one names it.
#define UFENCE_CPP_DRIVER(Class, name, timeline, description)                                \
  static constexpr ufence_device_ops ufence_driver_ops =                                     \
      ::ufence::driver::detail::make_ops<Class>();                                           \
  UFENCE_DRIVER = ::ufence::driver::detail::make_driver<Class>(ufence_driver_ops, name,      \
                                                               timeline, description);       \
  struct a_semicolon_is_missing_after_UFENCE_CPP_DRIVER
