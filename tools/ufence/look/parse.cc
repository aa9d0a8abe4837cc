#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

#include "tools/ufence/look/process_look.h"

namespace ufence::tool {

namespace {

using nlohmann::json;

debug::code_place place_of(const json& j) {
  return {.module = j.at("module"), .build_id = j.at("build_id"), .offset = j.at("offset"),
          .symbol = j.at("symbol")};
}

debug::timeline_info timeline_of(const json& j) {
  debug::timeline_info t{.context = j.at("context"),
                         .driver = j.at("driver"),
                         .name = j.at("name"),
                         .completed = j.at("completed"),
                         .emitted = j.at("emitted"),
                         .oldest_pending = j.at("oldest_pending"),
                         .pending = j.at("pending"),
                         .age_ns = j.at("age_ns"),
                         .is_closed = j.at("closed")};
  t.has_device_word = j.contains("device_seqno");
  if (t.has_device_word) t.device_seqno = j.at("device_seqno");
  t.made_by = place_of(j.at("made_by"));
  return t;
}

debug::cause cause_of(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(debug::cause::holds_lock); ++i) {
    const auto why = static_cast<debug::cause>(i);
    if (debug::name_of(why) == name) return why;
  }
  return debug::cause::none;
}

debug::node node_of(const json& j) {
  const std::string kind = j.at("kind");
  debug::node n{.kind = kind == "thread"    ? debug::node_kind::thread
                        : kind == "process" ? debug::node_kind::process
                                            : debug::node_kind::fence,
                .why = cause_of(j.at("cause").get<std::string>()),
                .process = j.at("process"),
                .id = j.at("id"),
                .context = j.at("context"),
                .seqno = j.at("seqno"),
                .type = j.at("type"),
                .driver = j.at("driver"),
                .timeline = j.at("timeline"),
                .state = j.at("state"),
                .error = j.at("error"),
                .age_ns = j.at("age_ns"),
                .place = place_of(j.at("place")),
                .note = j.at("note"),
                .callbacks = j.at("callbacks"),
                .source_context = j.at("source_context"),
                .export_fds = j.at("export_fds"),
                .export_key = j.at("export_key"),
                .is_enabled = j.at("enabled")};
  return n;
}

}  // namespace

std::variant<debug::snapshot, std::string> parse_snapshot(const std::string& text) try {
  json j = json::parse(text);
  if (j.is_array()) j = json(j.at(0));  // of `ufence ls`
  if (j.at("version") != 1) return "the process has a libufence that this program does not know";
  debug::snapshot s{.process = j.at("process"),
                    .program = j.at("program"),
                    .time_ns = j.at("time_ns"),
                    .duration_ns = j.at("duration_ns"),
                    .fences_alive = j.at("fences_alive"),
                    .fences_pending = j.at("fences_pending"),
                    .nodes_left_out = j.at("nodes_left_out"),
                    .torn = j.at("torn")};
  for (const json& t : j.at("timelines")) s.timelines.push_back(timeline_of(t));
  for (const json& n : j.at("nodes")) s.nodes.push_back(node_of(n));
  for (const json& e : j.at("edges")) {
    s.edges.push_back({.from = e.at("from"), .to = e.at("to"), .is_guess = e.at("guess"),
                       .how = e.at("how")});
  }
  for (const json& c : j.at("circles")) s.circles.push_back(c);
  for (const debug::edge& e : s.edges) {
    if (e.from >= s.nodes.size() || e.to >= s.nodes.size()) return "an edge leads nowhere";
  }
  for (const auto& circle : s.circles) {
    for (const std::uint32_t n : circle) {
      if (n >= s.nodes.size()) return "a circle leads nowhere";
    }
  }
  return s;
} catch (const json::exception& error) {
  return std::string("the answer makes no sense: ") + error.what();
}

}  // namespace ufence::tool
