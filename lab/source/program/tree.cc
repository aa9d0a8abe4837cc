#include "lab/source/program/tree.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <stdexcept>

#include "lab/source/adapter/source_design.h"
#include "lab/source/program/service_texts.h"

namespace ufence::lab::kernel_source {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view sources[] = {"dma-fence.c", "dma-fence-array.c", "dma-fence-chain.c",
                                        "dma-fence-unwrap.c", "dma-resv.c"};
constexpr std::string_view headers[] = {"dma-fence.h", "dma-fence-array.h", "dma-fence-chain.h",
                                        "dma-fence-unwrap.h", "dma-resv.h"};
// In which the glue and the services go by the tree's text.
constexpr std::string_view asked_words[] = {
    "dma_fence_spinlock",    "inline_lock",
    "dma_fence_driver_name", "dma_fence_enable_sw_signaling",
    "signal_on_any",         "dma_fence_check_and_signal"};

std::string text_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream all;
  all << in.rdbuf();
  return all.str();
}

void write(const fs::path& file, std::string_view text) {
  fs::create_directories(file.parent_path());
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.close();
  if (!out) throw std::runtime_error("cannot write " + file.string());
}

std::string without_comments(const std::string& text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const bool is_block = text.compare(at, 2, "/*") == 0;
    if (!is_block && text.compare(at, 2, "//") != 0) {
      result += text[at++];
      continue;
    }
    const std::size_t end = text.find(is_block ? "*/" : "\n", at + 2);
    at = end == std::string::npos ? text.size() : end + (is_block ? 2 : 0);
  }
  return result;
}

// "linux-7.3.4", from the first lines of the tree's Makefile.
std::string version_of(const fs::path& tree) {
  const std::string text = text_of(tree / "Makefile");
  std::string version;
  for (const char* part : {"VERSION", "PATCHLEVEL", "SUBLEVEL"}) {
    std::smatch found;
    const std::regex line(std::string("(^|\n)") + part + " *= *([0-9]+)");
    if (!std::regex_search(text, found, line)) return {};
    version += (version.empty() ? "linux-" : ".") + found[2].str();
  }
  return version;
}

std::string name_of(const fs::path& tree) {
  if (std::string version = version_of(tree); !version.empty()) return version;
  const fs::path full = fs::weakly_canonical(tree);
  return (full.has_filename() ? full.filename() : full.parent_path().filename()).string();
}

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

// The files that a patch changes.
std::set<std::string> changed_by(const std::string& patch) {
  std::set<std::string> files;
  std::istringstream in(text_of(patch));
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("+++ ") && !line.starts_with("--- ")) continue;
    std::string file = line.substr(4, line.find_first_of("\t\r", 4) - 4);
    const std::size_t slash = file.find('/');
    if (file == "/dev/null" || slash == std::string::npos) continue;
    files.insert(file.substr(slash + 1));
  }
  return files;
}

}  // namespace

kernel_tree::kernel_tree(const tree_options& from)
    : compiler_(from.compiler), name_(name_of(from.source)) {
  if (!from.patches.empty()) name_ += "+";
  copy(from.source, from.patches);
  const fs::path top = folder_.path();
  write(top / "include/lab/source/service/service.h", service_text);
  write(top / "include/lab/source/service/glue.h", glue_header_text);
  write(top / "lab/glue.c", glue_text);
  files_.push_back((top / "lab/glue.c").string());
  forward_headers();
  flags_ = {"-std=gnu11", "-fno-strict-aliasing", "-Werror=implicit-function-declaration",
            "-I" + (top / "include").string()};
  for (const std::string& word : words()) flags_.push_back("-DUFENCE_LAB_HAS_" + word);
}

