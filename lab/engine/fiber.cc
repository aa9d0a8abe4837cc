#include "lab/engine/fiber.h"

#include <cstdint>
#include <cstdlib>

// ufence_lab_switch(save, next): pushes the registers that a call preserves, stores the stack
// pointer in *save, takes over `next` and pops. ufence_lab_start is where a new stack begins: it
// calls what start() left in two of these registers.
extern "C" void ufence_lab_switch(void** save, void* next) noexcept;
extern "C" void ufence_lab_start() noexcept;

#if defined(__x86_64__)

asm(R"(
  .text
  .p2align 4
  .globl ufence_lab_switch
  .hidden ufence_lab_switch
  .type ufence_lab_switch,@function
ufence_lab_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size ufence_lab_switch,.-ufence_lab_switch
  .globl ufence_lab_start
  .hidden ufence_lab_start
  .type ufence_lab_start,@function
ufence_lab_start:
  movq %r13, %rdi
  callq *%r12
  ud2
  .size ufence_lab_start,.-ufence_lab_start
)");

namespace {
constexpr std::size_t saved_words = 7;  // r15 r14 r13 r12 rbx rbp, return address
constexpr std::size_t entry_word = 3;
constexpr std::size_t argument_word = 2;
constexpr std::size_t return_word = 6;
}  // namespace

#elif defined(__aarch64__)

asm(R"(
  .text
  .p2align 4
  .globl ufence_lab_switch
  .hidden ufence_lab_switch
  .type ufence_lab_switch,%function
ufence_lab_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
  .size ufence_lab_switch,.-ufence_lab_switch
  .globl ufence_lab_start
  .hidden ufence_lab_start
  .type ufence_lab_start,%function
ufence_lab_start:
  mov x0, x20
  blr x19
  brk #1
  .size ufence_lab_start,.-ufence_lab_start
)");

namespace {
constexpr std::size_t saved_words = 20;
constexpr std::size_t entry_word = 0;
constexpr std::size_t argument_word = 1;
constexpr std::size_t return_word = 11;
}  // namespace

#else
#error "ufence_lab_switch is not written for this processor"
#endif

namespace ufence::lab {

void fiber::set_stack(void* memory, std::size_t bytes) noexcept {
  stack_ = static_cast<char*>(memory);
  stack_bytes_ = bytes;
}

void fiber::start(entry function, void* argument) noexcept {
  // ufence_lab_start finds the stack aligned to 16 when the words have been popped.
  const auto top = reinterpret_cast<std::uintptr_t>(stack_ + stack_bytes_) & ~std::uintptr_t{15};
  auto* words = reinterpret_cast<void**>(top) - saved_words;
  for (std::size_t i = 0; i < saved_words; ++i) words[i] = nullptr;
  words[entry_word] = reinterpret_cast<void*>(function);
  words[argument_word] = argument;
  words[return_word] = reinterpret_cast<void*>(&ufence_lab_start);
  own_ = words;
}

void fiber::resume() noexcept { ufence_lab_switch(&caller_, own_); }

void fiber::suspend() noexcept { ufence_lab_switch(&own_, caller_); }

}  // namespace ufence::lab
