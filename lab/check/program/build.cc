#include "lab/check/program/build.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <system_error>

#include "lab/check/program/assembly.h"

extern "C" char** environ;

namespace ufence::lab::check {
namespace {

// @return  its status
int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

// Runs a command; its output goes to a file, or where ours goes.
bool run(const std::vector<std::string>& command, const std::string& output = {}) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (!output.empty()) {
    posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
  }
  pid_t child = 0;
  const int error = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    static_cast<void>(
        std::fprintf(stderr, "ufence: cannot run %s: %s\n", argv[0], std::strerror(error)));
    return false;
  }
  const int status = wait_for(child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// A shell that removes a folder when the other end of the pipe is closed. It is in a process group
// of its own, where no interrupt of a terminal reaches it.
// @return  -1: there is none
pid_t start_remover(const std::string& folder, int ended) {
  std::array<std::string, 4> words{"sh", "-c", "read -r end; rm -rf -- \"$0\"", folder};
  std::array<char*, 5> argv{words[0].data(), words[1].data(), words[2].data(), words[3].data()};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ended, 0);
  for (const int fd : {1, 2}) {
    posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_WRONLY, 0);
  }
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t child = -1;
  const int error = posix_spawnp(&child, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error == 0 ? child : -1;
}

bool is_c(const std::string& file) { return std::filesystem::path(file).extension() == ".c"; }

// Functions that compilers expand without a call for their accesses, or whose calls they leave out
// with the accesses before them.
constexpr const char* called_functions[] = {
    "memcpy", "memmove", "memset", "mempcpy", "memcmp", "bcmp",          "strlen",
    "strcmp", "strncmp", "strcpy", "strncpy", "stpcpy", "strcat",        "strncat",
    "strdup", "malloc",  "calloc", "realloc", "free",   "aligned_alloc", "posix_memalign"};

// Those of them that libraries and programs call by their built-in names too.
constexpr std::string_view called_header =
    "#ifdef __cplusplus\n"
    "#define UFENCE_LAB_FUNCTION extern \"C\"\n"
    "#define UFENCE_LAB_THROWS_NOTHING noexcept(true)\n"
    "#else\n"
    "#define UFENCE_LAB_FUNCTION extern\n"
    "#define UFENCE_LAB_THROWS_NOTHING\n"
    "#endif\n"
    "#define UFENCE_LAB_FROM_MEMORY(result, name) \\\n"
    "  UFENCE_LAB_FUNCTION result name(void*, const void*, __SIZE_TYPE__) "
    "UFENCE_LAB_THROWS_NOTHING;\n"
    "#define UFENCE_LAB_FROM_TEXT(name, ...) \\\n"
    "  UFENCE_LAB_FUNCTION char* name(char*, const char* __VA_ARGS__) UFENCE_LAB_THROWS_NOTHING;\n"
    "UFENCE_LAB_FROM_MEMORY(void*, memcpy)\n"
    "UFENCE_LAB_FROM_MEMORY(void*, memmove)\n"
    "UFENCE_LAB_FROM_MEMORY(void*, mempcpy)\n"
    "UFENCE_LAB_FUNCTION void* memset(void*, int, __SIZE_TYPE__) UFENCE_LAB_THROWS_NOTHING;\n"
    "UFENCE_LAB_FUNCTION int memcmp(const void*, const void*, __SIZE_TYPE__)\n"
    "    UFENCE_LAB_THROWS_NOTHING;\n"
    "UFENCE_LAB_FROM_TEXT(strcpy)\n"
    "UFENCE_LAB_FROM_TEXT(stpcpy)\n"
    "UFENCE_LAB_FROM_TEXT(strcat)\n"
    "UFENCE_LAB_FROM_TEXT(strncpy, , __SIZE_TYPE__)\n"
    "UFENCE_LAB_FROM_TEXT(strncat, , __SIZE_TYPE__)\n";
constexpr const char* called_by_built_in_names[] = {"memcpy",  "memmove", "mempcpy", "memset",
                                                    "memcmp",  "strcpy",  "stpcpy",  "strcat",
                                                    "strncpy", "strncat"};
// What asks a compiler to leave a function without calls; `unused` changes nothing.
constexpr const char* no_calls[] = {"no_sanitize(...)", "__no_sanitize__(...)",
                                    "no_sanitize_thread", "__no_sanitize_thread__",
                                    "disable_sanitizer_instrumentation"};

void add_instrumentation(const std::string& header, std::vector<std::string>& command) {
  command.emplace_back("-fsanitize=thread");
  for (const char* f : called_functions) command.push_back(std::string("-fno-builtin-") + f);
  for (const char* f : called_by_built_in_names) {
    command.push_back(std::string("-D__builtin_") + f + "=" + f);
  }
  command.insert(command.end(), {"-include", header});
  for (const char* a : no_calls) command.push_back(std::string("-D") + a + "=unused");
}

// Compiles, and looks at what came out (assembly.h), before that is assembled.
bool compile(const build_options& with, const std::string& file, const std::string& header,
             const std::string& to) {
  std::vector<std::string> command{with.compiler, "-g", "-O1", "-fPIC"};
  add_instrumentation(header, command);
  // Text and streams are then compiled with the program, where they use templates.
  command.insert(command.end(), {"-D_GLIBCXX_EXTERN_TEMPLATE=0", "-U_FORTIFY_SOURCE", "-Wno-tsan"});
  // A frame that is too large for the stack meets its end (crashes.cc).
  command.emplace_back("-fstack-clash-protection");
  // A local variable that nobody has written has a value that tells (machine::raw_read()).
  command.emplace_back("-ftrivial-auto-var-init=pattern");
  const bool is_clang = with.compiler.find("clang") != std::string::npos;
  if (is_clang) command.emplace_back("-Wno-unknown-warning-option");
  const bool names_standard =
      std::ranges::any_of(with.flags, [](const std::string& f) { return f.starts_with("-std="); });
  if (!names_standard) command.emplace_back(is_c(file) ? "-std=gnu17" : "-std=gnu++20");
  command.insert(command.end(), with.flags.begin(), with.flags.end());
  const std::string assembly = to + ".s";
  command.insert(command.end(), {"-x", is_c(file) ? "c" : "c++", "-S", file, "-o", assembly});
  if (!run(command)) return false;
  const std::string unseen = unseen_in(assembly, is_clang);
  if (!unseen.empty()) {
    static_cast<void>(std::fprintf(stderr, "not explorable: %s\n", unseen.c_str()));
    return false;
  }
  return run({with.compiler, "-Wa,--no-warn", "-c", assembly, "-o", to});
}

std::vector<std::string> undefined_symbols(const std::string& object, const std::string& list) {
  std::vector<std::string> names;
  if (!run({"nm", "-u", "-P", object}, list)) return names;
  std::ifstream in(list);
  for (std::string line; std::getline(in, line);) names.push_back(line.substr(0, line.find(' ')));
  return names;
}

// The standard exceptions: they are made, copied, asked for their text and destroyed in a library.
bool is_of_exception(std::string_view name) {
  constexpr std::string_view classes[] = {
      "9exception",         "9bad_alloc",       "11logic_error",    "12domain_error",
      "16invalid_argument", "12length_error",   "12out_of_range",   "13runtime_error",
      "11range_error",      "14overflow_error", "15underflow_error"};
  for (const std::string_view c : classes) {
    for (const std::string_view begin : {"_ZNSt", "_ZNKSt"}) {
      if (!name.starts_with(begin) || !name.substr(begin.size()).starts_with(c)) continue;
      const std::string_view rest = name.substr(begin.size() + c.size());
      return rest.starts_with("C") || rest.starts_with("D") || rest.starts_with("4what");
    }
  }
  return false;
}

// Code that is the same for every thread, and looks at nothing of the program: tables of types,
// stack unwinding, what the linker defines.
bool may_stay(std::string_view name) {
  constexpr std::string_view known[] = {"_GLOBAL_OFFSET_TABLE_",
                                        "__dso_handle",
                                        "_Unwind_Resume",
                                        "__gxx_personality_v0",
                                        "__gcc_personality_v0",
                                        "stdout",
                                        "stderr",
                                        "_ZSt7nothrow",
                                        "__stack_chk_fail",
                                        "_ZNSt6thread6_StateD2Ev",
                                        "_ZNSt13__future_base12_Result_baseC2Ev",
                                        "_ZNSt13__future_base12_Result_baseD2Ev"};
  if (std::ranges::find(known, name) != std::end(known) || is_of_exception(name)) return true;
  if (name.starts_with("__start_") || name.starts_with("__stop_")) return true;  // of a section
  return name.starts_with("_ZTV") || name.starts_with("_ZTI") || name.starts_with("_ZTS");
}

std::string readable(const std::string& name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), &std::free);
  return status == 0 ? text.get() : name;
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

