#include "Library.h"
#include "Parallel.h"

#include <ATen/ops/empty.h>

#include <memory>
#include <vector>

using at::Tensor;

namespace {

enum class PackedKind { float32, bfloat16, int8, int8_weight_only };

/// A product of rows with a packed weight.
struct PackedProduct {
  PackedKind kind;
  const void *weight;  // [outputs / 16, steps, 16, values per step]
  const uint32_t *x;   // panels of [steps, 8], or one row: a float32, two bfloat16 or four uint8 each
  int64_t rows, steps, outputs;
  const float *scales;              // [outputs] or null
  const float *sums;                // of each output's weights, [outputs], or null
  const float *row_scales, *zeros;  // [rows] or null
  const float *bias, *residual;     // [outputs], [rows, outputs] or null
  float *result;                    // [rows, outputs]
  bool gelu;
};

/// Rows are multiplied in panels of at most eight, all as even as can be: where one begins.
inline int64_t first_row(int64_t panel, int64_t rows) {
  const int64_t panels = (rows + 7) / 8;
  return rows * panel / panels;
}

}  // namespace

#define KERNELS "PackedLinear.inc"
#include "InstructionSets.h"

namespace {

struct Layout {
  PackedKind kind;
  int64_t group, bytes;
};

Layout layout(c10::string_view precision) {
  if (precision == "float32") return {PackedKind::float32, 1, 4};
  if (precision == "bfloat16") return {PackedKind::bfloat16, 2, 2};
  if (precision == "int8") return {PackedKind::int8, 4, 1};
  if (precision == "int8_weight_only") return {PackedKind::int8_weight_only, 1, 1};
  TORCH_CHECK(false, "there is no packed weight of the precision ", precision);
}

/// What is done to each row first.
struct Norm {
  const float *weight, *bias;  // [inputs] or null for none
  float eps;
};

/// All rows as the kernel reads them: panels of at most eight, [steps, 8] each, or a single row as it is.
struct Panels {
  const uint32_t *data;
  std::unique_ptr<uint32_t[]> converted;
  std::unique_ptr<float[]> scales, zeros;

  Panels(const float *x, const Norm &norm, int64_t rows, int64_t inputs, int64_t steps, PackedKind kind)
      : data(reinterpret_cast<const uint32_t *>(x)) {
    const bool is_float = kind == PackedKind::float32 || kind == PackedKind::int8_weight_only;
    if (is_float && rows == 1 && !norm.weight) return;
    const int64_t count = (rows + 7) / 8;
    converted.reset(new uint32_t[rows == 1 ? steps : count * 8 * steps]);
    data = converted.get();
    if (kind == PackedKind::int8) {
      scales.reset(new float[rows]);
      zeros.reset(new float[rows]);
    }
    gpt4mm::parallel_for(count, std::max<int64_t>(1, 1024 / inputs), [&](int64_t begin, int64_t end) {
      // Rows normalised, then rounded; each where it is needed.
      std::vector<float> normalized(norm.weight ? 8 * inputs : 0);
      std::vector<uint32_t> rounded(is_float || rows == 1 ? 0 : 8 * steps);
      for (int64_t panel = begin; panel < end; panel++) {
        const int64_t first = first_row(panel, rows), height = first_row(panel + 1, rows) - first;
        const float *from = x + first * inputs;
        if (norm.weight) {
          auto to = is_float && rows == 1 ? reinterpret_cast<float *>(converted.get()) : normalized.data();
          for (int64_t r = 0; r < height; r++)
            KERNEL(normalize_row)
            (from + r * inputs, inputs, norm.eps, norm.weight, norm.bias, to + r * inputs);
          from = to;
        }
        auto target = rows == 1 ? converted.get() : rounded.data();
        for (int64_t r = 0; r < height && !is_float; r++) {
          auto to = target + r * steps;
          to[steps - 1] = 0;
          if (kind == PackedKind::bfloat16)
            KERNEL(to_bfloat16)(from + r * inputs, inputs, reinterpret_cast<uint16_t *>(to));
          else
            KERNEL(quantize_row)
            (from + r * inputs, inputs, reinterpret_cast<uint8_t *>(to), &scales[first + r], &zeros[first + r]);
        }
        if (rows > 1)
          KERNEL(transpose_panel)
          (is_float ? reinterpret_cast<const uint32_t *>(from) : target, height, steps,
           converted.get() + panel * 8 * steps);
      }
    });
  }
};

}  // namespace

