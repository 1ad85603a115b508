#include "Library.h"
#include "Parallel.h"

#include <ATen/ops/empty.h>

#define KERNELS "LayerNorm.inc"
#include "InstructionSets.h"

using at::Tensor;

/// Layer normalisation of the last dimension in float32, without gradients.
Tensor gpt4mm::layer_norm(const Tensor &input, const Tensor &weight, const Tensor &bias, double eps) {
  const int64_t width = weight.numel();
  TORCH_CHECK(
      input.dim() > 0 && input.size(-1) == width && bias.numel() == width && width > 0 &&
          input.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat && bias.scalar_type() == at::kFloat,
      "input, weight and bias must be float32 of the same last dimension");
  const Tensor x = input.contiguous(), scale = weight.contiguous(), shift = bias.contiguous();
  auto result = at::empty(x.sizes(), x.options());
  auto source = x.const_data_ptr<float>();
  auto target = result.data_ptr<float>();
  gpt4mm::parallel_for(x.numel() / width, std::max<int64_t>(1, 16384 / width), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++)
      KERNEL(normalize_row)
      (source + row * width, width, static_cast<float>(eps), scale.const_data_ptr<float>(),
       shift.const_data_ptr<float>(), target + row * width);
  });
  return result;
}