// An object of a library: no call can tell when it is used.
bool is_object(const std::string& name) {
  void* const at = ::dlsym(RTLD_DEFAULT, name.c_str());
  Dl_info info{};
  const ElfW(Sym)* symbol = nullptr;
  if (at == nullptr ||
      ::dladdr1(at, &info, const_cast<void**>(reinterpret_cast<const void**>(&symbol)),
                RTLD_DL_SYMENT) == 0) {
    return false;
  }
  return symbol != nullptr && (symbol->st_info & 0xF) == STT_OBJECT;
}

// The data that std::call_once() leaves for the function that is called once is the thread's own.
constexpr std::string_view once_source =
    "__thread void* ufence_lab_once_callable;\n"
    "__thread void (*ufence_lab_once_call)(void);\n"
    "void ufence_lab_once_proxy(void) { ufence_lab_once_call(); }\n";
constexpr std::string_view once_names =
    "_ZSt15__once_callable ufence_lab_once_callable\n"
    "_ZSt11__once_call ufence_lab_once_call\n"
    "__once_proxy ufence_lab_once_proxy\n";
bool is_of_once(std::string_view name) { return once_names.find(name) != std::string_view::npos; }

// The names that the objects call under other names now; what nobody knows says so when it is
// called.
bool write_names(const std::vector<std::string>& undefined, const std::string& map,
                 const std::string& stubs) {
  std::ofstream names(map);
  std::ofstream source(stubs);
  names << "main ufence_lab_main\n__tls_get_addr ufence_lab_c___tls_get_addr\n" << once_names;
  source << "extern void ufence_lab_unknown(const char*, const void*);\n" << once_source;
  std::size_t unknown = 0;
  for (const std::string& name : undefined) {
    const std::string ours = "ufence_lab_c_" + name;
    if (::dlsym(RTLD_DEFAULT, ours.c_str()) != nullptr) {
      if (name != "__tls_get_addr") names << name << ' ' << ours << '\n';
    } else if (!is_of_once(name) && !may_stay(name) && is_object(name)) {
      static_cast<void>(std::fprintf(stderr,
                                     "not explorable: the program uses %s, which the lab does not "
                                     "know\n",
                                     readable(name).c_str()));
      return false;
    } else if (is_of_once(name)) {
      continue;
    } else if (!may_stay(name) &&
               (!name.starts_with("__tsan_") || ::dlsym(RTLD_DEFAULT, name.c_str()) == nullptr)) {
      const std::string stub = "ufence_lab_unknown_" + std::to_string(++unknown);
      names << name << ' ' << stub << '\n';
      source << "void " << stub << "(void) { ufence_lab_unknown(" << quoted(readable(name))
             << ", __builtin_return_address(0)); }\n";
    }
  }
  names.close();
  source.close();
  return names.good() && source.good();
}

}  // namespace

