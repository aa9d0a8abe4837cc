#include "tools/command_line/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace ufence::tool {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct CommandLine : ::testing::Test {
  CommandLine() {
    set_up_help(app);
    CLI::App* const sub = app.add_subcommand("make", "Makes things\nAnd this is told once it is asked");
    sub->add_option("files", files, "What to make them of")->type_name("FILE...")->required();
    sub->add_option("--count", count, std::string(120, 'x') + " " + std::string(30, 'y'))
        ->type_name("N")
        ->check(CLI::Range(1, 9))
        ->capture_default_str();
    sub->add_flag("--secret", is_secret, "Not told")->group("");
    app.add_subcommand("hidden", "Not told")->group("");
  }

  CLI::App app{"A program", "prog"};
  std::vector<std::string> files;
  int count = 3;
  bool is_secret = false;
};

TEST_F(CommandLine, help_lists_commands_by_their_first_line) {
  const std::string help = app.help();
  EXPECT_THAT(help, HasSubstr("\nCommands:\n  make                    Makes things\n"));
  EXPECT_THAT(help, Not(HasSubstr("asked")));
  EXPECT_THAT(help, Not(HasSubstr("hidden")));
}

TEST_F(CommandLine, help_breaks_lines_but_not_words) {
  const std::string help = app.get_subcommand("make")->help("prog");
  EXPECT_THAT(help, HasSubstr("Usage: prog make [OPTIONS] FILE...\n"));
  EXPECT_THAT(help, HasSubstr("\n                          " + std::string(30, 'y') +
                              " (1 to 9) (default: 3)\n"));
  EXPECT_THAT(help, Not(HasSubstr("secret")));
}

TEST_F(CommandLine, description_has_what_help_has) {
  const nlohmann::ordered_json d = described(app);
  EXPECT_EQ(d["name"], "prog");
  ASSERT_EQ(d["subcommands"].size(), 1U);
  const auto& options = d["subcommands"][0]["options"];
  ASSERT_EQ(options.size(), 3U);
  EXPECT_EQ(options[0]["names"].dump(), R"(["-h","--help"])");
  EXPECT_FALSE(options[0].contains("argument"));
  EXPECT_EQ(options[1]["name"], "files");
  EXPECT_EQ(options[1]["argument"], "FILE...");
  EXPECT_TRUE(options[1]["positional"]);
  EXPECT_TRUE(options[1]["required"]);
  EXPECT_EQ(options[2]["argument"], "N");
  EXPECT_EQ(options[2]["range"], "1 to 9");
  EXPECT_EQ(options[2]["default"], "3");
}

TEST_F(CommandLine, errors_are_one_line_that_names_the_command) {
  ::testing::internal::CaptureStderr();
  try {
    app.parse("make x --count 10");
    ADD_FAILURE() << "10 is out of range";
  } catch (const CLI::ParseError& error) {
    EXPECT_EQ(tell_parse_error(app, error), 2);
  }
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, ::testing::MatchesRegex("ufence: --count: [^\n]*; see `prog make --help`\n"));
}

}  // namespace
}  // namespace ufence::tool
