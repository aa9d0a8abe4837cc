#include "lab/engine/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "lab/engine/text.h"

namespace ufence::lab {
namespace {

// One mapping: heaps, pages and stacks of all threads, then the tables about them. At a fixed
// address, so that a trace leads to the same addresses in another process.
constexpr std::uintptr_t wanted_address = 0x2000'0000'0000;
constexpr std::size_t heap_bytes = std::size_t{8} << 20;
constexpr std::size_t page_region_bytes = std::size_t{2} << 20;
constexpr std::size_t stack_stride = std::size_t{256} * 1024;  // the unused lower half is a guard
constexpr std::size_t granule = 16;
constexpr std::size_t word = 8;

constexpr std::size_t pages_offset = max_threads * heap_bytes;
constexpr std::size_t stacks_offset = pages_offset + max_threads * page_region_bytes;
constexpr std::size_t numbers_offset = stacks_offset + max_threads * stack_stride;
constexpr std::size_t numbers_bytes = max_threads * heap_bytes / granule * sizeof(std::uint16_t);
constexpr std::size_t poisoned_offset = numbers_offset + numbers_bytes;
constexpr std::size_t poisoned_bytes = max_threads * page_region_bytes / word;
constexpr std::size_t mapping_bytes = poisoned_offset + poisoned_bytes;

constexpr std::size_t blocks_max = 60000;
constexpr unsigned char fill_byte = 0xA5;

std::size_t round_up(std::size_t n, std::size_t to) noexcept { return (n + to - 1) / to * to; }

bool has_only(const void* at, std::size_t bytes, unsigned char wanted) noexcept {
  const auto* from = static_cast<const unsigned char*>(at);
  return std::all_of(from, from + bytes, [wanted](unsigned char c) { return c == wanted; });
}

// " at fence.cc:120"; operator new and delete do not know where they are called.
std::string at_place(const std::source_location& where) {
  return where.line() == 0 ? "" : " at " + place_name(where);
}
std::string made(const std::source_location& where) {
  return where.line() == 0 ? "" : " made" + at_place(where);
}
std::string by(unsigned thread, const std::source_location& where) {
  return thread_name(thread) + at_place(where);
}

}  // namespace

memory::memory() {
  void* at = ::mmap(reinterpret_cast<void*>(wanted_address), mapping_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    std::perror("ufence: no address space for a scenario's memory");
    std::abort();
  }
  mapping_ = static_cast<char*>(at);
  for (unsigned t = 0; t < max_threads; ++t) {
    heaps_[t].begin = mapping_ + t * heap_bytes;
    pages_[t].begin = mapping_ + pages_offset + t * page_region_bytes;
    ::mprotect(mapping_ + stacks_offset + t * stack_stride, stack_stride - stack_bytes, PROT_NONE);
  }
  block_numbers_ = reinterpret_cast<std::uint16_t*>(mapping_ + numbers_offset);
  poisoned_ = mapping_ + poisoned_offset;
  clear();
}

memory::~memory() { ::munmap(mapping_, mapping_bytes); }

void memory::clear() noexcept {
  for (unsigned t = 0; t < max_threads; ++t) {
    heaps_[t].used = pages_[t].used = 0;
    heaps_[t].prelude.clear();
    pages_[t].prelude.clear();
    prelude_poisoned_[t].clear();
  }
  std::memset(poisoned_, 0, poisoned_bytes);
  blocks_.clear();
  prelude_blocks_.clear();
  begin_execution();
}

void memory::keep_prelude() {
  prelude_blocks_ = blocks_;
  for (block& b : prelude_blocks_) {
    b.accessed = {};
    b.may_stay = b.is_of_prelude = true;
  }
  for (unsigned t = 0; t < max_threads; ++t) {
    heaps_[t].prelude.assign(heaps_[t].begin, heaps_[t].begin + heaps_[t].used);
    pages_[t].prelude.assign(pages_[t].begin, pages_[t].begin + pages_[t].used);
    const char* marks = poisoned_ + t * page_region_bytes / word;
    prelude_poisoned_[t].assign(marks, marks + pages_[t].used / word);
  }
}

void memory::begin_execution() noexcept {
  blocks_.assign(prelude_blocks_.begin(), prelude_blocks_.end());
  for (unsigned t = 0; t < max_threads; ++t) {
    for (region* r : {&heaps_[t], &pages_[t]}) {
      if (!r->prelude.empty()) std::memcpy(r->begin, r->prelude.data(), r->prelude.size());
    }
    char* marks = poisoned_ + t * page_region_bytes / word;
    const std::size_t kept = prelude_poisoned_[t].size();
    if (kept != 0) std::memcpy(marks, prelude_poisoned_[t].data(), kept);
    if (pages_[t].used / word > kept) std::memset(marks + kept, 0, pages_[t].used / word - kept);
    heaps_[t].used = heaps_[t].prelude.size();
    pages_[t].used = pages_[t].prelude.size();
    stack_pointers_[t] = nullptr;
  }
  plain_.next_execution();
}

// --- The heap ---

bool memory::owns(const void* at) const noexcept {
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(at) - mapping_);
  return offset < numbers_offset;
}

