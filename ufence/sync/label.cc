#include "ufence/sync/label.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <span>

#include "ufence/io/random.h"

namespace ufence::detail {
namespace {

using key_words = std::array<std::uint32_t, 4>;

constexpr std::string_view prefix{"\0ufence/", 8};
constexpr std::string_view digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// --- Bytes as text, six bits a character: what lists sockets is made for text ---

constexpr std::size_t text_size(std::size_t bytes) noexcept { return bytes / 3 * 4; }

void append_text(socket_address& to, std::span<const std::uint8_t> bytes) noexcept {
  char* at = reinterpret_cast<char*>(&to.name) + to.size;
  for (std::size_t i = 0; i + 2 < bytes.size(); i += 3) {
    const unsigned three = static_cast<unsigned>(bytes[i]) << 16 |
                           static_cast<unsigned>(bytes[i + 1]) << 8 | bytes[i + 2];
    for (const int shift : {18, 12, 6, 0}) *at++ = digits[three >> shift & 63];
  }
  to.size += static_cast<socklen_t>(text_size(bytes.size()));
}

bool read_text(std::string_view text, std::span<std::uint8_t> bytes) noexcept {
  if (text.size() != text_size(bytes.size())) return false;
  for (std::size_t i = 0; i < text.size(); i += 4) {
    unsigned four = 0;
    for (std::size_t j = 0; j < 4; ++j) {
      const std::size_t digit = digits.find(text[i + j]);
      if (digit == digits.npos) return false;
      four = four << 6 | static_cast<unsigned>(digit);
    }
    for (std::size_t j = 0; j < 3; ++j) {
      bytes[i / 4 * 3 + j] = static_cast<std::uint8_t>(four >> (16 - 8 * j));
    }
  }
  return true;
}

socket_address begin_address(std::string_view text) noexcept {
  socket_address address;
  address.name.sun_family = AF_UNIX;
  address.size = offsetof(sockaddr_un, sun_path);
  std::memcpy(address.name.sun_path, text.data(), text.size());
  address.size += static_cast<socklen_t>(text.size());
  return address;
}

// --- Sealed: a nonce, and enciphered bytes ---

struct label_head {
  static constexpr std::uint32_t right_magic = 0x75666C02;
  std::uint32_t magic = right_magic;
  std::uint16_t driver_size : 5 = 0;
  std::uint16_t timeline_size : 5 = 0;
  std::uint16_t file_size : 5 = 0;
  std::uint16_t is_whole : 1 = 0;
  std::uint16_t has_default_name : 1 = 0;
  std::uint16_t seqno_wraps : 1 = 0;
  std::uint16_t is_zero : 14 = 0;
  std::uint64_t timeline = 0;
  std::uint64_t context = 0;
  std::uint64_t seqno = 0;
};
struct verdict_body {
  static constexpr std::uint32_t right_magic = 0x75667601;
  std::int64_t timestamp_ns = 0;
  std::uint32_t magic = right_magic;
  std::int32_t status = 0;
};
constexpr std::size_t verdict_bytes = sizeof(verdict_body) + 2;  // a multiple of 3, with the nonce

// 75 and 30 bytes: 100 and 40 characters, which there is room for behind the prefix.
constexpr std::size_t nonce_bytes = sizeof(cipher_nonce);
constexpr std::size_t label_bytes = 75 - nonce_bytes;
constexpr std::size_t names_bytes = label_bytes - sizeof(label_head);
static_assert(label_bytes <= cipher_block_bytes);
static_assert(prefix.size() + text_size(nonce_bytes + label_bytes) <= sizeof sockaddr_un::sun_path);

cipher_key whole_key(const key_words& key) noexcept {
  return {key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]};
}

template <std::size_t Size>
socket_address seal(std::array<std::uint8_t, Size> body, const key_words& key,
                    const cipher_nonce& nonce) noexcept {
  cipher_in_place(body, whole_key(key), nonce);
  std::array<std::uint8_t, nonce_bytes + Size> bytes;
  std::memcpy(bytes.data(), nonce.data(), nonce_bytes);
  std::copy(body.begin(), body.end(), bytes.begin() + nonce_bytes);
  socket_address address = begin_address(prefix);
  append_text(address, bytes);
  return address;
}

// A body that was not deciphered yet, and its nonce. False: it is none of this size.
template <std::size_t Size>
bool read_sealed(const socket_address& address, std::array<std::uint8_t, Size>& body,
                 cipher_nonce& nonce) noexcept {
  constexpr std::size_t head = offsetof(sockaddr_un, sun_path);
  if (address.size <= head || address.size > sizeof address.name ||
      address.name.sun_family != AF_UNIX) {
    return false;
  }
  std::string_view text(address.name.sun_path, address.size - head);
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  std::array<std::uint8_t, nonce_bytes + Size> bytes;
  if (!read_text(text, bytes)) return false;
  std::memcpy(nonce.data(), bytes.data(), nonce_bytes);
  std::copy(bytes.begin() + nonce_bytes, bytes.end(), body.begin());
  return true;
}

// Reads a label that was deciphered. False: not with the right key.
bool read_label(std::span<const std::uint8_t, label_bytes> body, opened_label& into) noexcept {
  label_head head;
  std::memcpy(&head, body.data(), sizeof head);
  const std::size_t names = std::size_t{head.driver_size} + head.timeline_size + head.file_size;
  if (head.magic != label_head::right_magic || head.is_zero != 0 || names > names_bytes) {
    return false;
  }
  const char* at = reinterpret_cast<const char*>(body.data()) + sizeof head;
  const auto take = [&at](sync_name& to, std::size_t size) {
    copy_name(to, {at, size});
    at += size;
  };
  into.is_readable = true;
  into.is_whole = head.is_whole != 0;
  into.seqno_wraps = head.seqno_wraps != 0;
  into.timeline = head.timeline;
  into.context = head.context;
  into.seqno = head.seqno;
  take(into.driver_name, head.driver_size);
  take(into.timeline_name, head.timeline_size);
  take(into.file_name, head.file_size);
  if (head.has_default_name != 0) {
    write_default_name(into.file_name, into.driver_name.data(), into.timeline_name.data(),
                       head.context, head.seqno);
  }
  return true;
}

key_words key_of(int file) noexcept {
  struct stat inode {};
  if (::fstat(file, &inode) != 0) return {};
  key_words key;
  const std::array<std::int64_t, 2> seconds = {inode.st_atim.tv_sec, inode.st_mtim.tv_sec};
  std::memcpy(key.data(), seconds.data(), sizeof key);
  return key;
}

template <int (*Which)(int, sockaddr*, socklen_t*)>
result<socket_address> address_by(int file) noexcept {
  socket_address address;
  address.size = sizeof address.name;
  if (Which(file, reinterpret_cast<sockaddr*>(&address.name), &address.size) != 0) {
    return failure(errno == EBADF ? EBADF : EINVAL);
  }
  return address;
}

int name_of_this_end(int fd, sockaddr* to, socklen_t* size) noexcept {
  return ::getsockname(fd, to, size);
}
int name_of_other_end(int fd, sockaddr* to, socklen_t* size) noexcept {
  return ::getpeername(fd, to, size);
}

}  // namespace

