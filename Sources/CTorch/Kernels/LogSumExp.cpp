#include "Library.h"
#include "Parallel.h"

#include <ATen/ops/empty.h>

#define KERNELS "LogSumExp.inc"
#include "InstructionSets.h"

using at::Tensor;

/// Of each row of float32 [rows, n], in two passes over it, [rows] each: `log Σ exp(x)`, the largest number and the first place
/// that has it. The sum of a row with a NaN is NaN.
std::tuple<Tensor, Tensor, Tensor> gpt4mm::log_sum_exp(const Tensor &x) {
  TORCH_CHECK(x.dim() == 2 && x.size(1) > 0 && x.scalar_type() == at::kFloat, "x must be float32 [rows, n]");
  const Tensor source = x.contiguous();
  auto sums = at::empty({x.size(0)}, x.options()), maxima = at::empty({x.size(0)}, x.options());
  auto places = at::empty({x.size(0)}, x.options().dtype(at::kLong));
  const int64_t count = x.size(1);
  gpt4mm::parallel_for(x.size(0), std::max<int64_t>(1, 65536 / count), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++)
      sums.data_ptr<float>()[row] = KERNEL(log_sum_exp)(
          source.const_data_ptr<float>() + row * count, count, maxima.data_ptr<float>() + row,
          places.data_ptr<int64_t>() + row);
  });
  return {sums, maxima, places};
}
