#include <dirent.h>
#include <limits.h>
#include <unistd.h>

#include <fstream>
#include <string_view>
#include <utility>

#include "ufence/testing/probe.h"

namespace ufence::testing {
namespace {

using namespace std::chrono_literals;

// Calls visit(name) for each entry of a folder whose names are numbers; `own_fd` is the number of the
// descriptor used to read it.
template <class F>
void for_each_number(const char* folder, F visit) {
  DIR* dir = ::opendir(folder);
  if (dir == nullptr) return;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    if (!name.empty() && name.find_first_not_of("0123456789") == name.npos) {
      visit(std::string(name), ::dirfd(dir));
    }
  }
  ::closedir(dir);
}

class file_descriptors final : public probe {
 public:
  view look() const override {
    view seen;
    for_each_number("/proc/self/fd", [&](const std::string& number, int own_fd) {
      if (number == std::to_string(own_fd)) return;
      char target[PATH_MAX] = {};
      const std::string link = "/proc/self/fd/" + number;
      if (::readlink(link.c_str(), target, sizeof target - 1) < 0) return;
      const std::string text = number + " -> " + target;
      seen[text] = {"file descriptor " + text};
    });
    return seen;
  }
  bool must_stay() const override { return true; }
};

class threads final : public probe {
 public:
  view look() const override {
    view seen;
    for_each_number("/proc/self/task", [&](const std::string& id, int) {
      std::string name;
      std::getline(std::ifstream("/proc/self/task/" + id + "/comm"), name);
      seen[id] = {"thread \"" + name + "\" (" + id + ")"};
    });
    return seen;
  }
  std::chrono::milliseconds lingers() const override { return 2s; }
};

class modules final : public probe {
 public:
  view look() const override {
    view seen;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      const auto start = line.find('/');
      if (start == line.npos) continue;
      std::string path = line.substr(start);
      std::string_view file = path;
      if (const std::string_view gone = " (deleted)"; file.ends_with(gone)) {
        file.remove_suffix(gone.size());
      }
      if (!file.ends_with(".so") || file.find("/ufence/drivers/") == file.npos) continue;
      seen[path] = {"mapped module " + path};
    }
    return seen;
  }
};

class counted final : public probe {
 public:
  counted(std::string plural, std::function<std::size_t()> count)
      : plural_(std::move(plural)), count_(std::move(count)) {}

  view look() const override { return {{plural_, {plural_, count_(), true}}}; }

 private:
  std::string plural_;
  std::function<std::size_t()> count_;
};

}  // namespace

std::unique_ptr<probe> file_descriptor_probe() { return std::make_unique<file_descriptors>(); }
std::unique_ptr<probe> thread_probe() { return std::make_unique<threads>(); }
std::unique_ptr<probe> module_probe() { return std::make_unique<modules>(); }
std::unique_ptr<probe> count_probe(std::string plural, std::function<std::size_t()> count) {
  return std::make_unique<counted>(std::move(plural), std::move(count));
}

}  // namespace ufence::testing
