#include "Library.h"
#include "PackedProduct.h"
#include "Parallel.h"
#include "WeightMemory.h"

#include <ATen/ops/empty.h>

#include <memory>
#include <vector>

using at::Tensor;

#define KERNELS "PackedLinear.inc"
#include "InstructionSets.h"

namespace {

/// What is done to each row first.
struct Norm {
  const float *weight, *bias;  // [inputs] or null for none
  float eps;
};

/// All rows as the kernel reads them: panels of [words, panel_rows], or a single row as it is.
struct Panels {
  const uint32_t *data;
  std::unique_ptr<uint32_t[]> converted;
  std::unique_ptr<float[]> scales, zeros;

  Panels(const float *x, const Norm &norm, int64_t rows, int64_t inputs, int64_t steps, const PackedLayout &layout)
      : data(reinterpret_cast<const uint32_t *>(x)) {
    const int64_t words = steps * layout.group / layout.per_word;
    const bool is_kept = layout.word == Word::float32 && words == inputs;
    if (is_kept && rows == 1 && !norm.weight) return;
    const int64_t count = panel_count(rows, layout.rows);
    converted.reset(new uint32_t[rows == 1 ? words : count * panel_rows * words]);
    data = converted.get();
    if (layout.word == Word::integers) {
      scales.reset(new float[rows]);
      zeros.reset(new float[rows]);
    }
    gpt4mm::parallel_for(count, std::max<int64_t>(1, 1024 / inputs), [&](int64_t begin, int64_t end) {
      // Rows normalised, then rounded; each where it is needed.
      std::vector<float> normalized(norm.weight ? panel_rows * inputs : 0);
      std::vector<uint32_t> rounded(is_kept || rows == 1 ? 0 : panel_rows * words);
      for (int64_t panel = begin; panel < end; panel++) {
        const int64_t first = first_row(panel, rows, layout.rows);
        const int64_t height = first_row(panel + 1, rows, layout.rows) - first;
        const float *from = x + first * inputs;
        if (norm.weight) {
          auto to = is_kept && rows == 1 ? reinterpret_cast<float *>(converted.get()) : normalized.data();
          for (int64_t r = 0; r < height; r++)
            KERNEL(normalize_row)
            (from + r * inputs, inputs, norm.eps, norm.weight, norm.bias, to + r * inputs);
          from = to;
        }
        auto target = rows == 1 ? converted.get() : rounded.data();
        for (int64_t r = 0; r < height && !is_kept; r++) {
          auto row = from + r * inputs;
          auto to = target + r * words;
          to[words - 1] = 0;
          switch (layout.word) {
            case Word::float32: memcpy(to, row, inputs * sizeof(float)); break;
            case Word::bfloat16: KERNEL(round_row)(row, inputs, reinterpret_cast<uint16_t *>(to)); break;
            case Word::integers:
              KERNEL(quantize_row)(row, inputs, to, &scales[first + r], &zeros[first + r]);
              break;
          }
        }
        if (rows > 1)
          KERNEL(transpose_panel)
          (is_kept ? reinterpret_cast<const uint32_t *>(from) : target, height, words,
           converted.get() + panel * panel_rows * words);
      }
    });
  }
};

}  // namespace

/// [outputs, inputs] to [outputs / 16, inputs / group, 16 · group], filled up with zeros: sixteen outputs beside each other,
/// and of each so many inputs as the kernel of this machine multiplies and sums at once: one (float32, int8 weights alone),
/// two (bfloat16, int8) or four (int8 with dot products).
Tensor gpt4mm::pack_linear(const Tensor &weight, c10::string_view precision) {
  const PackedLayout packed = KERNEL(packed_layout)(kind_of(precision));
  TORCH_CHECK(
      weight.dim() == 2 && weight.device().is_cpu() && weight.element_size() == packed.bytes && weight.numel() > 0,
      "a weight to be packed in ", precision, " must be [outputs, inputs] of ", packed.bytes, " bytes each on the CPU");
  const Tensor rows = weight.contiguous();
  const int64_t outputs = rows.size(0), inputs = rows.size(1), group = packed.group;
  const int64_t blocks = (outputs + lanes - 1) / lanes, steps = (inputs + group - 1) / group;
  auto result = weight_memory({blocks, steps, lanes * group}, weight.options());
  auto from = static_cast<const char *>(rows.const_data_ptr());
  auto to = static_cast<char *>(result.data_ptr());
  const int64_t bytes = group * packed.bytes, row_bytes = inputs * packed.bytes;
  gpt4mm::parallel_for(blocks, std::max<int64_t>(1, 65536 / (steps * bytes * lanes)), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin * lanes; n < std::min(end * lanes, outputs); n++) {
      auto row = from + n * row_bytes;
      auto column = to + n / lanes * steps * bytes * lanes + n % lanes * bytes;
      for (int64_t at = 0; at < row_bytes; at += bytes, column += lanes * bytes)
        memcpy(column, row + at, std::min(bytes, row_bytes - at));
    }
  });
  return result;
}

/// `activation(norm(x) · Wᵀ + bias) + residual` in float32 with a weight that `pack_linear` made. The norm is a layer
/// normalisation, or none. What it gives is multiplied in float32; in int8 it is rounded row by row to 256 levels, and in
/// bfloat16 to that where there are dot products of it.
///
/// LibTorch's packed linear operators take 9 microseconds per call before they compute, which the sixty calls of a decode
/// step cannot afford, and leave part of what follows a product to operators of their own.
Tensor gpt4mm::packed_linear(
    const Tensor &x, const std::optional<Tensor> &norm_weight, const std::optional<Tensor> &norm_bias, double eps,
    const Tensor &weight, c10::string_view precision, int64_t outputs,
    const std::optional<Tensor> &scales, const std::optional<Tensor> &sums, const std::optional<Tensor> &bias,
    int64_t activation, const std::optional<Tensor> &residual) {
  const PackedKind kind = kind_of(precision);
  const PackedLayout packed = KERNEL(packed_layout)(kind);
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
  TORCH_CHECK(0 <= activation && activation <= 3, "there is no activation ", activation);
  TORCH_CHECK(sum.defined() == (kind == PackedKind::int8), "int8 alone needs the sums of its weights");
  auto result = at::empty(shape, x.options());
  const int64_t rows = x.numel() / inputs;
  const Norm norm{pointer(norm_scale), pointer(norm_shift), static_cast<float>(eps)};
  const Panels panels(source.const_data_ptr<float>(), norm, rows, inputs, steps, packed);
  PackedProduct product;
  product.kind = kind;
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
  product.activation = static_cast<Activation>(activation);
  const int64_t unit = rows == 1 ? packed.row_blocks : packed.blocks, blocks = weight.size(0);
  const int64_t unit_bytes = unit * steps * lanes * packed.group * packed.bytes;
  gpt4mm::parallel_for(
      (blocks + unit - 1) / unit, std::max<int64_t>(1, 65536 / unit_bytes), [&](int64_t begin, int64_t end) {
        KERNEL(multiply_packed)(product, begin * unit, std::min(end * unit, blocks));
      });
  return result;
}
