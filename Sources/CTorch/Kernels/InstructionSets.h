// Includes the file that the macro KERNELS names once for each instruction set, each time in a namespace of its own;
// `KERNEL(name)` is the function of that name for the machine at hand.

#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "InstructionSet.h"

// Functions that pass vectors are inlined, so no calling convention is at stake.
#pragma clang diagnostic ignored "-Wpsabi"

namespace {

constexpr int64_t lanes = 16;

#if defined(__x86_64__)

#define ANY_REGISTER(v) asm volatile("" : "+v"(v))

// Keeps a broadcast value in a register: as an operand in memory it is read anew by each instruction, at a third of the
// speed (measured on Zen 5).
#define IN_REGISTER(v) asm volatile("" : "+v"(v))
#define HAS_FUSED 1
#define REGISTERS 32
#define REGISTER_BYTES 64

// The v4 level and the dot products of bfloat16 and int8 that came after it.
#define HAS_BFLOAT16_DOT_PRODUCTS 1
#define HAS_INT8_DOT_PRODUCTS 1
#pragma clang attribute push( \
    __attribute__((target("arch=x86-64-v4,avx512bf16,avx512vnni"), min_vector_width(512))), apply_to = function)
namespace v4_dot {
#include "Vector.inc"
#include KERNELS
}  // namespace v4_dot
#pragma clang attribute pop
#undef INLINED
#undef IN_LINE
#undef HAS_BFLOAT16_DOT_PRODUCTS
#undef HAS_INT8_DOT_PRODUCTS

#define HAS_BFLOAT16_DOT_PRODUCTS 0
#define HAS_INT8_DOT_PRODUCTS 0
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"), min_vector_width(512))), apply_to = function)
namespace v4 {
#include "Vector.inc"
#include KERNELS
}  // namespace v4
#pragma clang attribute pop
#undef INLINED
#undef IN_LINE
#undef HAS_INT8_DOT_PRODUCTS

#undef IN_REGISTER
#undef REGISTERS
#undef REGISTER_BYTES
#define IN_REGISTER(v)
#define REGISTERS 16
#define REGISTER_BYTES 32

#define HAS_INT8_DOT_PRODUCTS 1
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3,avxvnni"))), apply_to = function)
namespace v3_dot {
#include "Vector.inc"
#include KERNELS
}  // namespace v3_dot
#pragma clang attribute pop
#undef INLINED
#undef IN_LINE
#undef HAS_INT8_DOT_PRODUCTS

#define HAS_INT8_DOT_PRODUCTS 0
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
namespace v3 {
#include "Vector.inc"
#include KERNELS
}  // namespace v3
#pragma clang attribute pop
#undef INLINED
#undef IN_LINE

#undef HAS_FUSED
#undef REGISTER_BYTES
#define HAS_FUSED 0
#define REGISTER_BYTES 16
namespace baseline {
#include "Vector.inc"
#include KERNELS
}  // namespace baseline

#define KERNEL(name)                                                            \
  (gpt4mm::instruction_set() == gpt4mm::InstructionSet::v4_dot   ? v4_dot::name \
   : gpt4mm::instruction_set() == gpt4mm::InstructionSet::v4     ? v4::name     \
   : gpt4mm::instruction_set() == gpt4mm::InstructionSet::v3_dot ? v3_dot::name \
   : gpt4mm::instruction_set() == gpt4mm::InstructionSet::v3     ? v3::name     \
                                                                 : baseline::name)

#else

#define ANY_REGISTER(v) asm volatile("" : "+w"(v))
#define HAS_BFLOAT16_DOT_PRODUCTS 0
#define HAS_INT8_DOT_PRODUCTS 0
#define IN_REGISTER(v)
#define HAS_FUSED 1
#define REGISTERS 32
#define REGISTER_BYTES 16
namespace baseline {
#include "Vector.inc"
#include KERNELS
}  // namespace baseline

#define KERNEL(name) (baseline::name)

#endif

}  // namespace