void* memory::allocate(const actor& who, std::size_t bytes, std::size_t alignment, bool may_stay) {
  region& heap = heaps_[who.thread];
  // A granule between blocks belongs to none.
  const std::size_t begin =
      round_up(heap.used + granule, alignment < granule ? granule : alignment);
  const std::size_t end = round_up(begin + (bytes == 0 ? 1 : bytes), granule);
  if (end > heap_bytes || blocks_.size() >= blocks_max) return nullptr;
  std::uint16_t* numbers =
      block_numbers_ + static_cast<std::size_t>(heap.begin - mapping_) / granule;
  for (std::size_t g = heap.used / granule; g < begin / granule; ++g) numbers[g] = 0;
  block b;
  b.begin = heap.begin + begin;
  b.bytes = bytes;
  b.made = who.where;
  b.made_at = who.now();
  b.made_by = static_cast<std::uint8_t>(who.thread);
  b.may_stay = may_stay;
  blocks_.push_back(b);
  for (std::size_t g = begin / granule; g < end / granule; ++g) {
    numbers[g] = static_cast<std::uint16_t>(blocks_.size());
  }
  heap.used = end;
  std::memset(b.begin, fill_byte, bytes);
  return b.begin;
}

const memory::block* memory::block_of(const void* at) const noexcept {
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(at) - mapping_);
  if (offset >= pages_offset) return nullptr;
  const region& heap = heaps_[offset / heap_bytes];
  if (offset % heap_bytes >= heap.used) return nullptr;
  const std::uint16_t number = block_numbers_[offset / granule];
  return number == 0 ? nullptr : &blocks_[number - 1U];
}

problem memory::free(const actor& who, void* at) {
  block* b = block_of(at);
  if (b == nullptr || b->begin != at) {
    return {failure::bad_free, by(who.thread, who.where) + " frees what is no block"};
  }
  if (b->is_free) {
    return {failure::double_free, "a block" + made(b->made) + " was freed" + at_place(b->freed) +
                                      " and is freed again by " + by(who.thread, who.where)};
  }
  if (!who.follows(b->made_by, b->made_at)) {
    return {failure::data_race, by(who.thread, who.where) + " frees a block made by " +
                                    by(b->made_by, b->made) + " without being ordered after that"};
  }
  for (unsigned t = 0; t < max_threads; ++t) {
    if (b->accessed[t] != 0 && !who.follows(t, static_cast<std::uint16_t>(b->accessed[t] - 1))) {
      return {failure::use_after_free,
              "a block" + made(b->made) + " is freed by " + by(who.thread, who.where) + " while " +
                  thread_name(t) + " may still use it: nothing orders its last access before"};
    }
  }
  b->is_free = true;
  b->freed = who.where;
  b->freed_by = static_cast<std::uint8_t>(who.thread);
  return {};
}

void* memory::freed_block(unsigned thread, std::size_t bytes) noexcept {
  for (auto b = blocks_.rbegin(); b != blocks_.rend(); ++b) {
    if (b->is_free && b->freed_by == thread &&
        round_up(b->bytes, granule) == round_up(bytes, granule)) {
      return b->begin;
    }
  }
  return nullptr;
}

void memory::allocate_again(const actor& who, void* freed, std::size_t bytes) noexcept {
  block& b = *block_of(freed);
  b.bytes = bytes;
  b.made = who.where;
  b.accessed = {};
  b.made_at = who.now();
  b.made_by = static_cast<std::uint8_t>(who.thread);
  b.is_free = b.may_stay = b.is_of_prelude = false;
  std::memset(b.begin, fill_byte, bytes);
}

std::size_t memory::bytes_of(const void* at) noexcept {
  const block* b = block_of(at);
  return b == nullptr ? 0 : b->bytes;
}

