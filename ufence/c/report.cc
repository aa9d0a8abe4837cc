#include "ufence/fence/report.h"

#include <array>

#include "ufence/c/convert.h"

using namespace ufence;
using namespace ufence::c;

namespace {

// Strings with a 0 at their end; what does not fit is cut off. Nothing is allocated for a report.
struct strings {
  std::array<char, 512> text;
  std::array<char, 128> kind;
  std::array<char, 128> driver_name;
  std::array<char, 128> timeline_name;
};

template <std::size_t Size>
const char* copied(std::string_view text, std::array<char, Size>& to) noexcept {
  copy_out(text, to.data(), to.size());
  return to.data();
}

void tell(const report& what, void* handler) noexcept {
  strings room;
  const ufence_report told{.size = sizeof told,
                           .kind = copied(to_string(what.kind), room.kind),
                           .text = copied(what.text, room.text),
                           .driver_name = copied(what.driver_name, room.driver_name),
                           .timeline_name = copied(what.timeline_name, room.timeline_name),
                           .context = what.context,
                           .seqno = what.seqno};
  const auto& to = *static_cast<const ufence_report_handler*>(handler);
  to.fn(&told, to.data);
}

}  // namespace

int ufence_set_report_handler(const ufence_report_handler* handler) {
  if (handler == nullptr) return negative(set_report_handler(nullptr, nullptr));
  if (handler->fn == nullptr) return -EINVAL;
  return negative(set_report_handler(&tell, const_cast<ufence_report_handler*>(handler)));
}
