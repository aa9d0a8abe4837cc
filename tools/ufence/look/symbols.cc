#include "tools/ufence/look/symbols.h"

#include <cxxabi.h>
#include <elfutils/libdwfl.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <string>

namespace ufence::tool {
namespace {

class symbol_files {
 public:
  symbol_files() : dwfl_(::dwfl_begin(&callbacks)) {}

  std::string name_of(const debug::code_place& place) {
    Dwfl_Module* const file = open(place);
    GElf_Addr bias = 0;
    if (file == nullptr || ::dwfl_module_getelf(file, &bias) == nullptr) return {};
    const char* const name = ::dwfl_module_addrname(file, place.offset + bias);
    if (name == nullptr) return {};
    int failed = 0;
    const std::unique_ptr<char, void (*)(void*)> readable(abi::__cxa_demangle(name, nullptr, nullptr, &failed),
                                                          &std::free);
    return failed == 0 ? readable.get() : name;
  }

 private:
  static constexpr Dwfl_Callbacks callbacks{.find_elf = &::dwfl_build_id_find_elf,
                                            .find_debuginfo = &::dwfl_standard_find_debuginfo,
                                            .section_address = &::dwfl_offline_section_address,
                                            .debuginfo_path = nullptr};
  struct ends {
    void operator()(Dwfl* d) const noexcept { ::dwfl_end(d); }
  };

  // Null: there is none, or it is another one.
  Dwfl_Module* open(const debug::code_place& place) {
    if (dwfl_ == nullptr || place.module.empty()) return nullptr;
    const auto [known, is_new] = files_.try_emplace(place.module, nullptr);
    if (!is_new) return known->second;
    ::dwfl_report_begin_add(dwfl_.get());
    Dwfl_Module* const file =
        ::dwfl_report_elf(dwfl_.get(), place.module.c_str(), place.module.c_str(), -1, next_base_, false);
    ::dwfl_report_end(dwfl_.get(), nullptr, nullptr);
    next_base_ += GElf_Addr{1} << 36;
    if (file != nullptr && build_id_of(file) == place.build_id) known->second = file;
    return known->second;
  }

  static std::string build_id_of(Dwfl_Module* file) {
    const unsigned char* bytes = nullptr;
    GElf_Addr at = 0;
    const int size = ::dwfl_module_build_id(file, &bytes, &at);
    constexpr const char* digits = "0123456789abcdef";
    std::string text;
    for (int i = 0; i < size; ++i) {
      text += digits[bytes[i] >> 4];
      text += digits[bytes[i] & 15];
    }
    return text;
  }

  const std::unique_ptr<Dwfl, ends> dwfl_;
  std::map<std::string, Dwfl_Module*> files_;  // by path
  GElf_Addr next_base_ = GElf_Addr{1} << 36;
};

}  // namespace

void find_symbols(debug::snapshot& of) {
  symbol_files files;
  for (debug::node& n : of.nodes) {
    if (n.kind == debug::node_kind::thread) n.place.symbol = files.name_of(n.place);
  }
}

}  // namespace ufence::tool