bool memory::is_as_allocated(const void* at, std::size_t bytes) noexcept {
  const block* b = block_of(at);
  if (b == nullptr || b->is_of_prelude || b->may_stay) return false;
  return has_only(at, bytes, fill_byte);
}

bool memory::is_unwritten_local(const void* at, std::size_t bytes) const noexcept {
  constexpr std::size_t fewest = 4;
  constexpr unsigned char of_gcc = 0xFE;
  constexpr unsigned char of_clang = 0xAA;
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(at) - mapping_);
  if (bytes < fewest || offset < stacks_offset || offset >= numbers_offset) return false;
  return has_only(at, bytes, of_gcc) || has_only(at, bytes, of_clang);
}

std::string memory::block_name(std::uintptr_t at) const {
  const block* b = block_of(reinterpret_cast<const void*>(at));
  if (b == nullptr) return {};
  const auto offset = at - reinterpret_cast<std::uintptr_t>(b->begin);
  return "block of " + place_name(b->made) + (offset == 0 ? "" : " +" + std::to_string(offset));
}

problem memory::touch_stack(const actor& who, const void* at) const {
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(at) - mapping_);
  const auto owner = static_cast<unsigned>((offset - stacks_offset) / stack_stride);
  if (owner == who.thread || stack_pointers_[owner] == nullptr || at >= stack_pointers_[owner]) {
    return {};
  }
  return {failure::use_after_free, by(who.thread, who.where) + " uses a stack frame of " +
                                       thread_name(owner) + " that has returned"};
}

problem memory::touch(const actor& who, const void* at, std::size_t bytes) {
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(at) - mapping_);
  if (offset >= numbers_offset) return {};  // static storage
  if (offset >= stacks_offset) return touch_stack(who, at);
  if (offset >= pages_offset) {
    if (!is_poisoned(at)) return {};
    const plain_note* note = plain_.look(reinterpret_cast<std::uintptr_t>(at));
    return {failure::use_after_free,
            by(who.thread, who.where) + " uses memory that was given back" +
                (note == nullptr ? std::string() : " by " + by(note->writer, note->written))};
  }
  block* b = block_of(at);
  if (b == nullptr || static_cast<const char*>(at) + bytes > b->begin + b->bytes) {
    return {failure::use_after_free, by(who.thread, who.where) + " uses memory of no block"};
  }
  if (b->is_free) {
    return {failure::use_after_free, by(who.thread, who.where) + " uses a block" + made(b->made) +
                                         " after it was freed" + at_place(b->freed)};
  }
  if (!who.follows(b->made_by, b->made_at)) {
    return {failure::data_race, by(who.thread, who.where) + " uses a block made by " +
                                    by(b->made_by, b->made) + " without being ordered after that"};
  }
  b->accessed[who.thread] = static_cast<std::uint16_t>(who.now() + 1);
  return {};
}

problem memory::touch_atomic(const actor& who, const void* at, std::size_t bytes) {
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(at) - mapping_);
  const bool is_in_pages = offset >= pages_offset && offset < stacks_offset;
  // For poison() and unpoison(), which count as writes, each atomic access is a read.
  return is_in_pages ? read(who, at, bytes) : touch(who, at, bytes);
}

problem memory::find_leak(std::span<const std::span<char>> keeps) const {
  std::vector<const block*> open;
  std::vector<bool> is_kept(blocks_.size());
  const auto look = [&](const char* begin, std::size_t bytes) {
    for (std::size_t i = 0; i + sizeof(void*) <= bytes; i += sizeof(void*)) {
      void* to = nullptr;
      std::memcpy(static_cast<void*>(&to), begin + i, sizeof to);
      const block* b = block_of(to);
      if (b == nullptr || is_kept[static_cast<std::size_t>(b - blocks_.data())]) continue;
      is_kept[static_cast<std::size_t>(b - blocks_.data())] = true;
      open.push_back(b);
    }
  };
  const auto may_be_lost = [](const block& b) { return !b.is_free && !b.may_stay; };
  if (!keeps.empty() && std::ranges::any_of(blocks_, may_be_lost)) {
    for (const std::span<char> r : keeps) look(r.data(), r.size());
    for (const block& b : blocks_) {
      if (b.may_stay && !b.is_free) look(b.begin, b.bytes);
    }
    while (!open.empty()) {
      const block* b = open.back();
      open.pop_back();
      look(b->begin, b->bytes);
    }
  }
  for (const block& b : blocks_) {
    if (!may_be_lost(b) || is_kept[static_cast<std::size_t>(&b - blocks_.data())]) continue;
    return {failure::leak, "a block of " + std::to_string(b.bytes) + " bytes made by " +
                               by(b.made_by, b.made) + " is never freed"};
  }
  return {};
}

