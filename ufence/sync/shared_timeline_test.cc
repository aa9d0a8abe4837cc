#include "ufence/sync/shared_timeline.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <array>
#include <optional>
#include <random>
#include <vector>

#include "ufence/container/unwrap.h"
#include "ufence/fence/testing/without_futex_waitv.h"
#include "ufence/fence/wait.h"
#include "ufence/sync/shared_page.h"
#include "ufence/syncobj/testing/syncobj_support.h"

namespace ufence {
namespace {

using namespace testing;

shared_timeline_ref make_shared_timeline(bool peers_may_signal = false) {
  return shared_timeline::create({.name = "line", .peers_may_signal = peers_may_signal}).value();
}
shared_timeline_ref import_of(const shared_timeline_ref& line,
                              shared_access access = shared_access::wait) {
  const unique_fd fd = line->export_fd(access).value();
  return shared_timeline::import(fd.get()).value();
}
shared_timeline_ref peer_of(const shared_timeline_ref& line) {
  return import_of(line, shared_access::signal);
}

TEST(shared_timeline, rises_and_never_falls) {
  const shared_timeline_ref line =
      shared_timeline::create({.name = "line", .initial_point = 5}).value();
  const shared_timeline_ref other = import_of(line);
  EXPECT_EQ(line->value(), 5U);
  EXPECT_EQ(line->signal(9), no_error);
  EXPECT_EQ(line->signal(7), no_error);
  EXPECT_EQ(line->value(), 9U);
  EXPECT_EQ(other->value(), 9U);
  EXPECT_EQ(other->name(), "line");
  EXPECT_TRUE(line->is_owner());
  EXPECT_FALSE(other->is_owner());
  EXPECT_EQ(other->error(), 0);
  EXPECT_EQ(line->signal(shared_timeline::point_max), no_error);
  EXPECT_EQ(other->value(), shared_timeline::point_max);
}

TEST(shared_timeline, refuses_what_makes_no_sense) {
  constexpr std::uint64_t too_large = shared_timeline::point_max + 1;
  EXPECT_EQ(shared_timeline::create({.initial_point = too_large}).error(), errno_code(EINVAL));
  const shared_timeline_ref line = make_shared_timeline();
  EXPECT_EQ(line->signal(too_large), errno_code(EINVAL));
  EXPECT_EQ(line->wait(too_large, no_wait), errno_code(EINVAL));
  EXPECT_EQ(line->fence_at(too_large).error(), errno_code(EINVAL));
  EXPECT_EQ(shared_timeline::create({.name = std::string(200, 'x')}).value()->name(),
            std::string(63, 'x'));
}

TEST(shared_timeline, wakes_who_waits_for_a_point) {
  const shared_timeline_ref line = make_shared_timeline();
  const shared_timeline_ref other = import_of(line);
  EXPECT_EQ(other->wait(0), no_error);
  EXPECT_EQ(other->wait(1, no_wait), timed_out);
  EXPECT_EQ(other->wait(1, INT64_MIN), timed_out);
  EXPECT_EQ(other->wait(1, deadline_after(millisecond_ns)), timed_out);
  blocked_call<std::error_code> here([&] { return line->wait(3, patience()); });
  blocked_call<std::error_code> there([&] { return other->wait(3, patience()); });
  here.until_asleep();
  there.until_asleep();
  EXPECT_EQ(line->signal(2), no_error);
  EXPECT_EQ(other->wait(3, no_wait), timed_out);
  EXPECT_EQ(line->signal(4), no_error);
  EXPECT_EQ(here.get(), no_error);
  EXPECT_EQ(there.get(), no_error);
}

TEST(shared_timeline, waits_without_futex_waitv) {
  const shared_timeline_ref line = make_shared_timeline();
  const shared_timeline_ref other = import_of(line);
  bool is_refused = false;
  blocked_call<std::error_code> call([&] {
    is_refused = without_futex_waitv(ENOSYS);
    return other->wait(1, patience());
  });
  call.until_asleep();
  EXPECT_EQ(line->signal(1), no_error);
  EXPECT_EQ(call.get(), no_error);
  EXPECT_TRUE(is_refused);
}

TEST(shared_timeline, a_reader_can_not_write) {
  const shared_timeline_ref line = make_shared_timeline();
  const unique_fd fd = line->export_fd(shared_access::wait).value();
  const shared_timeline_ref other = shared_timeline::import(fd.get()).value();
  EXPECT_FALSE(other->may_signal());
  EXPECT_EQ(other->signal(1), errno_code(EPERM));
  EXPECT_EQ(other->fail(-EIO), errno_code(EPERM));
  EXPECT_EQ(line->export_fd(shared_access::signal).error(), errno_code(EPERM));
  EXPECT_EQ(other->export_fd(shared_access::signal).error(), errno_code(EPERM));
  const std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  const unique_fd again(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  for (const int of : {fd.get(), again.get()}) {
    const char byte = 1;
    EXPECT_LT(::write(of, &byte, 1), 0);
    EXPECT_LT(::ftruncate(of, 0), 0);
    EXPECT_EQ(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, of, 0), MAP_FAILED);
  }
  EXPECT_EQ(line->signal(1), no_error);
  EXPECT_EQ(other->value(), 1U);
}

TEST(shared_timeline, passes_on_what_it_was_given) {
  const shared_timeline_ref line = make_shared_timeline();
  const shared_timeline_ref third = import_of(import_of(line));
  EXPECT_EQ(line->signal(1), no_error);
  EXPECT_EQ(third->wait(1, no_wait), no_error);
  const shared_timeline_ref open_line = make_shared_timeline(true);
  EXPECT_FALSE(import_of(open_line)->may_signal()) << "a reader's descriptor";
  EXPECT_EQ(import_of(open_line)->export_fd(shared_access::signal).error(), errno_code(EPERM));
  EXPECT_EQ(peer_of(peer_of(open_line))->signal(2), no_error);
  EXPECT_EQ(open_line->value(), 2U);
}

TEST(shared_timeline, peers_signal_if_it_was_made_so) {
  const shared_timeline_ref line = make_shared_timeline(true);
  const shared_timeline_ref peer = peer_of(line);
  const shared_timeline_ref reader = import_of(line);
  const fence_ref in_owner = line->fence_at(2).value();
  const fence_ref in_reader = reader->fence_at(2).value();
  const fence_ref in_peer = peer->fence_at(2).value();
  EXPECT_EQ(peer->signal(1), no_error);
  EXPECT_EQ(line->signal(2), no_error);
  EXPECT_TRUE(in_owner->is_signaled()) << "by the signal itself";
  EXPECT_EQ(in_reader->wait(patience()), no_error);
  EXPECT_EQ(in_peer->wait(patience()), no_error);
  const fence_ref third = line->fence_at(3).value();
  EXPECT_EQ(peer->signal(3), no_error);
  EXPECT_EQ(third->wait(patience()), no_error) << "by the owner's thread";
  EXPECT_EQ(peer->fail(-EIO), no_error);
  EXPECT_EQ(line->error(), -EIO);
  EXPECT_EQ(line->wait(4), errno_code(EIO));
  EXPECT_EQ(line->signal(4), errno_code(ECANCELED));
}

TEST(shared_timeline, its_fences_are_signaled_with_their_points) {
  const shared_timeline_ref line = make_shared_timeline();
  for (const shared_timeline_ref& at : {line, import_of(line)}) {
    const std::uint64_t from = line->value();
    std::vector<fence_ref> fences;
    for (const std::uint64_t ahead : {5U, 1U, 3U, 3U, 2U, 9U}) {
      fences.push_back(at->fence_at(from + ahead).value());
      EXPECT_EQ(fences.back()->seqno(), from + ahead);
      EXPECT_EQ(fences.back()->context(), fences.front()->context());
      EXPECT_FALSE(fences.back()->is_signaled());
    }
    EXPECT_EQ(merge(fences).value(), fences.back()) << "the last point is enough";
    for (std::uint64_t ahead = 1; ahead <= 9; ++ahead) {
      EXPECT_EQ(line->signal(from + ahead), no_error);
      for (const fence_ref& f : fences) {
        if (f->seqno() <= from + ahead) {
          EXPECT_EQ(f->wait(patience()), no_error);
          EXPECT_EQ(f->status(), 1);
        } else {
          EXPECT_FALSE(f->is_signaled());
        }
      }
    }
    EXPECT_TRUE(at->fence_at(from).value()->is_signaled()) << "of a point that is reached";
  }
}

TEST(shared_timeline, regress_waits_for_a_point_and_for_its_fence_have_one_result) {
  for (const int end : {-EIO, 0}) {  // 0: dropped
    shared_timeline_ref line = make_shared_timeline();
    const shared_timeline_ref import = import_of(line);
    std::vector<fence_ref> points;
    for (std::uint64_t point = 1; point <= 3; ++point) {
      points.push_back(import->fence_at(point).value());
    }
    const auto agree = [&](std::int64_t deadline_ns) {
      for (std::uint64_t point = 1; point <= 3; ++point) {
        const std::error_code of_fence = points[point - 1]->wait_result(deadline_ns);
        EXPECT_EQ(import->wait(point, deadline_ns), of_fence) << point;
        EXPECT_EQ(import->fence_at(point).value()->wait_result(deadline_ns), of_fence) << point;
      }
    };
    agree(0);
    EXPECT_EQ(import->wait(1, no_wait), errno_code(ETIME));
    EXPECT_EQ(line->signal(2), no_error);
    EXPECT_EQ(points[1]->wait_result(), no_error);
    agree(0);
    if (end != 0) {
      EXPECT_EQ(line->fail(end), no_error);
    }
    line.reset();
    agree(no_deadline);
    EXPECT_EQ(import->wait(2), no_error) << "reached before the end";
    EXPECT_EQ(import->wait(3), errno_code(end != 0 ? -end : ECANCELED));
  }
}

TEST(shared_timeline, the_end_of_the_owner_ends_what_is_not_reached) {
  for (const int end : {0, -EIO, 5}) {
    shared_timeline_ref line = make_shared_timeline();
    const shared_timeline_ref other = import_of(line);
    const std::array fences = {line->fence_at(1).value(), line->fence_at(2).value(),
                               other->fence_at(1).value(), other->fence_at(2).value()};
    blocked_call<std::error_code> call([&] { return other->wait(2, patience()); });
    EXPECT_EQ(line->signal(1), no_error);
    call.until_asleep();
    const int right = end == 0 ? -ECANCELED : end < 0 ? end : -EINVAL;
    if (end == 0) {
      line = nullptr;
    } else {
      EXPECT_EQ(line->fail(end), no_error);
      EXPECT_EQ(line->fail(-ENODEV), errno_code(ECANCELED)) << "the first end counts";
      EXPECT_EQ(line->signal(2), errno_code(ECANCELED));
      EXPECT_EQ(line->error(), right);
    }
    EXPECT_EQ(call.get(), errno_code(-right));
    for (const fence_ref& f : fences) {
      EXPECT_EQ(f->wait(patience()), no_error);
      EXPECT_EQ(f->status(), f->seqno() == 1 ? 1 : right);
    }
    EXPECT_EQ(other->value(), 1U);
    EXPECT_EQ(other->error(), right);
    EXPECT_EQ(other->wait(1), no_error) << "what was reached stays so";
    EXPECT_EQ(other->fence_at(2).value()->status(), right);
    EXPECT_EQ(import_of(other)->error(), right) << "also for who comes later";
  }
}

TEST(shared_timeline, a_fence_outlives_the_import_it_is_of) {
  const shared_timeline_ref line = make_shared_timeline();
  fence_ref f = import_of(line)->fence_at(1).value();
  EXPECT_FALSE(f->is_signaled());
  EXPECT_EQ(line->signal(1), no_error);
  EXPECT_EQ(f->wait(patience()), no_error);
}

TEST(shared_timeline, callbacks_may_drop_it) {
  for (const bool of_owner : {false, true}) {
    shared_timeline_ref line = make_shared_timeline(true);
    shared_timeline_ref peer = peer_of(line);
    shared_timeline_ref& dropped = of_owner ? line : peer;
    const fence_ref f = dropped->fence_at(1).value();
    scripted_callback drops([&](class fence&) { dropped = nullptr; });
    ASSERT_EQ(f->add_callback(drops), no_error);
    EXPECT_EQ((of_owner ? peer : line)->signal(1), no_error);
    EXPECT_EQ(f->wait_settled(patience()), no_error);
    EXPECT_EQ(drops.runs(), 1);
    EXPECT_FALSE(dropped);
  }
}

TEST(shared_timeline, its_points_may_be_put_into_a_syncobj) {
  const shared_timeline_ref line = make_shared_timeline();
  const shared_timeline_ref other = import_of(line);
  const syncobj_ref object = syncobj::create().value();
  for (std::uint64_t point = 1; point <= 3; ++point) {
    EXPECT_EQ(object->add_point(other->fence_at(point).value(), point), no_error);
  }
  EXPECT_EQ(object->query(), result<std::uint64_t>(0));
  EXPECT_EQ(line->signal(2), no_error);
  EXPECT_EQ(wait(std::array{syncobj_point{object, 2}}, patience()), result<std::size_t>(0));
  EXPECT_EQ(object->query(), result<std::uint64_t>(2));
  EXPECT_EQ(line->signal(3), no_error);
  EXPECT_EQ(wait(std::array{syncobj_point{object, 3}}, patience()), result<std::size_t>(0));
}

// --- What is not a timeline ---

unique_fd page_file(std::size_t bytes, unsigned seals, std::uint32_t magic, std::uint32_t version) {
  unique_fd fd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::ftruncate(fd.get(), static_cast<off_t>(bytes)), 0);
  EXPECT_EQ(::pwrite(fd.get(), &magic, sizeof magic, 0), static_cast<ssize_t>(sizeof magic));
  EXPECT_EQ(::pwrite(fd.get(), &version, sizeof version, sizeof magic),
            static_cast<ssize_t>(sizeof version));
  EXPECT_EQ(::fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  return fd;
}

TEST(shared_timeline, imports_nothing_else) {
  constexpr std::uint32_t magic = shared_page::right_magic;
  constexpr std::uint32_t version = shared_page::right_version;
  constexpr unsigned seals = F_SEAL_SHRINK | F_SEAL_GROW;
  const auto refused = [](const unique_fd& fd) {
    return shared_timeline::import(fd.get()).error();
  };
  const std::error_code invalid = errno_code(EINVAL);
  EXPECT_EQ(shared_timeline::import(-1).error(), errno_code(EBADF));
  EXPECT_EQ(refused(unique_fd(::open("/dev/null", O_RDWR | O_CLOEXEC))), invalid);
  EXPECT_EQ(refused(unique_fd(::eventfd(0, EFD_CLOEXEC))), invalid);
  EXPECT_EQ(refused(page_file(4096, F_SEAL_GROW, magic, version)), invalid) << "could be cut off";
  EXPECT_EQ(refused(page_file(4095, seals, magic, version)), invalid);
  EXPECT_EQ(refused(page_file(8192, seals, magic, version)), invalid);
  EXPECT_EQ(refused(page_file(4096, seals, magic + 1, version)), invalid);
  EXPECT_EQ(refused(page_file(4096, seals, magic, version + 1)), errno_code(EPROTO));
  const unique_fd good = page_file(4096, seals, magic, version);
  const std::string path = "/proc/self/fd/" + std::to_string(good.get());
  EXPECT_EQ(refused(unique_fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC))), invalid);
  EXPECT_EQ(refused(unique_fd(::open(path.c_str(), O_PATH | O_CLOEXEC))), errno_code(EBADF));
  EXPECT_TRUE(shared_timeline::import(good.get()).has_value());
}

