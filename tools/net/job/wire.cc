#include "tools/net/job/wire.h"

#include <cstddef>

#include "tools/net/job/number.h"

namespace ufence::tool {
namespace {

// The first number of each kind of message: kind and version.
constexpr std::uint64_t item_magic = 0x7566'0000'0001'0001;
constexpr std::uint64_t claim_magic = 0x7566'0000'0002'0001;
constexpr std::uint64_t result_magic = 0x7566'0000'0003'0001;
constexpr std::uint64_t verdict_magic = 0x7566'0000'0004'0001;
constexpr std::size_t digest_bytes = 32;

class writer {
 public:
  explicit writer(std::uint64_t magic) { number(magic); }
  writer& number(std::uint64_t n) {
    append_number(bytes_, n);
    return *this;
  }
  writer& text(std::string_view t) {
    number(t.size());
    bytes_ += t;
    return *this;
  }
  [[nodiscard]] std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class reader {
 public:
  reader(std::string_view from, std::uint64_t magic) : from_(from) { is_good_ = number() == magic; }
  std::uint64_t number() {
    if (from_.size() < number_bytes) return fail();
    const std::uint64_t n = number_at(from_, 0);
    from_.remove_prefix(number_bytes);
    return n;
  }
  std::string text() {
    const std::uint64_t size = number();
    if (size > from_.size()) return fail(), std::string();
    std::string t(from_.substr(0, size));
    from_.remove_prefix(size);
    return t;
  }
  // All was there, and nothing is left.
  [[nodiscard]] bool is_exact() const { return is_good_ && from_.empty(); }

 private:
  std::uint64_t fail() {
    is_good_ = false;
    from_ = {};
    return 0;
  }
  std::string_view from_;
  bool is_good_ = true;
};

bool has_zero(const std::string& text) { return text.find('\0') != std::string::npos; }

}  // namespace

std::string to_bytes(const work_item& one) {
  return writer(item_magic)
      .number(one.run)
      .number(one.number)
      .number(one.attempt)
      .number(one.is_sent ? 1 : 0)
      .text(one.root)
      .text(one.path)
      .take();
}

std::string to_bytes(const work_claim& one) {
  return writer(claim_magic)
      .number(one.run)
      .number(one.number)
      .number(one.attempt)
      .text(one.point)
      .text(one.host)
      .number(one.blocks)
      .take();
}

std::string to_bytes(const work_result& one) {
  return writer(result_magic)
      .number(one.run)
      .number(one.number)
      .number(one.attempt)
      .text(one.point)
      .number(static_cast<std::uint64_t>(one.error))
      .number(one.bytes)
      .text(one.digest)
      .take();
}

std::string to_bytes(verdict one) {
  return writer(verdict_magic).number(static_cast<std::uint64_t>(one)).take();
}

std::optional<work_item> parse_item(std::string_view bytes) {
  reader from(bytes, item_magic);
  work_item one;
  one.run = from.number();
  one.number = from.number();
  one.attempt = from.number();
  one.is_sent = from.number() != 0;
  one.root = from.text();
  one.path = from.text();
  const bool makes_sense = from.is_exact() && !has_zero(one.root) && !has_zero(one.path) &&
                           one.root.starts_with('/') && !one.path.empty();
  return makes_sense ? std::optional(std::move(one)) : std::nullopt;
}

std::optional<work_claim> parse_claim(std::string_view bytes) {
  reader from(bytes, claim_magic);
  work_claim one;
  one.run = from.number();
  one.number = from.number();
  one.attempt = from.number();
  one.point = from.text();
  one.host = from.text();
  one.blocks = from.number();
  return from.is_exact() ? std::optional(std::move(one)) : std::nullopt;
}

std::optional<work_result> parse_result(std::string_view bytes) {
  reader from(bytes, result_magic);
  work_result one;
  one.run = from.number();
  one.number = from.number();
  one.attempt = from.number();
  one.point = from.text();
  one.error = static_cast<std::int64_t>(from.number());
  one.bytes = from.number();
  one.digest = from.text();
  const bool makes_sense =
      from.is_exact() && one.error <= 0 && one.error >= -4095 && one.digest.size() == digest_bytes;
  return makes_sense ? std::optional(std::move(one)) : std::nullopt;
}

std::optional<verdict> parse_verdict(std::string_view bytes) {
  reader from(bytes, verdict_magic);
  const std::uint64_t number = from.number();
  if (!from.is_exact() || number < 1 || number > 3) return std::nullopt;
  return static_cast<verdict>(number);
}

}  // namespace ufence::tool