std::string_view cut_name(std::string_view name) noexcept {
  return name.substr(0, std::min(sync_name_max, name.find('\0')));
}

void copy_name(sync_name& to, std::string_view name) noexcept {
  to = {};
  name = cut_name(name);
  std::copy_n(name.data(), name.size(), to.data());
}

// --- Secrets ---

result<label_secret> label_secret::make() noexcept {
  label_secret secret;
  if (!fill_random(&secret, sizeof secret)) return failure(errno);
  return secret;
}

bool keep_key(int holders_end, const label_secret& secret) noexcept {
  std::array<std::int64_t, 2> seconds;
  std::memcpy(seconds.data(), secret.key.data(), sizeof seconds);
  const std::array<timespec, 2> times = {timespec{.tv_sec = seconds[0], .tv_nsec = 0},
                                         timespec{.tv_sec = seconds[1], .tv_nsec = 0}};
  return ::futimens(holders_end, times.data()) == 0;
}

// --- Writing ---

bool fits_label(const sync_label& what) noexcept {
  const std::size_t names = cut_name(what.driver_name).size() +
                            cut_name(what.timeline_name).size() +
                            (what.has_default_name ? 0 : cut_name(what.file_name).size());
  return what.is_one && names <= names_bytes;
}

void write_default_name(sync_name& to, std::string_view driver, std::string_view timeline,
                        std::uint64_t context, std::uint64_t seqno) noexcept {
  std::array<char, 48> numbers;
  char* at = std::to_chars(numbers.data(), numbers.data() + 24, context).ptr;
  *at++ = '-';
  at = std::to_chars(at, numbers.data() + numbers.size(), static_cast<std::int64_t>(seqno)).ptr;
  const std::string_view text(numbers.data(), static_cast<std::size_t>(at - numbers.data()));
  to = {};
  std::size_t used = 0;
  const auto put = [&](std::string_view part, std::size_t end) {
    const std::size_t n = std::min(part.size(), end - used);
    std::copy_n(part.data(), n, to.data() + used);
    used += n;
  };
  const std::size_t for_names = sync_name_max - std::min(sync_name_max, text.size());
  put(driver, for_names);
  put("-", for_names);
  put(timeline, for_names);
  put(text, sync_name_max);
}

