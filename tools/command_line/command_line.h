// How the programs of ufence tell their command lines: help in lines of 80 columns, one line for an
// error, and a description as JSON, from which man pages and completions are made.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json.hpp>

namespace ufence::tool {

/// Gives `app`, and what subcommands are added to it later, the help of this file.
/// In all texts '\n' ends a line; other lines are broken where they are too long.
void set_up_help(CLI::App& app);

/// The hidden option --describe, which prints described(app): how `ufence describe` asks other programs.
void add_describe_option(CLI::App& app);

/// name, text, footer; options: each with name, names, argument, text, range, default, and whether it is
/// positional, required, or may be given many times; subcommands. What is hidden is left out.
[[nodiscard]] nlohmann::ordered_json described(const CLI::App& app);

/// Prints the help that was asked for, or one line on stderr, which begins with "ufence: ".
/// @param app  whose parse() threw it
/// @return  0 it was no error, else 2
[[nodiscard]] int tell_parse_error(const CLI::App& app, const CLI::ParseError& error);

/// The work of main(): parses the command line, and acts. Exceptions are told on stderr.
/// @param failed  the exit status if act() throws something else than CLI::ParseError, by which it may
///                refuse a command line as well
/// @return  the exit status: what act() returned; 0 after help; 2 a wrong command line; `failed`
[[nodiscard]] int run_main(CLI::App& app, int argc, char** argv, int failed,
                           const std::function<int()>& act);

/// run_main() hears of the processes that it starts, also where its own parent has SIGCHLD ignored for
/// it. For the child that becomes a program of the user's: it has what that parent wanted.
void ignore_children_as_parent() noexcept;

}  // namespace ufence::tool
