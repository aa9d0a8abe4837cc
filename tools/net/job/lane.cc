#include "tools/net/job/lane.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "tools/net/job/below.h"
#include "tools/net/job/blocks.h"
#include "tools/ufence/hash/sum_line.h"
#include "ufence/base/clock.h"

namespace ufence::tool {
namespace {

constexpr std::int64_t look_ns = 300'000'000;  // how soon it sees that it is over
constexpr std::int64_t answer_ns = 1'000'000'000;
constexpr std::int64_t block_ns = 500'000'000;
// A run that comes back hands out again what nobody has claimed.
constexpr std::int64_t claim_nobody_ns = 2'000'000'000;

result<std::size_t> read_some(int fd, std::span<std::byte> to) {
  std::size_t all = 0;
  while (all < to.size()) {
    const ssize_t n = ::read(fd, to.data() + all, to.size() - all);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failure(errno);
    if (n == 0) break;
    all += static_cast<std::size_t>(n);
  }
  return all;
}

}  // namespace

void lane::pause() const { std::this_thread::sleep_for(std::chrono::nanoseconds(look_ns)); }

std::string lane::run() {
  while (!is_over()) {
    if (!join()) {
      if (!problem_.empty()) return problem_;
      pause();
      continue;
    }
    const step next = take_one();
    if (next == step::give_up) return problem_;
    if (next == step::later && !is_over()) pause();
  }
  return {};
}

// A timeline that others believe, and the queue. The server may be away: then later.
bool lane::join() {
  if (!queue_) {
    std::string why;
    const std::error_code failed = all_.server.make_streams(&why);
    if (failed == errno_code(EPROTO)) {
      problem_ = "the server refuses the queues of the job: " + printable(why);
      return false;
    }
    auto made = failed ? std::unexpected(failed) : all_.server.read_work();
    if (made) queue_ = *std::move(made);
  }
  if (line_ && line_->ended()->is_signaled()) line_.reset();
  if (!line_) {
    std::uint32_t number = 0;
    if (::getentropy(&number, sizeof number) != 0) return false;
    const std::string name = fmt::format("worker {} {:08x}", all_.host, number);
    auto issuer = timeline_issuer::create({.driver_name = "ufence worker", .timeline_name = name});
    if (!issuer) return false;
    auto made = all_.link.export_timeline(*std::move(issuer), name);
    if (!made) {
      if (made.error() == errno_code(EACCES)) problem_ = made.error().message();
      return false;
    }
    line_ = *std::move(made);
    done_ = 0;
  }
  return line_ && queue_;
}

// A question is asked until there is an answer, or for so long nobody who could give one.
std::optional<verdict> lane::ask(std::uint64_t run, const std::string& question,
                                 std::int64_t nobody_ns) {
  const std::int64_t until = deadline_after(std::max(4 * all_.lease_ns, 4 * answer_ns));
  std::int64_t nobody_since_ns = INT64_MAX;
  while (!is_over() && now_ns() < until) {
    const auto answer = all_.server.ask(run, question, answer_ns);
    if (answer) return parse_verdict(*answer);
    const bool is_nobody = answer.error() == errno_code(ENOENT);
    nobody_since_ns = is_nobody ? std::min(nobody_since_ns, now_ns()) : INT64_MAX;
    if (!is_nobody) continue;
    // The run is over; or has lost its connection, and comes back.
    if (now_ns() - nobody_since_ns > nobody_ns) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return std::nullopt;
}

bool lane::open_root(const work_item& item) {
  const std::string& path = all_.folder.empty() ? item.root : all_.folder;
  if (item.is_sent || (root_ && root_path_ == path)) return true;
  root_.reset(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  root_path_ = path;
  if (root_) return true;
  problem_ = fmt::format("{}: {}; the folder has to be shared, or --input says where it is here",
                         path, std::strerror(errno));
  return false;
}

lane::step lane::take_one() {
  auto message = queue_->next(look_ns);
  if (!message) {
    if (message.error() == errno_code(ETIME) && !all_.server.take_reconnected()) return step::again;
    queue_.reset();
    return step::later;
  }
  const auto item = parse_item(message->bytes());
  if (!item) return message->accept(), step::again;
  if (!open_root(*item)) return message->give_back(), step::give_up;
  const auto point = line_->at(done_ + 1);
  if (!point) return step::give_up;
  work_claim claim{.run = item->run,
                   .number = item->number,
                   .attempt = item->attempt,
                   .point = point->to_string(),
                   .host = all_.host};
  std::optional<queue_reader> blocks;
  if (item->is_sent) {
    if (::getentropy(&claim.blocks, sizeof claim.blocks) != 0) return step::later;
    claim.blocks |= 1;
    auto made = all_.server.read_blocks(claim.blocks);
    if (!made) return message->give_back(), step::later;
    blocks = *std::move(made);
  }
  const auto said = ask(item->run, to_bytes(claim), claim_nobody_ns);
  if (said == verdict::fenced) {
    message->give_back();
    line_.reset();
    return step::again;
  }
  // Its answer may be lost: then the run waits for a point that is given up here.
  if (!said) line_.reset();
  message->accept();
  if (said != verdict::yes) return step::again;
  const auto what = do_it(*item, blocks);
  if (is_over()) return step::again;
  if (what && ask(item->run, to_bytes(*what), INT64_MAX) == verdict::yes) {
    line_->signal_up_to(++done_);
  } else {
    // Nobody believes this timeline any more; or it should not: its next point is given up.
    line_.reset();
  }
  return step::again;
}

// Nothing: its blocks did not come.
std::optional<work_result> lane::do_it(const work_item& item, std::optional<queue_reader>& blocks) {
  work_result what{.run = item.run,
                   .number = item.number,
                   .attempt = item.attempt,
                   .point = line_->at(done_ + 1)->to_string(),
                   .digest = std::string(32, '\0')};
  const auto sum = blocks ? hash_blocks(item, *blocks) : hash_file(item);
  if (!sum) {
    if (blocks && (sum.error() == errno_code(ESTALE) || sum.error() == errno_code(EPROTO)))
      return {};
    what.error = -sum.error().value();
    return what;
  }
  what.bytes = sum->bytes;
  what.digest = sum->digest;
  all_.files.fetch_add(1, mo::relaxed);
  all_.bytes.fetch_add(sum->bytes, mo::relaxed);
  return what;
}

result<block_hash::sum> lane::hash_file(const work_item& item) {
  const auto file = open_below(root_.get(), item.path);
  if (!file) return std::unexpected(file.error());
  return hash_.hash([&](std::span<std::byte> to) -> result<std::size_t> {
    if (is_over()) return failure(ECANCELED);
    return read_some(file->get(), to);
  });
}

result<block_hash::sum> lane::hash_blocks(const work_item& item, queue_reader& blocks) {
  block_order order;
  // Twice what it may take to notice that this worker, or the run, is gone.
  const std::int64_t patience_ns = std::max<std::int64_t>(8 * all_.lease_ns, 20'000'000'000);
  return hash_.hash([&](std::span<std::byte> to) -> result<std::size_t> {
    const std::int64_t until = deadline_after(patience_ns);
    while (!is_over()) {
      const auto message = blocks.next(block_ns);
      if (!message) {
        if (message.error() != errno_code(ETIME) || now_ns() > until) return failure(ESTALE);
        continue;
      }
      const auto taken = order.take(message->bytes(), item.attempt, to);
      message->accept();
      if (!taken) return std::unexpected(taken.error());
      if (*taken) return **taken;
    }
    return failure(ECANCELED);
  });
}

}  // namespace ufence::tool
