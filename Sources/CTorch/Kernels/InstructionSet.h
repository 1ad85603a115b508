#pragma once

namespace gpt4mm {

/// The instructions of x86-64 that the kernels are compiled for, in order: level 1, level 3, that with dot products of int8
/// (AVX-VNNI), level 4, and that with dot products of bfloat16 and int8.
enum class InstructionSet { baseline, v3, v3_dot, v4, v4_dot };

/// The best one of this machine, unless another was chosen. At most what LibTorch's own variable ATEN_CPU_CAPABILITY allows:
/// default, avx2 or avx512.
InstructionSet instruction_set();

}  // namespace gpt4mm
