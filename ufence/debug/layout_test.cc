#include "ufence/debug/layout.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <link.h>

#include <cstring>
#include <span>
#include <string_view>

#include "ufence/fence/fence.h"
#include "ufence/fence/timeline.h"

// What the note is to lead to.
extern "C" ufence::debug::layout ufence_layout;

namespace ufence::debug {
namespace {

// The note of the library in this process, found as a stranger would, and its address.
const char* find_note(std::string_view name, std::uint32_t type) {
  struct search {
    std::string_view name;
    std::uint32_t type;
    const char* found = nullptr;
  } wanted{.name = name, .type = type};
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* context) {
        auto& s = *static_cast<search*>(context);
        for (const ElfW(Phdr) & part : std::span(info->dlpi_phdr, info->dlpi_phnum)) {
          if (part.p_type != PT_NOTE) continue;
          const char* at = reinterpret_cast<const char*>(info->dlpi_addr + part.p_vaddr);
          for (const char* const end = at + part.p_memsz; at < end;) {
            ElfW(Nhdr) head;
            std::memcpy(&head, at, sizeof head);
            const char* const its_name = at + sizeof head;
            const auto rounded = [](std::uint32_t n) { return (n + 3U) & ~3U; };
            if (head.n_type == s.type && std::string_view(its_name, head.n_namesz - 1) == s.name) {
              s.found = its_name + rounded(head.n_namesz);
            }
            at = its_name + rounded(head.n_namesz) + rounded(head.n_descsz);
          }
        }
        return s.found != nullptr ? 1 : 0;
      },
      &wanted);
  return wanted.found;
}

const layout& find_layout() {
  const char* const note = find_note(layout_note_name, layout_note_type);
  EXPECT_NE(note, nullptr);
  if (note == nullptr) return ufence_layout;
  layout_note what;
  std::memcpy(&what, note, sizeof what);
  EXPECT_EQ(what.version, layout_version);
  EXPECT_EQ(what.size, sizeof(layout));
  return *reinterpret_cast<const layout*>(note + offsetof(layout_note, distance) + what.distance);
}

template <class T>
T read_at(const void* object, layout_offset offset) {
  T value{};
  std::memcpy(&value, static_cast<const char*>(object) + offset, sizeof value);
  return value;
}

TEST(layout, is_found_by_the_note_and_tells_where_a_fence_has_what) {
  const layout& where = find_layout();
  ASSERT_EQ(&where, &ufence_layout);
  ASSERT_EQ(where.version, layout_version);
  ASSERT_EQ(where.size, sizeof(layout));
  auto issuer = *timeline_issuer::create({.driver_name = "a driver", .timeline_name = "a timeline"});
  const fence_ref f = *issuer.emit();
  EXPECT_EQ(where.fence.size, sizeof(fence));
  EXPECT_EQ(read_at<std::uint64_t>(f.get(), where.fence.seqno), f->seqno());
  EXPECT_EQ(read_at<std::uint32_t>(f.get(), where.fence.references), f->references_now());
  EXPECT_EQ(read_at<const timeline*>(f.get(), where.fence.owner), f->owner());
  const auto kind = read_at<std::uint8_t>(f.get(), where.fence.kind);
  EXPECT_EQ(kind & where.kind.ordered, where.kind.ordered);
  EXPECT_EQ(kind & where.kind.legacy, 0);
  EXPECT_EQ(read_at<std::uint64_t>(f->owner(), where.timeline.context), f->context());
  EXPECT_EQ(read_at<std::string_view>(f->owner(), where.timeline.name), "a timeline");
  EXPECT_EQ(read_at<std::string_view>(f->owner(), where.timeline.driver_name), "a driver");
  // The newest timeline is the first of the list.
  EXPECT_EQ(*reinterpret_cast<const timeline* const*>(where.timelines), f->owner());
  issuer.signal_up_to(1);
  EXPECT_EQ(read_at<std::uint64_t>(f->owner(), where.timeline.value), 1U);
}

}  // namespace
}  // namespace ufence::debug