TEST(shared_timeline, any_content_of_the_page_is_borne) {
  const unique_fd fd =
      page_file(4096, F_SEAL_SHRINK, shared_page::right_magic, shared_page::right_version);
  void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  ASSERT_NE(memory, MAP_FAILED);
  auto* words = static_cast<std::uint32_t*>(memory);
  for (std::size_t i = 2; i < 18; ++i) words[i] = 0xFFFFFFFF;  // a name without an end
  const shared_timeline_ref line = shared_timeline::import(fd.get()).value();
  EXPECT_EQ(line->name().size(), 64U);
  std::mt19937 random(4711);
  for (int round = 0; round < 2000; ++round) {
    for (std::size_t i = 18; i < 64; ++i)
      words[i] = random() % 3 == 0 ? 0 : static_cast<std::uint32_t>(random());
    const int error = line->error();
    EXPECT_LE(error, 0);
    EXPECT_GE(error, -4095);
    EXPECT_LE(line->value(), shared_timeline::point_max);
    static_cast<void>(line->wait(line->value(), no_wait));
    const std::error_code waited = line->wait(shared_timeline::point_max, no_wait);
    EXPECT_TRUE(waited == timed_out || waited == errno_code(-error) || !waited);
    static_cast<void>(line->fence_at(random()).value());
    static_cast<void>(line->signal(random()));
  }
  // What is pending ends with the page.
  auto* page = static_cast<shared_page*>(memory);
  page->error.store(1, mo::relaxed);
  page->value.store(shared_page::closed, mo::relaxed);
  page->sequence.fetch_add(1, mo::relaxed);
  const fence_ref last = line->fence_at(shared_timeline::point_max).value();
  EXPECT_EQ(last->wait(patience()), no_error);
  EXPECT_EQ(last->status(), -EPROTO) << "an error that is none";
  ::munmap(memory, 4096);
}

TEST(shared_timeline, without_a_free_descriptor_is_refused) {
  const shared_timeline_ref line = make_shared_timeline(true);
  const unique_fd fd = line->export_fd(shared_access::wait).value();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const std::error_code created = shared_timeline::create().error();
  const std::error_code imported = shared_timeline::import(fd.get()).error();
  const std::error_code exported = line->export_fd(shared_access::wait).error();
  const std::error_code for_peers = line->export_fd(shared_access::signal).error();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  for (const std::error_code& e : {created, imported, exported, for_peers}) {
    EXPECT_EQ(e, errno_code(EMFILE));
  }
}

}  // namespace
}  // namespace ufence
