#include "lab/engine/columns.h"

#include <algorithm>

namespace ufence::lab {
namespace {

// "T1 writer" is "writer".
std::string short_name(const step& s) {
  const std::size_t space = s.thread_name.find(' ');
  return space == std::string::npos ? s.thread_name : s.thread_name.substr(space + 1);
}

bool is_about_threads(const step& s) {
  return s.what == "begins" || s.what == "ends" || s.what.starts_with("starts ") ||
         s.what.starts_with("joins ");
}

// As of a read that is repeated at once.
bool is_same(const step& a, const step& b) {
  return a.thread == b.thread && a.what == b.what && a.place == b.place;
}

// Lines but the first begin further right: a column's own lines begin where its steps do.
std::vector<std::string> wrapped(const std::string& text, std::size_t width) {
  const std::string further(2, ' ');
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::string begin = lines.empty() ? "" : further;
    const std::size_t room = width - begin.size();
    if (text.size() - at <= room) {
      lines.push_back(begin + text.substr(at));
      break;
    }
    std::size_t end = text.rfind(' ', at + room);
    if (end == std::string::npos || end <= at) end = at + room;
    lines.push_back(begin + text.substr(at, end - at));
    at = text[end] == ' ' ? end + 1 : end;
  }
  return lines;
}

// Of five columns, and two that are empty.
std::string in_margin(const std::string& number) {
  constexpr std::size_t margin = 5;
  return std::string(number.size() < margin ? margin - number.size() : 0, ' ') + number + "  ";
}

}  // namespace

trace_view view_of(const std::vector<step>& steps) {
  trace_view view;
  // The steps of others are between the start of the first of them and their last step.
  const auto of_others = [](const step& s) { return s.thread != 0; };
  const auto first = std::ranges::find_if(
      steps, [&](const step& s) { return of_others(s) || s.what.starts_with("starts "); });
  const auto last = std::find_if(steps.rbegin(), steps.rend(), of_others).base();
  if (std::ranges::none_of(steps, of_others)) {
    view.before = steps.size();
    return view;
  }
  view.before = static_cast<std::size_t>(first - steps.begin());
  std::vector<unsigned> numbers;
  const auto add = [&](std::vector<step>::const_iterator s) {
    auto at = std::ranges::find(numbers, s->thread);
    if (at == numbers.end()) {
      numbers.push_back(s->thread);
      view.threads.push_back(short_name(*s));
      at = numbers.end() - 1;
    }
    view.rows.push_back({static_cast<std::size_t>(s - steps.begin()) + 1,
                         static_cast<std::size_t>(at - numbers.begin()), s->what,
                         s->place + " " + s->function, s->source});
  };
  for (auto s = first; s != last; ++s) {
    if (!is_about_threads(*s) && (s == first || !is_same(*s, *(s - 1)))) add(s);
  }
  // The last step of main may be the one that went wrong.
  for (auto s = last; s != steps.end(); ++s) {
    if (!is_about_threads(*s)) add(s);
  }
  return view;
}

std::string text_columns(const trace_view& view, std::size_t width) {
  std::string text = in_margin("");
  for (const std::string& name : view.threads) {
    text += name;
    if (name.size() < width + 2) text.append(width + 2 - name.size(), ' ');
  }
  text.erase(text.find_last_not_of(' ') + 1);
  text += "\n";
  if (view.before != 0) {
    text += in_margin("") + "main sets the stage (" + std::to_string(view.before) + " steps)\n";
  }
  for (const trace_view::row& r : view.rows) {
    const std::string indent(r.column * (width + 2), ' ');
    bool is_first = true;
    for (const std::string& line : wrapped(r.what, width)) {
      text += in_margin(is_first ? std::to_string(r.number) : "") + indent + line + "\n";
      is_first = false;
    }
    if (!r.place.starts_with("? ")) text += in_margin("") + indent + "    " + r.place + "\n";
  }
  return text;
}

}  // namespace ufence::lab