socket_address write_label(const sync_label& what, const label_secret& secret) noexcept {
  const std::string_view timeline = cut_name(what.timeline_name);
  const std::string_view driver = cut_name(what.driver_name);
  const std::string_view file =
      what.has_default_name ? std::string_view() : cut_name(what.file_name);
  const std::size_t for_timeline =
      std::min(timeline.size(), names_bytes - std::min(driver.size(), names_bytes / 2));
  const std::size_t for_driver = std::min(driver.size(), names_bytes - for_timeline);
  const std::size_t for_file = std::min(file.size(), names_bytes - for_timeline - for_driver);
  label_head head;
  head.driver_size = static_cast<std::uint16_t>(for_driver & sync_name_max);
  head.timeline_size = static_cast<std::uint16_t>(for_timeline & sync_name_max);
  head.file_size = static_cast<std::uint16_t>(for_file & sync_name_max);
  head.is_whole = fits_label(what) ? 1 : 0;
  head.has_default_name = what.has_default_name ? 1 : 0;
  head.seqno_wraps = what.seqno_wraps ? 1 : 0;
  head.timeline = what.timeline;
  head.context = what.context;
  head.seqno = what.seqno;
  std::array<std::uint8_t, label_bytes> body{};
  std::memcpy(body.data(), &head, sizeof head);
  std::uint8_t* at = body.data() + sizeof head;
  at = std::copy_n(driver.data(), for_driver, at);
  at = std::copy_n(timeline.data(), for_timeline, at);
  std::copy_n(file.data(), for_file, at);
  return seal(body, secret.key, secret.of_label);
}

socket_address write_verdict(const sync_verdict& what, const label_secret& secret) noexcept {
  const verdict_body told{.timestamp_ns = what.timestamp_ns, .status = what.status};
  std::array<std::uint8_t, verdict_bytes> body{};
  std::memcpy(body.data(), &told, sizeof told);
  return seal(body, secret.key, secret.of_verdict);
}

socket_address write_plain_label(std::string_view name, const cipher_nonce& number) noexcept {
  socket_address address = begin_address(std::string_view("\0", 1));
  std::memcpy(reinterpret_cast<char*>(&address.name) + address.size, name.data(), name.size());
  address.size += static_cast<socklen_t>(name.size());
  std::array<std::uint8_t, nonce_bytes> bytes;
  std::memcpy(bytes.data(), number.data(), nonce_bytes);
  append_text(address, bytes);
  return address;
}

// --- Reading ---

std::optional<opened_label> open_label(const socket_address& address,
                                       const key_words& key) noexcept {
  std::array<std::uint8_t, label_bytes> sealed;
  cipher_nonce nonce;
  if (!read_sealed(address, sealed, nonce)) return std::nullopt;
  opened_label label;
  // Where no key could be left, nothing was hidden.
  for (const key_words& tried : {key, key_words{}}) {
    auto body = sealed;
    cipher_in_place(body, whole_key(tried), nonce);
    if (read_label(body, label)) break;
  }
  return label;
}

std::optional<sync_verdict> open_verdict(const socket_address& address,
                                         const key_words& key) noexcept {
  std::array<std::uint8_t, verdict_bytes> sealed;
  cipher_nonce nonce;
  if (!read_sealed(address, sealed, nonce)) return std::nullopt;
  for (const key_words& tried : {key, key_words{}}) {
    auto body = sealed;
    cipher_in_place(body, whole_key(tried), nonce);
    verdict_body told;
    std::memcpy(&told, body.data(), sizeof told);
    const bool is_status = told.status == 1 || (told.status < 0 && told.status >= -4095);
    if (told.magic == verdict_body::right_magic && is_status) {
      return sync_verdict{.status = told.status, .timestamp_ns = told.timestamp_ns};
    }
  }
  // Of an exporter that does not keep to this, or whose user has changed the key.
  return sync_verdict{.status = -EPROTO};
}

result<opened_label> label_of(int file) noexcept {
  const result<socket_address> address = address_by<name_of_this_end>(file);
  if (!address) return std::unexpected(address.error());
  const std::optional<opened_label> label = open_label(*address, key_of(file));
  if (!label) return failure(EINVAL);
  return *label;
}

std::optional<sync_verdict> verdict_of(int file) noexcept {
  const result<socket_address> address = address_by<name_of_other_end>(file);
  if (!address) return std::nullopt;
  return open_verdict(*address, key_of(file));
}

}  // namespace ufence::detail
