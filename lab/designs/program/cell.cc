#include "lab/designs/program/cell.h"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <system_error>

#include "lab/engine/shares.h"

namespace ufence::lab {
namespace {

using nlohmann::json;

json to_json(const std::vector<step>& steps) {
  json all = json::array();
  for (const step& s : steps) {
    all.push_back({s.thread, s.thread_name, s.place, s.function, s.what, s.source});
  }
  return all;
}

// In the child: what the parent reads.
std::string explore_and_tell(const question& q, const settings& with) {
  const finding f = run_hazard(*q.of, q.by, with);
  const report& r = f.explored;
  return json{{"result", static_cast<int>(f.result)},
              {"executions", r.executions},
              {"exhaustive", r.is_exhaustive()},
              {"how", to_string(r.how)},
              {"paid", f.paid},
              {"text", r.found.text},
              {"trace", r.trace},
              {"steps", to_json(r.steps)},
              {"seconds", r.seconds}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

void read_told(const std::string& told, answer& a) {
  const json j = json::parse(told);
  a.result = static_cast<verdict>(j.at("result").get<int>());
  a.executions = j.at("executions").get<std::uint64_t>();
  a.is_exhaustive = j.at("exhaustive").get<bool>();
  a.how = j.at("how").get<std::string>();
  a.paid = j.at("paid").get<costs>();
  a.text = j.at("text").get<std::string>();
  a.trace = j.at("trace").get<std::string>();
  a.seconds = j.at("seconds").get<double>();
  for (const json& s : j.at("steps")) {
    a.steps.push_back({s.at(0), s.at(1), s.at(2), s.at(3), s.at(4), s.at(5)});
  }
}

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

bool write_all(int fd, const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(fd, text.data() + at, text.size() - at);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) at += static_cast<std::size_t>(n);
  }
  return true;
}

struct worker {
  pid_t process = 0;
  int pipe = -1;
  std::size_t question = 0;
  std::string told;
};

worker start(const std::vector<question>& questions, std::size_t at, const settings& with) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) fail("pipe");
  const pid_t process = fork_worker();
  if (process < 0) fail("fork");
  if (process == 0) {
    ::close(ends[0]);
    const bool told = write_all(ends[1], explore_and_tell(questions[at], with));
    ::_exit(told ? 0 : 1);
  }
  ::close(ends[1]);
  return {process, ends[0], at, {}};
}

// The remains of a worker that has closed its pipe.
answer finish(worker& w, const question& q) {
  ::close(w.pipe);
  int status = 0;
  while (::waitpid(w.process, &status, 0) < 0 && errno == EINTR) {
  }
  answer a;
  a.hazard = q.of->id;
  a.design = q.by.name();
  if (WIFSIGNALED(status)) {
    a.text = std::string("the exploration ended with ") + ::strsignal(WTERMSIG(status));
  } else if (WEXITSTATUS(status) != 0) {
    a.text = "the exploration ended with status " + std::to_string(WEXITSTATUS(status));
  } else {
    read_told(w.told, a);
  }
  return a;
}

}  // namespace

std::vector<answer> answer_all(const std::vector<question>& questions, const settings& with,
                               unsigned jobs, const std::function<void(std::size_t)>& done) {
  std::vector<answer> answers(questions.size());
  std::vector<worker> workers;
  std::size_t next = 0;
  std::size_t finished = 0;
  while (finished < questions.size()) {
    while (workers.size() < jobs && next < questions.size()) {
      workers.push_back(start(questions, next++, with));
    }
    std::vector<pollfd> ready;
    for (const worker& w : workers) ready.push_back({w.pipe, POLLIN, 0});
    if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) fail("poll");
    for (std::size_t i = workers.size(); i-- > 0;) {
      if (ready[i].revents == 0) continue;
      std::array<char, 65536> buffer{};
      const ssize_t n = ::read(workers[i].pipe, buffer.data(), buffer.size());
      if (n > 0) workers[i].told.append(buffer.data(), static_cast<std::size_t>(n));
      if (n > 0 || (n < 0 && errno == EINTR)) continue;
      answers[workers[i].question] = finish(workers[i], questions[workers[i].question]);
      workers.erase(workers.begin() + static_cast<std::ptrdiff_t>(i));
      done(++finished);
    }
  }
  return answers;
}

}  // namespace ufence::lab
