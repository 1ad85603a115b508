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

/// All rows as the kernel reads them: panels of [words, layout's rows], or a single row as it is.
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
    converted.reset(new uint32_t[rows == 1 ? words : count * layout.rows * words]);
    data = converted.get();
    if (layout.word == Word::integers) {
      scales.reset(new float[rows]);
      zeros.reset(new float[rows]);
    }
    gpt4mm::parallel_for(count, std::max<int64_t>(1, 1024 / inputs), [&](int64_t begin, int64_t end) {
      // Rows normalised, then rounded; each where it is needed.
      std::vector<float> normalized(norm.weight ? layout.rows * inputs : 0);
      std::vector<uint32_t> rounded(is_kept || rows == 1 ? 0 : layout.rows * words);
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
          KERNEL(to_panel)
          (is_kept ? reinterpret_cast<const uint32_t *>(from) : target, height, words, 1, words,
           converted.get() + panel * layout.rows * words);
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

namespace {

/// Some inputs of the rows of a float32 matrix, of which one stride is 1.
struct Rows {
  const uint32_t *data;
  int64_t count, stride, step_stride, steps;

  Rows(const Tensor &x, int64_t input, int64_t steps)
      : data(static_cast<const uint32_t *>(x.const_data_ptr()) + input * x.stride(1)), count(x.size(0)),
        stride(x.stride(0)), step_stride(x.stride(1)), steps(steps) {}

  /// Panels from `begin` to `end` of `rows` rows from `first` on.
  void to_panels(int64_t first, int64_t rows, int64_t most, int64_t begin, int64_t end, uint32_t *to) const {
    for (int64_t panel = begin; panel < end; panel++) {
      const int64_t row = first + first_row(panel, rows, most);
      KERNEL(to_panel)(data + row * stride, std::min(most, count - row), stride, step_stride, steps, to + panel * most * steps);
    }
  }

  /// As a packed weight, from the block of sixteen `begin` to `end`.
  void to_blocks(int64_t begin, int64_t end, uint32_t *to) const {
    for (int64_t row = begin * lanes; row < std::min(end * lanes, count); row += 8) {
      auto block = to + (row / lanes - begin) * lanes * steps + row % lanes;
      KERNEL(to_half_block)(data + row * stride, std::min<int64_t>(8, count - row), stride, step_stride, steps, block);
    }
  }
};

std::unique_ptr<uint32_t[]> words(int64_t count) { return std::unique_ptr<uint32_t[]>(new uint32_t[count]); }

/// All rows are packed once, and some outputs' weights at a time, by the thread that multiplies with them.
void share_outputs(PackedProduct product, const Rows &x, const Rows &weight, const PackedLayout &layout) {
  constexpr int64_t packed_words = 1 << 16;
  const int64_t steps = product.steps, block = lanes * steps, blocks = panel_count(product.outputs, lanes);
  const int64_t panels = panel_count(product.rows, layout.rows);
  const auto packed_rows = words(panels * layout.rows * steps);
  gpt4mm::parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    x.to_panels(0, product.rows, layout.rows, begin, end, packed_rows.get());
  });
  product.x = packed_rows.get();
  const int64_t some = std::max<int64_t>(1, packed_words / block);
  gpt4mm::parallel_for(panel_count(blocks, some), 1, [&](int64_t begin, int64_t end) {
    const auto packed = words(some * block);
    for (int64_t piece = begin; piece < end; piece++) {
      const int64_t first = piece * some, last = std::min(first + some, blocks);
      weight.to_blocks(first, last, packed.get());
      auto own = product;
      own.weight = packed.get() - first * block;  // the kernel counts blocks from the first of all
      KERNEL(multiply_packed)(own, first, last);
    }
  });
}

/// All weights are packed once, and some rows at a time, by the thread that multiplies them.
void share_rows(PackedProduct product, const Rows &x, const Rows &weight, const PackedLayout &layout) {
  const int64_t steps = product.steps, block = lanes * steps, blocks = panel_count(product.outputs, lanes);
  const auto packed_weight = words(blocks * block);
  gpt4mm::parallel_for(blocks, 1, [&](int64_t begin, int64_t end) {
    weight.to_blocks(begin, end, &packed_weight[begin * block]);
  });
  product.weight = packed_weight.get();
  const int64_t some = layout.rows * layout.panels;
  gpt4mm::parallel_for(panel_count(product.rows, some), 1, [&](int64_t begin, int64_t end) {
    const auto packed = words(some * steps);
    for (int64_t piece = begin; piece < end; piece++) {
      const int64_t first = first_row(piece, product.rows, some);
      auto own = product;
      own.rows = first_row(piece + 1, product.rows, some) - first;
      own.x = packed.get();
      own.result += first * product.outputs;
      if (own.residual) own.residual = own.result;
      x.to_panels(first, own.rows, layout.rows, 0, panel_count(own.rows, layout.rows), packed.get());
      KERNEL(multiply_packed)(own, 0, blocks);
    }
  });
}

}  // namespace

bool gpt4mm::has_product(int64_t rows, int64_t inputs, int64_t outputs) {
#if defined(__x86_64__)
  return instruction_set() < InstructionSet::v4 && rows >= 32 && inputs >= 32 && outputs >= 32;
#else
  return false;
#endif
}

/// `x · weightᵀ + bias` of float32 matrices of any strides, both packed for this product alone, of many inputs some at a time, so
/// that what is multiplied stays in the caches.
Tensor gpt4mm::product(const Tensor &x, const Tensor &weight, const std::optional<Tensor> &bias) {
  constexpr int64_t most_steps = 2048;
  auto plain = [](const Tensor &x) { return x.stride(0) == 1 || x.stride(1) == 1 ? x : x.contiguous(); };
  const Tensor a = plain(x), b = plain(weight), added = bias ? bias->contiguous() : Tensor();
  const int64_t rows = a.size(0), inputs = a.size(1), outputs = b.size(0);
  const PackedLayout layout = KERNEL(packed_layout)(PackedKind::float32);
  auto result = at::empty({rows, outputs}, x.options());
  for (int64_t part = 0; part < panel_count(inputs, most_steps); part++) {
    const int64_t k = first_row(part, inputs, most_steps);
    PackedProduct product{};
    product.kind = PackedKind::float32;
    product.rows = rows;
    product.steps = first_row(part + 1, inputs, most_steps) - k;
    product.outputs = outputs;
    product.result = result.data_ptr<float>();
    product.bias = part == 0 && added.defined() ? added.const_data_ptr<float>() : nullptr;
    product.residual = part == 0 ? nullptr : product.result;
    const auto share = outputs >= rows ? share_outputs : share_rows;
    share(product, Rows(a, k, product.steps), Rows(b, k, product.steps), layout);
  }
  return result;
}
