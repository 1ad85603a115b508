// Includes the file that the macro KERNELS names once for each instruction set, each time in a namespace of its own;
// `KERNEL(name)` is the function of that name for the machine at hand.

#include <cstdint>
#include <cstring>
#include <limits>

namespace gpt4mm {

/// The x86-64 level of this machine: 1, 3, 4, or 5 for the fourth with the dot products of bfloat16 and int8. At most what
/// LibTorch's own variable ATEN_CPU_CAPABILITY allows: default, avx2 or avx512.
int x86_64_level();

}  // namespace gpt4mm

// Functions that pass vectors are inlined, so no calling convention is at stake.
#pragma clang diagnostic ignored "-Wpsabi"

namespace {

constexpr int64_t lanes = 16;

#if defined(__x86_64__)

// The v4 level and the dot products of bfloat16 and int8 that came after it.
#define HAS_DOT_PRODUCTS 1
// Keeps a broadcast value in a register: as an operand in memory it is read anew by each instruction, at a third of the
// speed (measured on Zen 5).
#define IN_REGISTER(v) asm volatile("" : "+v"(v))
#pragma clang attribute push( \
    __attribute__((target("arch=x86-64-v4,avx512bf16,avx512vnni"), min_vector_width(512))), apply_to = function)
namespace x86_64_dot {
#include "Vector.inc"
#include KERNELS
}  // namespace x86_64_dot
#pragma clang attribute pop
#undef INLINED
#undef HAS_DOT_PRODUCTS
#define HAS_DOT_PRODUCTS 0

#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"), min_vector_width(512))), apply_to = function)
namespace x86_64_v4 {
#include "Vector.inc"
#include KERNELS
}  // namespace x86_64_v4
#pragma clang attribute pop
#undef INLINED

#undef IN_REGISTER
#define IN_REGISTER(v)

#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
namespace x86_64_v3 {
#include "Vector.inc"
#include KERNELS
}  // namespace x86_64_v3
#pragma clang attribute pop
#undef INLINED

namespace baseline {
#include "Vector.inc"
#include KERNELS
}  // namespace baseline

#define KERNEL(name)                             \
  (gpt4mm::x86_64_level() == 5   ? x86_64_dot::name      \
   : gpt4mm::x86_64_level() == 4 ? x86_64_v4::name       \
   : gpt4mm::x86_64_level() == 3 ? x86_64_v3::name       \
                                 : baseline::name)

#else

#define HAS_DOT_PRODUCTS 0
#define IN_REGISTER(v)
namespace baseline {
#include "Vector.inc"
#include KERNELS
}  // namespace baseline

#define KERNEL(name) (baseline::name)

#endif

}  // namespace
