#include "tools/net/job/worker.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tools/net/job/lane.h"
#include "tools/ufence/cli/console.h"
#include "tools/ufence/cli/interrupt.h"
#include "tools/ufence/cli/units.h"
#include "tools/ufence/run/driver_modules.h"
#include "ufence/base/fd.h"

namespace ufence::tool {
namespace {

constexpr int progress_ms = 500;

std::string own_host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

class worker {
 public:
  explicit worker(const worker_options& o)
      : options_(o),
        wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        console_(o.quiet),
        interrupts_(wake_fd_.get()),
        modules_(driver_directory(o.driver_path), o.workers) {}

  int run();

 private:
  bool connect();
  void run_lanes(const device_ref& cpu);
  void wait_for_end(lane_services& all);
  bool problem(const std::string& of, const std::string& what) {
    console_.problem(of, what);
    return false;
  }

  const worker_options& options_;
  unique_fd wake_fd_;
  console console_;
  interrupt_watch interrupts_;
  driver_modules modules_;
  std::unique_ptr<bus> server_;
  std::optional<host_link> link_;
  std::mutex lock_;
  std::string failure_;       // lock_
  unsigned lanes_ended_ = 0;  // lock_
};

bool worker::connect() {
  const std::string& name = options_.server.link.servers.front();
  const host_link_options o = options_.server.options();
  auto server = bus::connect(o);
  if (!server) return problem(name, server.error().message());
  server_ = *std::move(server);
  auto link = host_link::connect(o);
  if (!link) return problem(name, link.error().message());
  link_ = *std::move(link);
  return true;
}

int worker::run() {
  if (!connect()) return 1;
  auto cpu = modules_.load(driver::cpu);
  if (!cpu) return console_.problem(cpu.error()), 1;
  run_lanes((*cpu)->device);
  link_.reset();
  if (!modules_.unload_for_good(**cpu, unload_policy::cancel)) {
    for (const std::string& pin : modules_.totals().pins) console_.problem(pin);
  }
  console_.clear_progress();
  const int number = interrupt_watch::signal_number();
  if (number == 0) return 1;
  console_.note("ufence: interrupted");
  return 128 + number;
}

void worker::run_lanes(const device_ref& cpu) {
  lane_services all{.server = *server_,
                    .link = *link_,
                    .cpu = cpu,
                    .folder = options_.folder,
                    .host = options_.server.link.host_name.empty() ? own_host_name()
                                                                   : options_.server.link.host_name,
                    .lease_ns = options_.server.options().lease_ns};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < options_.workers; ++i) {
    threads.emplace_back([this, &all] {
      const std::string why = lane(all).run();
      {
        const std::lock_guard hold(lock_);
        if (failure_.empty()) failure_ = why;
        ++lanes_ended_;
      }
      const std::uint64_t one = 1;
      static_cast<void>(::write(wake_fd_.get(), &one, sizeof one) != 0);
    });
  }
  wait_for_end(all);
  all.is_over.store(true, mo::relaxed);
  server_->close();
  for (std::thread& one : threads) one.join();
  if (!failure_.empty()) console_.problem(failure_);
}

void worker::wait_for_end(lane_services& all) {
  while (interrupt_watch::signal_number() == 0) {
    {
      const std::lock_guard hold(lock_);
      if (lanes_ended_ != 0) return;
    }
    pollfd woken{.fd = wake_fd_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&woken, 1, progress_ms) > 0) {
      std::uint64_t count = 0;
      static_cast<void>(::read(wake_fd_.get(), &count, sizeof count) != 0);
    }
    if (!console_.shows_progress()) continue;
    console_.progress(fmt::format("{} files, {}{}", grouped(all.files.load(mo::relaxed)),
                                  byte_size(static_cast<double>(all.bytes.load(mo::relaxed))),
                                  link_->was_connected() ? "" : ", the server is away"));
  }
}

}  // namespace

int work(const worker_options& options) { return worker(options).run(); }

}  // namespace ufence::tool
