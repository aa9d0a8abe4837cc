#include "lab/check/runtime/place.h"

#include <unistd.h>

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "lab/check/runtime/runtime.h"

namespace ufence::lab::check {
namespace {

// As in libstdc++'s <source_location>, which both compilers use.
struct location_data {
  const char* file;
  const char* function;
  unsigned line;
  unsigned column;
};
static_assert(sizeof(std::source_location) == sizeof(const location_data*));

constexpr const char* unnamed = "\1";

// Not in static storage: places stay from one execution to the next.
struct place_table {
  run_counts counts;
  std::vector<std::unique_ptr<place>> places;
  std::vector<std::unique_ptr<location_data>> data;
  struct slot {
    std::uint64_t key = 0;
    unsigned number = 0;  // of the place, plus one
  };
  std::vector<slot> slots = std::vector<slot>(1 << 12);
};
constinit place_table* table = nullptr;

std::uint64_t mixed(std::uint64_t key, std::uintptr_t with) noexcept {
  key = (key ^ with) * 0xD6E8FEB86659FD93U;
  return key ^ key >> 32;
}

void grow() {
  std::vector<place_table::slot> bigger(table->slots.size() * 2);
  for (const place_table::slot& s : table->slots) {
    if (s.number == 0) continue;
    std::size_t i = s.key & (bigger.size() - 1);
    while (bigger[i].number != 0) i = (i + 1) & (bigger.size() - 1);
    bigger[i] = s;
  }
  table->slots = std::move(bigger);
}

unsigned add(std::uint64_t key, std::uintptr_t code) {
  mode::outside_scope outside;
  if ((table->places.size() + 1) * 2 > table->slots.size()) grow();
  auto p = std::make_unique<place>();
  p->frames[p->depth++] = code;
  const thread_data& d = mine();
  for (std::size_t i = d.depth; i-- > 0 && p->depth < place::frames_max;) {
    p->frames[p->depth++] = reinterpret_cast<std::uintptr_t>(d.calls[i].from);
  }
  table->places.push_back(std::move(p));
  const auto number = static_cast<unsigned>(table->places.size());
  table->data.push_back(
      std::make_unique<location_data>(location_data{unnamed, unnamed, number, number}));
  std::size_t i = key & (table->slots.size() - 1);
  while (table->slots[i].number != 0) i = (i + 1) & (table->slots.size() - 1);
  table->slots[i] = {key, number};
  return number;
}

bool is_of_system(const std::string& file) {
  return file.starts_with("/usr/") || file.find("/include/c++/") != std::string::npos ||
         file.starts_with("??");
}

// The first frame, from inside, that is in the program's own files.
void name_place(place& p, const std::vector<std::pair<std::string, std::string>>& frames) {
  if (!frames.empty()) p.is_in_library = is_of_system(frames.front().second);
  for (const auto& [function, file_and_line] : frames) {
    const std::size_t colon = file_and_line.rfind(':');
    const std::string file = file_and_line.substr(0, colon);
    if (is_of_system(file) && !p.file.empty()) continue;
    const bool is_better = p.file.empty() || is_of_system(p.file);
    if (!is_better) return;
    p.file = file;
    p.function = function;
    p.line = static_cast<unsigned>(std::strtoul(file_and_line.c_str() + colon + 1, nullptr, 10));
    if (!is_of_system(file)) return;
  }
}

// The text at text[at], where a place is written; `at` goes behind it.
const place* place_at(const std::string& text, std::size_t& at) {
  std::size_t number = 0;
  if (++at < text.size() && text[at] == ':') {
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at) {
      number = number * 10 + static_cast<std::size_t>(text[at] - '0');
    }
  }
  return number != 0 && number <= table->places.size() ? table->places[number - 1].get() : nullptr;
}

// Files and lines of these, from the program's debug information.
void name(const std::vector<place*>& places) {
  if (places.empty()) return;
  const std::string& library = program().path;
  // Several explorations may share a program.
  const std::string own = library + "." + std::to_string(::getpid());
  const std::string questions = own + ".places";
  const std::string answers = own + ".names";
  {
    std::ofstream out(questions);
    for (const place* p : places) {
      // An address of a return is behind the call.
      for (std::size_t i = 0; i < p->depth; ++i) {
        out << std::hex << "0x" << p->frames[i] - program().base - 1 << "\n";
      }
    }
  }
  const std::string command =
      "addr2line -a -f -i -C -e '" + library + "' < '" + questions + "' > '" + answers + "'";
  if (std::system(command.c_str()) != 0) return;
  std::ifstream in(answers);
  std::string line;
  bool is_more = static_cast<bool>(std::getline(in, line));
  for (place* p : places) {
    std::vector<std::pair<std::string, std::string>> frames;
    for (std::size_t i = 0; i < p->depth && is_more; ++i) {
      std::string function;
      std::string where;
      is_more = static_cast<bool>(std::getline(in, function));  // behind the address
      while (is_more && !function.starts_with("0x")) {
        is_more = static_cast<bool>(std::getline(in, where));
        where = where.substr(0, where.find(' '));
        frames.emplace_back(function, where);
        is_more = static_cast<bool>(std::getline(in, function));
      }
      line = function;
    }
    name_place(*p, frames);
  }
}

const place* first_place(const std::string& text) {
  std::size_t at = text.find(*unnamed);
  return at == std::string::npos ? nullptr : place_at(text, at);
}

}  // namespace

