#include "lab/designs/program/html.h"

#include <fmt/format.h>

#include "lab/engine/columns.h"
#include "lab/engine/html.h"

namespace ufence::lab {
namespace {

constexpr std::string_view styles =
    R"(td a { color: inherit; text-decoration: none; display: block; }
td a:hover, td a:focus { text-decoration: underline; }
.safe { background: #2a72; }
.none { color: #888; }
.bad { background: #d335; font-weight: 600; }
.broken { background: #fc0; }
.cost { color: #888; font-size: .85em; font-weight: 400; }
section.cell { border-top: 2px solid #8886; margin-top: 1.5em; }
.found { font-weight: 600; }
)";

// Shows the cell that the address names; without scripts all of them are shown.
constexpr std::string_view foot = R"(<script>
const cells = document.querySelectorAll("section.cell");
function show() {
  const wanted = decodeURIComponent(location.hash.slice(1));
  for (const cell of cells) cell.hidden = cell.id !== wanted;
  const shown = document.getElementById(wanted);
  if (shown) shown.scrollIntoView();
}
addEventListener("hashchange", show);
show();
</script>
</body>
</html>
)";

std::string id_of(const answer& a) { return a.hazard + "." + a.design; }

std::string_view class_of(const answer& a) {
  if (a.result == verdict::safe) return "safe";
  if (a.result == verdict::not_applicable) return "none";
  return a.result == verdict::broken ? "broken" : "bad";
}

std::string cell(const answer& a) {
  if (a.result == verdict::not_applicable) return "<td class=\"none\">-</td>";
  std::string text = cell_text(a);
  const std::string letters = cost_letters(a.paid);
  if (!letters.empty()) text.erase(text.size() - letters.size() - 1);
  return fmt::format(
      "<td class=\"{}\"><a href=\"#{}\">{}{}</a></td>", class_of(a), html_escaped(id_of(a)),
      html_escaped(text),
      letters.empty() ? "" : fmt::format(" <span class=\"cost\">{}</span>", letters));
}

std::string matrix(const selection& what, const answer_table& table) {
  std::string text = "<div class=\"scrolls\"><table id=\"matrix\"><thead><tr><th>hazard</th>";
  for (const candidate& c : what.designs) {
    text += fmt::format("<th title=\"{}\">{}</th>", html_escaped(c.of->summary),
                        html_escaped(c.name()));
  }
  text += "</tr></thead>\n<tbody>\n";
  for (const hazard* h : what.hazards) {
    text += fmt::format("<tr><th title=\"{}\">{} {}</th>", html_escaped(h->story), h->id,
                        html_escaped(h->title));
    for (const candidate& c : what.designs) {
      const answer* a = table.find(h->id, c.name());
      text += a == nullptr ? "<td></td>" : cell(*a);
    }
    text += "</tr>\n";
  }
  return text + "</tbody></table></div>\n";
}

std::string barriers(const selection& what, const answer_table& table) {
  std::string text;
  for (const candidate& c : what.designs) {
    if (!what.leaves_out_barriers || c.without != 0 || c.of->barriers == 0) continue;
    text += fmt::format("<h2>{}: a barrier left out</h2>\n<table id=\"barriers\">\n", c.name());
    for (unsigned b = 1; b <= c.of->barriers; ++b) {
      std::string shown = shown_by(table, what, {c.of, b});
      // Which hazard shows it, only all of them can tell.
      const bool was_all_asked = what.hazards.size() == all_hazards().size();
      if (shown == "nothing here" && !was_all_asked)
        shown = "no hazard that was asked for shows it";
      text += fmt::format("<tr><th>B{}</th><td>{}</td></tr>\n", b, html_escaped(shown));
    }
    text += "</table>\n";
  }
  return text;
}

std::string section(const answer& a) {
  const hazard* h = find_hazard(a.hazard);
  std::string text = fmt::format(
      "<section class=\"cell\" id=\"{}\">\n<h2>{} {}, {}: {}</h2>\n<p>{}.</p>\n",
      html_escaped(id_of(a)), a.hazard, html_escaped(h == nullptr ? "" : h->title),
      html_escaped(a.design), to_string(a.result), html_escaped(h == nullptr ? "" : h->story));
  for (const std::string& name : cost_names(a.paid)) text += "<p>It pays: " + name + ".</p>\n";
  if (a.result == verdict::safe) {
    return text + fmt::format("<p>{} search: {} executions, nothing goes wrong.</p>\n</section>\n",
                              a.how, a.executions);
  }
  if (!a.steps.empty()) text += html_columns(view_of(a.steps));
  text += "<p class=\"found\">" + html_escaped(a.text) + "</p>\n";
  if (!a.trace.empty()) {
    text += fmt::format("<p>Repeat it: <code>ufence lab {} --design {} --replay {}</code></p>\n",
                        a.hazard, html_escaped(a.design), html_escaped(a.trace));
  }
  return text + "</section>\n";
}

}  // namespace

std::string html_page(const selection& what, const std::vector<answer>& answers) {
  const answer_table table(answers);
  std::string page = html_head("ufence lab: verdicts", styles);
  page += "<h1>Fence designs under a weak memory model</h1>\n";
  page +=
      "<p>A row for each hazard, a column for each design. A click on a cell shows the "
      "interleaving that goes wrong.</p>\n";
  page += matrix(what, table);
  page += "<ul>\n";
  for (const std::string& line : legend(answers)) page += "<li>" + html_escaped(line) + "</li>\n";
  page += "</ul>\n" + barriers(what, table);
  for (const hazard* h : what.hazards) {
    for (const candidate& c : what.designs) {
      const answer* a = table.find(h->id, c.name());
      if (a != nullptr && a->result != verdict::not_applicable) page += section(*a);
    }
  }
  return page + std::string(foot);
}

}  // namespace ufence::lab
