#include "lab/engine/html.h"

namespace ufence::lab {
namespace {

constexpr std::string_view before_title = R"(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>)";
constexpr std::string_view behind_title = R"(</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.4 sans-serif; margin: 1.5em; }
table { border-collapse: collapse; }
.scrolls { overflow-x: auto; }
th, td { border: 1px solid #8886; padding: .25em .5em; text-align: left; vertical-align: top; }
thead th { position: sticky; top: 0; background: Canvas; }
table.steps td { font: 13px/1.3 monospace; border-color: #8883; }
.place, .source { font-size: .85em; }
.place { color: #888; }
.source { white-space: pre; }
code { overflow-wrap: anywhere; }
)";

std::string cell(const trace_view::row& r) {
  std::string text = "<td>" + html_escaped(r.what);
  if (!r.place.starts_with("? ")) {
    text += "<div class=\"place\">" + html_escaped(r.place) + "</div>";
  }
  if (!r.source.empty()) text += "<div class=\"source\">" + html_escaped(r.source) + "</div>";
  return text + "</td>";
}

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string html_head(std::string_view title, std::string_view styles) {
  std::string page{before_title};
  page += html_escaped(title);
  page += behind_title;
  page += styles;
  return page + "</style>\n</head>\n<body>\n";
}

std::string html_columns(const trace_view& view) {
  std::string text = "<div class=\"scrolls\"><table class=\"steps\"><thead><tr><th></th>";
  for (const std::string& name : view.threads) text += "<th>" + html_escaped(name) + "</th>";
  text += "</tr></thead>\n<tbody>\n";
  for (const trace_view::row& r : view.rows) {
    text += "<tr><td>" + std::to_string(r.number) + "</td>";
    for (std::size_t i = 0; i < view.threads.size(); ++i) {
      text += i == r.column ? cell(r) : "<td></td>";
    }
    text += "</tr>\n";
  }
  return text + "</tbody></table></div>\n";
}

}  // namespace ufence::lab
