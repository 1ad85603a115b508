#include "Library.h"
#include "Parallel.h"

#include <ATen/ops/empty.h>

#include <memory>

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

/// How many of the rows that are left make the next panel: at most eight, and all panels as even as can be.
inline int64_t panel_rows(int64_t left) {
  const int64_t panels = (left + 7) / 8;
  return (left + panels - 1) / panels;
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

/// Rows as the kernel reads them.
struct Rows {
  const uint32_t *data;
  std::unique_ptr<uint32_t[]> panels;
  std::unique_ptr<float[]> scales, zeros;

  Rows(const float *x, int64_t rows, int64_t inputs, int64_t steps, PackedKind kind)
      : data(reinterpret_cast<const uint32_t *>(x)) {
    const bool isFloat = kind == PackedKind::float32 || kind == PackedKind::int8_weight_only;
    if (isFloat && rows == 1) return;
    std::unique_ptr<uint32_t[]> converted;
    if (!isFloat) {
      converted.reset(new uint32_t[rows * steps]);
      if (kind == PackedKind::int8) {
        scales.reset(new float[rows]);
        zeros.reset(new float[rows]);
      }
      for (int64_t m = 0; m < rows; m++) {
        auto row = converted.get() + m * steps;
        row[steps - 1] = 0;
        if (kind == PackedKind::bfloat16)
          KERNEL(to_bfloat16)(x + m * inputs, inputs, reinterpret_cast<uint16_t *>(row));
        else
          KERNEL(quantize_row)
          (x + m * inputs, inputs, reinterpret_cast<uint8_t *>(row), &scales[m], &zeros[m]);
      }
      data = converted.get();
    }
    if (rows == 1) {
      panels = std::move(converted);
      return;
    }
    panels.reset(new uint32_t[(rows + 7) / 8 * 8 * steps]);
    auto panel = panels.get();
    for (int64_t m = 0; m < rows; m += panel_rows(rows - m), panel += 8 * steps)
      KERNEL(transpose_panel)(data + m * steps, panel_rows(rows - m), steps, panel);
    data = panels.get();
  }
};

}  // namespace

/// `activation(x · Wᵀ + bias) + residual` in float32 with a weight that was packed for it: sixteen outputs beside each
/// other, [outputs / 16, inputs / group, 16 · group], where a group of one (float32), two (bfloat16) or four (int8) inputs
/// is multiplied at once. x is rounded to bfloat16, or row by row to uint8, as the precision asks.
///
/// LibTorch's packed linear operators take 9 microseconds per call before they compute, which the sixty calls of a decode
/// step cannot afford, and leave part of what follows a product to operators of their own.
Tensor gpt4mm::packed_linear(
    const Tensor &x, const Tensor &weight, c10::string_view precision, int64_t outputs,
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
        "scales, sums and bias must be float32 [outputs], and a residual float32 in the result's shape");
    return given ? given->contiguous() : Tensor();
  };
  auto pointer = [](const Tensor &tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; };
  const Tensor source = x.contiguous(), scale = part(scales, {outputs}), sum = part(sums, {outputs}),
               constant = part(bias, {outputs}), added = part(residual, shape);
  TORCH_CHECK(sum.defined() == (packed.kind == PackedKind::int8), "int8 alone needs the sums of its weights");
  auto result = at::empty(shape, x.options());
  const int64_t rows = x.numel() / inputs;
  // As many rows at once as stay in a core's cache.
  const int64_t most_rows = 64;
  const int64_t block_bytes = steps * lanes * packed.group * packed.bytes;
  gpt4mm::parallel_for(weight.size(0), std::max<int64_t>(1, 65536 / block_bytes), [&](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < rows; row += most_rows) {
      const int64_t count = std::min(most_rows, rows - row);
      const Rows panel(source.const_data_ptr<float>() + row * inputs, count, inputs, steps, packed.kind);
      PackedProduct product;
      product.kind = packed.kind;
      product.weight = weight.const_data_ptr();
      product.x = panel.data;
      product.rows = count;
      product.steps = steps;
      product.outputs = outputs;
      product.scales = pointer(scale);
      product.sums = pointer(sum);
      product.row_scales = panel.scales.get();
      product.zeros = panel.zeros.get();
      product.bias = pointer(constant);
      product.residual = added.defined() ? pointer(added) + row * outputs : nullptr;
      product.result = result.data_ptr<float>() + row * outputs;
      product.gelu = gelu;
      KERNEL(multiply_packed)(product, begin, end);
    }
  });
  return result;
}