scratch_folder::scratch_folder() {
  std::string name = std::filesystem::temp_directory_path() / "ufence-lab-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) {
    throw std::system_error(errno, std::generic_category(), "cannot make " + name);
  }
  path_ = std::move(name);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;
  alive_ = unique_fd(ends[1]);
  const unique_fd ended(ends[0]);
  remover_ = start_remover(path_, ended.get());
}

scratch_folder::~scratch_folder() {
  alive_ = {};
  if (remover_ > 0) wait_for(remover_);
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string build(const build_options& with, const scratch_folder& in) {
  const std::string base = in.path() + "/";
  std::vector<std::string> join{"ld", "-r", "-o", base + "joined.o"};
  const std::string header = base + "called.h";
  std::ofstream(header) << called_header;
  for (std::size_t i = 0; i < with.files.size(); ++i) {
    const std::string object = base + std::to_string(i) + ".o";
    if (!compile(with, with.files[i], header, object)) return {};
    join.push_back(object);
  }
  if (!run(join)) return {};
  const std::vector<std::string> undefined = undefined_symbols(base + "joined.o", base + "names");
  if (!write_names(undefined, base + "map", base + "stubs.c")) return {};
  if (!run({"objcopy", "--redefine-syms=" + base + "map", base + "joined.o", base + "program.o"}) ||
      !run({with.compiler, "-fPIC", "-O1", "-x", "c", "-c", base + "stubs.c", "-o",
            base + "stubs.o"}) ||
      !run({"objcopy", "--redefine-syms=" + base + "map", base + "stubs.o"})) {
    return {};
  }
  const std::string library = base + "program.so";
  // Its own functions are meant where a library has others of the same names.
  if (!run({with.compiler, "-shared", "-Wl,-Bsymbolic", "-Wl,-z,now", "-o", library,
            base + "program.o", base + "stubs.o"})) {
    return {};
  }
  return library;
}

}  // namespace ufence::lab::check