/// `activation(norm(x) · Wᵀ + bias) + residual` in float32 with a weight that was packed for it: sixteen outputs beside each
/// other, [outputs / 16, inputs / group, 16 · group], where a group of one (float32), two (bfloat16) or four (int8) inputs
/// is multiplied at once. The norm is a layer normalisation, or none; what it gives is rounded to bfloat16, or row by row to uint8, as the precision asks.
///
/// LibTorch's packed linear operators take 9 microseconds per call before they compute, which the sixty calls of a decode
/// step cannot afford, and leave part of what follows a product to operators of their own.
Tensor gpt4mm::packed_linear(
    const Tensor &x, const std::optional<Tensor> &norm_weight, const std::optional<Tensor> &norm_bias, double eps,
    const Tensor &weight, c10::string_view precision, int64_t outputs,
    const std::optional<Tensor> &scales, const std::optional<Tensor> &sums, const std::optional<Tensor> &bias, bool gelu,
    const std::optional<Tensor> &residual) {
  const Layout packed = layout(precision);
  TORCH_CHECK(
      x.dim() > 0 && x.scalar_type() == at::kFloat && x.device().is_cpu(), "x must be float32 on the CPU");
  const int64_t inputs = x.size(-1);
  const int64_t steps = (inputs + packed.group - 1) / packed.group;
  TORCH_CHECK(
      weight.dim() == 3 && weight.is_contiguous() && weight.element_size() == packed.bytes &&
          weight.size(0) == (outputs + lanes - 1) / lanes && weight.size(1) == steps &&
          weight.size(2) == lanes * packed.group && inputs > 0,
      "the weight was not packed for ", outputs, " outputs of ", inputs, " inputs in ", precision);
  auto shape = x.sizes().vec();
  shape.back() = outputs;
  auto part = [](const std::optional<Tensor> &given, at::IntArrayRef shape) {
    TORCH_CHECK(
        !given || (given->sizes() == shape && given->scalar_type() == at::kFloat),
        "scales, sums and bias must be float32 [outputs], a norm [inputs], and a residual in the result's shape");
    return given ? given->contiguous() : Tensor();
  };
  auto pointer = [](const Tensor &tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; };
  const Tensor source = x.contiguous(), scale = part(scales, {outputs}), sum = part(sums, {outputs}),
               constant = part(bias, {outputs}), added = part(residual, shape),
               norm_scale = part(norm_weight, {inputs}), norm_shift = part(norm_bias, {inputs});
  TORCH_CHECK(norm_scale.defined() == norm_shift.defined(), "a norm needs both its weight and its bias");
  TORCH_CHECK(sum.defined() == (packed.kind == PackedKind::int8), "int8 alone needs the sums of its weights");
  auto result = at::empty(shape, x.options());
  const int64_t rows = x.numel() / inputs;
  const Norm norm{pointer(norm_scale), pointer(norm_shift), static_cast<float>(eps)};
  const Panels panels(source.const_data_ptr<float>(), norm, rows, inputs, steps, packed.kind);
  PackedProduct product;
  product.kind = packed.kind;
  product.weight = weight.const_data_ptr();
  product.x = panels.data;
  product.rows = rows;
  product.steps = steps;
  product.outputs = outputs;
  product.scales = pointer(scale);
  product.sums = pointer(sum);
  product.row_scales = panels.scales.get();
  product.zeros = panels.zeros.get();
  product.bias = pointer(constant);
  product.residual = pointer(added);
  product.result = result.data_ptr<float>();
  product.gelu = gelu;
  const int64_t block_bytes = steps * lanes * packed.group * packed.bytes;
  gpt4mm::parallel_for(
      weight.size(0), std::max<int64_t>(1, 65536 / block_bytes),
      [&](int64_t begin, int64_t end) { KERNEL(multiply_packed)(product, begin, end); });
  return result;
}
