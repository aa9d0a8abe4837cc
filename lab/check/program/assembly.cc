#include "lab/check/program/assembly.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>
#include <string_view>

namespace ufence::lab::check {
namespace {

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view blanks = " \t;";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

std::string shown(std::string_view text) {
  std::string result(text);
  std::ranges::replace(result, '\t', ' ');
  return result;
}

// Nothing that touches memory: it waits, or tells the assembler how a symbol is called.
bool is_harmless(std::string_view text) noexcept {
  constexpr std::string_view known[] = {"",        "pause",   "nop",      "rep; nop",
                                        "rep;nop", "rep nop", "rep\tnop", "endbr64"};
  if (text.starts_with('#')) return true;
  if (text.starts_with(".globl") || text.starts_with(".symver")) return true;
  return std::ranges::find(known, text) != std::end(known);
}

// With the calls of -fsanitize=thread there is no such instruction but by its built-in name.
bool orders_memory(std::string_view text) noexcept {
  return text == "mfence" || text == "lfence" || text == "sfence" || text.starts_with("lock ") ||
         text.starts_with("lock\t") || text.starts_with("lock;");
}

// clang puts calls before accesses of up to 16 bytes, but none before those of ten.
bool is_too_large(std::string_view text) noexcept {
  return text.starts_with("fldt") || text.starts_with("fstpt") ||
         text.find("%ymm") != std::string_view::npos || text.find("%zmm") != std::string_view::npos;
}

// Reads the directives that tell where code comes from.
class source_lines {
 public:
  void look_at(const std::string& line) {
    std::istringstream in(line);
    std::string directive;
    in >> directive;
    if (directive == ".file") {
      unsigned number = 0;
      if (!(in >> number)) return;
      // A folder may stand before the name.
      const std::size_t end = line.rfind('"', line.find(" md5 "));
      const std::size_t begin = line.rfind('"', end - 1);
      if (end == std::string::npos || begin == std::string::npos) return;
      const std::string name = line.substr(begin + 1, end - begin - 1);
      names_[number] = name.substr(name.rfind('/') + 1);
    } else if (directive == ".loc") {
      in >> file_ >> line_;
    }
  }
  [[nodiscard]] std::string place() const {
    const auto name = names_.find(file_);
    return name == names_.end() ? "the program" : name->second + ":" + std::to_string(line_);
  }

 private:
  std::map<unsigned, std::string> names_;
  unsigned file_ = 0;
  unsigned line_ = 0;
};

}  // namespace

std::string unseen_in(const std::string& assembly_file, bool is_of_clang) {
  std::ifstream in(assembly_file);
  source_lines lines;
  bool is_inline = false;
  for (std::string line; std::getline(in, line);) {
    const std::string_view text = trimmed(line);
    if (text == "#APP" || text == "#NO_APP") {
      is_inline = text == "#APP";
      continue;
    }
    lines.look_at(line);
    if ((is_inline && !is_harmless(text)) || orders_memory(text)) {
      return lines.place() + " has the instruction " + shown(text) +
             ", which the lab does not see: atomic operations and fences of the language are seen";
    }
    if (is_of_clang && is_too_large(text)) {
      return lines.place() + " has a value whose accesses clang does not tell (" + shown(text) +
             "): g++ does";
    }
  }
  return {};
}

}  // namespace ufence::lab::check