// --- Pages ---

void* memory::allocate_pages(const actor& who, std::size_t bytes) {
  region& pages = pages_[who.thread];
  const std::size_t rounded = round_up(bytes, 4096);
  const std::size_t begin = round_up(pages.used, rounded);
  if (begin + rounded > page_region_bytes) return nullptr;
  char* at = pages.begin + begin;
  pages.used = begin + rounded;
  std::memset(at, 0, rounded);
  return at;
}

bool memory::is_poisoned(const void* at) const noexcept {
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(at) - mapping_);
  return poisoned_[(offset - pages_offset) / word] != 0;
}

void memory::mark(const void* at, std::size_t bytes, bool poisoned) noexcept {
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(at) - mapping_);
  if (offset < pages_offset || offset >= stacks_offset) return;
  std::memset(poisoned_ + (offset - pages_offset) / word, poisoned ? 1 : 0, bytes / word);
}

problem memory::write_range(const actor& who, const void* at, std::size_t bytes) {
  constexpr std::size_t smallest = 4;
  for (std::size_t i = 0; i < bytes; i += smallest) {
    if (problem p = write(who, static_cast<const char*>(at) + i, smallest)) return p;
  }
  return {};
}

problem memory::poison(const actor& who, const void* at, std::size_t bytes) {
  problem p = write_range(who, at, bytes);
  if (p)
    p = {failure::use_after_free, "memory is given back while it may still be used: " + p.text};
  mark(at, bytes, true);
  return p;
}

problem memory::unpoison(const actor& who, const void* at, std::size_t bytes) {
  mark(at, bytes, false);
  return write_range(who, at, bytes);
}

// --- Plain data ---

problem memory::read(const actor& who, const void* at, std::size_t bytes) {
  if (problem p = touch(who, at, bytes)) return p;
  bool is_new = false;
  plain_note& note = plain_.at(reinterpret_cast<std::uintptr_t>(at), is_new);
  if (!who.follows(note.writer, note.write_time)) {
    return {failure::data_race, by(who.thread, who.where) + " reads what " +
                                    by(note.writer, note.written) +
                                    " writes, and nothing orders the two"};
  }
  note.reads[who.thread] = static_cast<std::uint16_t>(who.now() + 1);
  note.read = who.where;
  return {};
}

problem memory::write(const actor& who, const void* at, std::size_t bytes) {
  if (problem p = touch(who, at, bytes)) return p;
  bool is_new = false;
  plain_note& note = plain_.at(reinterpret_cast<std::uintptr_t>(at), is_new);
  if (!who.follows(note.writer, note.write_time)) {
    return {failure::data_race, by(who.thread, who.where) + " and " +
                                    by(note.writer, note.written) +
                                    " write the same, and nothing orders the two"};
  }
  for (unsigned t = 0; t < max_threads; ++t) {
    if (note.reads[t] != 0 && !who.follows(t, static_cast<std::uint16_t>(note.reads[t] - 1))) {
      return {failure::data_race, by(who.thread, who.where) + " writes what " + by(t, note.read) +
                                      " reads, and nothing orders the two"};
    }
  }
  note.writer = static_cast<std::uint8_t>(who.thread);
  note.write_time = who.now();
  note.written = who.where;
  return {};
}

void memory::clear_stack(unsigned thread) noexcept {
  constexpr std::size_t used = 4096;
  std::memset(stack(thread) + stack_bytes - used, 0, used);
}

void memory::append_to(std::vector<char>& all) const {
  for (const auto* regions : {&heaps_, &pages_}) {
    for (const region& r : *regions) all.insert(all.end(), r.begin, r.begin + r.used);
  }
}

bool memory::is_below_a_stack(const void* at) const noexcept {
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(at) - mapping_);
  return offset >= stacks_offset && offset < numbers_offset &&
         (offset - stacks_offset) % stack_stride < stack_stride - stack_bytes;
}

char* memory::stack(unsigned thread) const noexcept {
  return mapping_ + stacks_offset + thread * stack_stride + (stack_stride - stack_bytes);
}

}  // namespace ufence::lab