run_counts& counts() noexcept { return table->counts; }

void make_places() {
  if (table == nullptr) table = new place_table;
}

std::source_location location_of(const void* code) noexcept {
  if (table == nullptr) return {};
  const thread_data& d = mine();
  const auto address = reinterpret_cast<std::uintptr_t>(code);
  const std::uint64_t key = mixed(d.depth == 0 ? 1 : d.calls[d.depth - 1].key, address);
  const std::size_t mask = table->slots.size() - 1;
  unsigned number = 0;
  for (std::size_t i = key & mask; table->slots[i].number != 0; i = (i + 1) & mask) {
    if (table->slots[i].key != key) continue;
    number = table->slots[i].number;
    break;
  }
  if (number == 0) number = add(key, address);
  const location_data* const data = table->data[number - 1].get();
  return std::bit_cast<std::source_location>(data);
}

void enter(const void* from) noexcept {
  thread_data& d = mine();
  if (d.depth == thread_data::calls_max) {
    fail(failure::not_explorable,
         "calls are nested more than " + std::to_string(thread_data::calls_max) + " deep");
  }
  const std::uint64_t outer = d.depth == 0 ? 1 : d.calls[d.depth - 1].key;
  d.calls[d.depth++] = {from, mixed(outer, reinterpret_cast<std::uintptr_t>(from))};
}

void leave() noexcept {
  thread_data& d = mine();
  if (d.depth != 0) d.calls[--d.depth] = {};
}

void name_places() {
  std::vector<place*> all;
  for (const auto& p : table->places) all.push_back(p.get());
  name(all);
}

bool is_library_code(const std::source_location& where) {
  if (where.file_name() != unnamed) return false;
  place* const p = table->places[where.line() - 1].get();
  if (p->file.empty()) {
    mode::outside_scope outside;
    name({p});
  }
  return p->is_in_library;
}

bool is_inside_library(const std::string& text) {
  const place* p = first_place(text);
  return p != nullptr && is_of_system(p->file);
}

std::string function_in(const std::string& text) {
  const place* p = first_place(text);
  if (p == nullptr) return {};
  if (p->function.find("lambda") != std::string::npos || p->function.starts_with("operator()")) {
    return "lambda";
  }
  const std::string name = p->function.substr(0, p->function.find('('));
  return name == "ufence_lab_main" ? "main" : name;
}

std::string source_in(const std::string& text) {
  const place* p = first_place(text);
  if (p == nullptr || p->file.empty()) return {};
  std::ifstream in(p->file);
  std::string line;
  for (unsigned n = 0; n < p->line; ++n) {
    if (!std::getline(in, line)) return {};
  }
  const std::size_t begin = line.find_first_not_of(" \t");
  return begin == std::string::npos ? std::string() : line.substr(begin);
}

std::string with_places(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != *unnamed) {
      result += text[i];
      continue;
    }
    std::size_t end = i;
    if (const place* found = place_at(text, end)) {
      const place& p = *found;
      const std::size_t slash = p.file.rfind('/');
      result += p.file.empty() ? "?" : p.file.substr(slash == std::string::npos ? 0 : slash + 1);
      result += ":" + std::to_string(p.line);
    }
    i = end - 1;
  }
  return result;
}

}  // namespace ufence::lab::check
