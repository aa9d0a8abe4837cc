// The subcommands: each adds itself to the command line and says what to run.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

namespace ufence::tool {

/// Runs the chosen subcommand; returns the exit status.
using command = std::function<int()>;

/// The exit status for a command line that makes no sense.
inline constexpr int usage_error = 2;
/// Of `ufence lab`: there is no lab that could answer.
inline constexpr int lab_failed = 3;

/// `ufence run`: hashes trees through the driver modules.
void add_run_command(CLI::App& app, command& chosen);
/// `ufence sum`: the same without the demonstration, with arguments as sha256sum takes them.
void add_sum_command(CLI::App& app, command& chosen);
/// `ufence reader`: the reader process of `ufence run --via`.
void add_reader_command(CLI::App& app, command& chosen);
/// `ufence modules`: tells what module files are.
void add_modules_command(CLI::App& app, command& chosen);
/// `ufence lab`: explores fence designs, in the program ufence-lab; `ufence lab check`: programs
/// with threads, in ufence-lab-check; `ufence lab kernel`: kernel trees, in ufence-lab-source.
void add_lab_command(CLI::App& app, command& chosen);
/// `ufence net` and `ufence worker`: fences across hosts, in the program ufence-net.
void add_net_command(CLI::App& app, command& chosen);
/// `ufence uapi`: runs a program with the kernel's devices for fences emulated.
void add_uapi_command(CLI::App& app, command& chosen);
/// `ufence ls` and `ufence why`: look into processes that run.
void add_look_commands(CLI::App& app, command& chosen);
/// `ufence top`: the same again and again.
void add_top_command(CLI::App& app, command& chosen);
/// `ufence record` and `ufence report`: what happened to the fences of programs.
void add_record_command(CLI::App& app, command& chosen);
/// Records as `ufence record -o OUTPUT` does, but a child of this process that calls a function.
/// @return  the exit status of that; what the function returns, in the child
[[nodiscard]] int record_to(const std::string& output, const std::function<int()>& act);
/// `ufence describe`, hidden: all of this as JSON, for man pages and completions.
void add_describe_command(CLI::App& app, command& chosen);

// --- Programs of their own ---

/// A program that is installed beside this one.
[[nodiscard]] std::string program_beside(const std::string& name);
/// Goes on as that program, whose exit status is then this one's.
/// @return  `failed`, where it cannot be run: that and the remedy are told
[[nodiscard]] int become(const std::string& name, std::vector<std::string> arguments,
                         const char* remedy, int failed);
/// A subcommand whose whole command line is another program's.
void add_program_command(CLI::App& app, command& chosen, const char* name, const char* description,
                         int (*run)(std::vector<std::string> arguments));

}  // namespace ufence::tool