void kernel_tree::copy(const fs::path& source, const std::vector<std::string>& patches) {
  const fs::path top = folder_.path();
  if (!fs::exists(source / "drivers/dma-buf/dma-fence.c")) {
    throw std::runtime_error(source.string() +
                             " is no kernel tree: it has no drivers/dma-buf/dma-fence.c");
  }
  std::set<std::string> wanted;
  for (const std::string_view file : sources) wanted.insert("drivers/dma-buf/" + std::string(file));
  for (const std::string_view file : headers) wanted.insert("include/linux/" + std::string(file));
  for (const std::string& patch : patches) {
    if (!fs::exists(patch)) throw std::runtime_error("cannot read " + patch);
    for (const std::string& file : changed_by(patch)) {
      if (fs::path(file).is_relative() && file.find("..") == std::string::npos) wanted.insert(file);
    }
  }
  for (const std::string& file : wanted) {
    if (!fs::exists(source / file)) continue;
    fs::create_directories((top / file).parent_path());
    fs::copy_file(source / file, top / file);
  }
  for (const std::string& patch : patches) {
    const std::string command =
        "patch -p1 -s -f -d " + quoted(top.string()) + " < " + quoted(patch) + " >&2";
    if (std::system(command.c_str()) != 0)
      throw std::runtime_error(patch + " does not fit the tree");
  }
  for (const std::string_view file : sources) {
    const fs::path at = top / "drivers/dma-buf" / file;
    if (fs::exists(at)) files_.push_back(at.string());
  }
}

// Whatever else the files include is the lab's one header.
void kernel_tree::forward_headers() {
  const fs::path include = fs::path(folder_.path()) / "include";
  std::vector<fs::path> looked_at(files_.begin(), files_.end());
  for (const std::string_view header : headers) looked_at.push_back(include / "linux" / header);
  const std::regex line("(^|\n)[ \t]*#[ \t]*include[ \t]*<([a-z]+/[^>]+)>");
  for (const fs::path& file : looked_at) {
    const std::string text = text_of(file);
    for (std::sregex_iterator found(text.begin(), text.end(), line), end; found != end; ++found) {
      const fs::path header = include / (*found)[2].str();
      if (!fs::exists(header)) write(header, "#include \"lab/source/service/service.h\"\n");
    }
  }
}

std::vector<std::string> kernel_tree::words() const {
  std::string text;
  for (const std::string_view header : headers) {
    text += without_comments(text_of(fs::path(folder_.path()) / "include/linux" / header));
  }
  std::vector<std::string> found;
  for (const std::string_view word : asked_words) {
    if (std::regex_search(text, std::regex("\\b" + std::string(word) + "\\b"))) {
      found.emplace_back(word);
    }
  }
  return found;
}

std::string kernel_tree::build() {
  const check::build_options with{.compiler = compiler_, .flags = flags_, .files = files_};
  std::string library = check::build(with, built_.emplace_back());
  if (library.empty()) throw std::runtime_error("the fences of " + name_ + " could not be built");
  return library;
}

std::string kernel_tree::build_without(const barrier& b) {
  check::build_options with{.compiler = compiler_, .flags = flags_, .files = files_};
  std::string condition = "0";
  for (const unsigned long line : b.lines) condition += "||__LINE__==" + std::to_string(line);
  with.flags.push_back("-DUFENCE_LAB_LEFT_OUT=" + condition);
  with.flags.push_back("-DUFENCE_LAB_LEFT_OUT_FILE=\"" + b.file + "\"");
  std::string library = check::build(with, built_.emplace_back());
  if (library.empty()) throw std::runtime_error("could not be built without " + b.what);
  return library;
}

std::vector<barrier> kernel_tree::barriers(const std::string& library) const {
  std::map<std::string, barrier> by_what;
  std::vector<std::string> order;
  std::vector<kernel_site> sites = sites_of(library);
  std::ranges::sort(sites, {}, &kernel_site::line);
  for (const kernel_site& s : sites) {
    const std::string file = s.file;
    if (!file.ends_with("/drivers/dma-buf/dma-fence.c")) continue;
    const std::string kind = s.kind;
    const bool is_pair = kind == "spin_lock" || kind == "rcu_read_lock";
    std::string what = kind + " in " + s.function;
    const std::string place = "dma-fence.c:" + std::to_string(s.line);
    const std::string key = is_pair ? what : what + " " + place;
    barrier& b = by_what[key];
    if (b.lines.empty()) {
      b.what = what + ", " + place;
      b.file = file;
      order.push_back(key);
    }
    if (std::ranges::find(b.lines, s.line) == b.lines.end()) b.lines.push_back(s.line);
  }
  std::vector<barrier> all;
  for (const std::string& key : order) all.push_back(by_what[key]);
  return all;
}

}  // namespace ufence::lab::kernel_source
