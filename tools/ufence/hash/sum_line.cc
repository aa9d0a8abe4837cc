#include "tools/ufence/hash/sum_line.h"

namespace ufence::tool {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

void append_hex(std::string& out, std::uint8_t byte) {
  out += hex_digits[byte >> 4U];
  out += hex_digits[byte & 15U];
}

// The letter that stands for a byte after a backslash, or 0.
char escape_letter(char c) {
  switch (c) {
    case '\\': return '\\';
    case '\n': return 'n';
    case '\r': return 'r';
    default: return 0;
  }
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7F;
}

}  // namespace

void append_sum_line(std::string& out, const sha256_digest& digest, std::string_view path) {
  const bool escaped = path.find_first_of("\\\n\r") != std::string_view::npos;
  if (escaped) out += '\\';
  for (const std::uint8_t byte : digest) append_hex(out, byte);
  out += "  ";
  if (!escaped) {
    out += path;
  } else {
    for (const char c : path) {
      const char letter = escape_letter(c);
      if (letter != 0) out += '\\';
      out += letter != 0 ? letter : c;
    }
  }
  out += '\n';
}

std::string printable(std::string_view path) {
  std::string out;
  out.reserve(path.size());
  for (const char c : path) {
    if (const char letter = escape_letter(c); letter != 0) {
      out += '\\';
      out += letter;
    } else if (is_control(c)) {
      out += "\\x";
      append_hex(out, static_cast<std::uint8_t>(c));
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace ufence::tool
