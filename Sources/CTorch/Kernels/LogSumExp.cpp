#include "Library.h"
#include "Parallel.h"

#include <ATen/ops/empty.h>

#define KERNELS "LogSumExp.inc"
#include "InstructionSets.h"

using at::Tensor;

/// `log Σ exp(x)` of each row of float32 [rows, n], [rows], in two passes over a row.
Tensor gpt4mm::log_sum_exp(const Tensor &x) {
  TORCH_CHECK(x.dim() == 2 && x.size(1) > 0 && x.scalar_type() == at::kFloat, "x must be float32 [rows, n]");
  const Tensor source = x.contiguous();
  auto result = at::empty({x.size(0)}, x.options());
  const int64_t count = x.size(1);
  gpt4mm::parallel_for(x.size(0), std::max<int64_t>(1, 65536 / count), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++)
      result.data_ptr<float>()[row] = KERNEL(log_sum_exp)(source.const_data_ptr<float>() + row * count, count);
  });
  return result;
}
