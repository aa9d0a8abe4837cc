// A program that goes on while its plugin is rebuilt: each new build is in use as soon as it is there, no job
// is lost, and a build that can't be loaded changes nothing.
//
//     hot_reload PLUGIN REBUILD    (rebuild.sh; it is called with an answer and the plugin's path)
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <span>
#include <string>
#include <thread>

#include "ufence/fence/chrono.h"
#include "ufence/issuer/watch.h"

namespace {

using namespace std::chrono_literals;

std::atomic<int> refused{0};

void tell(const ufence::watch_event& event) {
  if (event.what == ufence::watch_event::kind::refused) ++refused;
  std::printf("%.*s%s%s\n", static_cast<int>(to_string(event.what).size()),
              to_string(event.what).data(), event.why.empty() ? "" : ": ", event.why.c_str());
}

// The plugin's answer; 0: a job was lost.
int ask(ufence::module_watch& plugin) {
  int answer = 0;
  int* const to = &answer;
  const auto done = plugin.submit({.args = std::as_bytes(std::span(&to, 1))});
  return done && !wait_for(*done, 10s) && (*done)->status() == 1 ? answer : 0;
}

bool rebuild(const std::string& script, const char* answer, const std::string& plugin) {
  return std::system(("\"" + script + "\" " + answer + " \"" + plugin + "\"").c_str()) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return std::printf("usage: hot_reload PLUGIN REBUILD\n"), 2;
  const std::string path = argv[1], script = argv[2];
  if (!rebuild(script, "41", path)) return 1;

  ufence::host host;
  std::string why;
  const auto plugin = host.watch(path, {.on_event = &tell}, &why);
  if (!plugin) return std::printf("%s\n", why.c_str()), 1;
  std::atomic<bool> stops{false};
  std::atomic<int> asked{0}, lost{0};
  std::thread consumer([&] {
    for (; !stops; ++asked) lost += ask(**plugin) == 0 ? 1 : 0;
  });

  if (!rebuild(script, "42", path)) return 1;
  while (ask(**plugin) != 42) std::this_thread::sleep_for(1ms);
  std::ofstream(path + ".new") << "not a module\n";
  if (std::rename((path + ".new").c_str(), path.c_str()) != 0) return 1;
  while (refused == 0) std::this_thread::sleep_for(1ms);
  const int last = ask(**plugin);

  stops = true;
  consumer.join();
  std::printf("%d at last; %s jobs, %d lost\n", last, asked > 0 ? "many" : "no", lost.load());
  return last == 42 && lost == 0 ? 0 : 1;
}
