#include "Library.h"
#include "PackedProduct.h"
#include "Parallel.h"
#include "WeightMemory.h"

#include <ATen/Parallel.h>
#include <ATen/ops/scalar_tensor.h>

#include <atomic>

#define KERNELS "Limits.inc"
#include "InstructionSets.h"

using at::Tensor;

/// Multiplies and adds in registers alone, on every thread: what no product can do more of.
/// - Parameters:
///   - precision: float32, bfloat16 or int8
///   - saturates: in int8 with instructions that may saturate, which our products do not use
/// - Returns: how many multiplications were added up, an int64
Tensor gpt4mm::multiply_adds(c10::string_view precision, bool saturates, int64_t repetitions) {
  const PackedKind kind = kind_of(precision);
  std::atomic<int64_t> count{0};
  std::atomic<float> used{0};  // so that nothing is left out
  gpt4mm::parallel_for(at::get_num_threads(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t thread = begin; thread < end; thread++) {
      float result = 0;
      count += KERNEL(multiply_in_registers)(kind, saturates, repetitions, &result);
      used = result;
    }
  });
  return at::scalar_tensor(count.load(), at::kLong);
}

/// float32 ones where packed weights lie: what was never written would be one page, read again and again.
Tensor gpt4mm::weight_ones(int64_t count) { return weight_memory({count}, at::kFloat).fill_(1); }

/// Reads all of a float32 tensor, on every thread in so many places at a time, and does nothing else.
/// - Returns: the sum
Tensor gpt4mm::read_memory(const Tensor &x, int64_t streams) {
  TORCH_CHECK(x.is_contiguous() && x.scalar_type() == at::kFloat, "what is read must be contiguous float32");
  constexpr int64_t unit = 1 << 16;
  std::atomic<float> total{0};
  gpt4mm::parallel_for(x.numel() / unit, 1, [&](int64_t begin, int64_t end) {
    total = total + KERNEL(read_memory)(x.const_data_ptr<float>() + begin * unit, (end - begin) * unit, streams);
  });
  return at::scalar_tensor(total.load(), at::kFloat);
}
