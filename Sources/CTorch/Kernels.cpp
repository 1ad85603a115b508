// Operators that LibTorch lacks, registered with its dispatcher under the namespace gpt4mm, so that they are called like
// any other. Each is here because a benchmark showed the gap: docs/performance.md.

#include <ATen/Context.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cmath>

// One function body, compiled for each of these instruction sets and chosen when the program starts.
#if defined(__x86_64__) && defined(__linux__)
#define VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTORIZED
#endif

namespace {

using at::Tensor;
using OptionalTensors = c10::List<std::optional<Tensor>>;

// MARK: linear

/// oneDNN's `x · weightᵀ + bias` on plain matrices of any strides. For float32 it is up to twice as fast as the BLAS
/// behind `aten::linear`.
Tensor onednn_linear(const Tensor &x, const Tensor &weight, const std::optional<Tensor> &bias) {
  using Scalars = c10::List<std::optional<at::Scalar>>;
  using Signature = Tensor(
      const Tensor &, const Tensor &, const std::optional<Tensor> &, std::string_view, Scalars,
      std::optional<std::string_view>);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Signature>();
  return op.call(x, weight, bias, "none", Scalars(), "");
}

bool has_onednn_linear(const Tensor &x, const Tensor &weight) {
  static const bool exists =
      c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""}).has_value();
  return exists && at::globalContext().userEnabledMkldnn() && x.scalar_type() == at::kFloat &&
         weight.scalar_type() == at::kFloat && x.numel() > 0;
}

Tensor linear(const Tensor &x, const Tensor &weight, const std::optional<Tensor> &bias) {
  return has_onednn_linear(x, weight) ? onednn_linear(x, weight, bias) : at::linear(x, weight, bias);
}

struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(
      torch::autograd::AutogradContext *context, const Tensor &x, const Tensor &weight,
      const std::optional<Tensor> &bias) {
    context->save_for_backward({x, weight});
    context->saved_data["has_bias"] = bias.has_value();
    at::AutoDispatchBelowADInplaceOrView below;
    return onednn_linear(x, weight, bias);
  }

  /// `∂x = ∂y · W`, `∂W = ∂yᵀ · x`, `∂b = Σ ∂y`
  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
    auto saved = context->get_saved_variables();
    auto &x = saved[0], &weight = saved[1], &output = gradients[0];
    auto rows = output.reshape({-1, output.size(-1)});
    Tensor x_gradient, weight_gradient, bias_gradient;
    if (context->needs_input_grad(0)) x_gradient = onednn_linear(output, weight.t(), {});
    if (context->needs_input_grad(1))
      weight_gradient = onednn_linear(rows.t(), x.reshape({-1, x.size(-1)}).t(), {});
    if (context->saved_data["has_bias"].toBool() && context->needs_input_grad(2)) bias_gradient = rows.sum(0);
    return {x_gradient, weight_gradient, bias_gradient};
  }
};

Tensor linear_autograd(const Tensor &x, const Tensor &weight, const std::optional<Tensor> &bias) {
  return has_onednn_linear(x, weight) ? Linear::apply(x, weight, bias) : at::linear(x, weight, bias);
}

// MARK: heads

template <typename Element>
inline void load(const Element *from, float *to, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] = static_cast<float>(from[i]);
}

/// One head at one position: `x / ‖x‖` where asked for, then `x cos + rotateHalf(x) sin` on the first `turned`.
VECTORIZED void head_row(
    float *__restrict x, int64_t width, bool normalized, const float *cosine, const float *sine, int64_t turned,
    float *__restrict result) {
  if (normalized) {
    float sum = 0;
    for (int64_t i = 0; i < width; i++) sum += x[i] * x[i];
    const float scale = 1 / std::max(std::sqrt(sum), 1e-12f);
    for (int64_t i = 0; i < width; i++) x[i] *= scale;
  }
  const int64_t half = turned / 2;
  for (int64_t i = 0; i < half; i++) {
    result[i] = x[i] * cosine[i] - x[i + half] * sine[i];
    result[i + half] = x[i + half] * cosine[i + half] + x[i] * sine[i + half];
  }
  for (int64_t i = turned; i < width; i++) result[i] = x[i];
}

/// Splits what a projection gave for queries, keys and values, [batch, length, parts · heads · width], into float32
/// [batch, heads, length, width] tensors that are there already, each of its own strides. The first `normalized` parts
/// are L2-normalised; those with a table, [batch or 1, 1, length, turned], are turned by it.
void heads(
    const Tensor &projected, int64_t normalized, const OptionalTensors &cosines, const OptionalTensors &sines,
    at::TensorList results) {
  const int64_t parts = static_cast<int64_t>(results.size());
  TORCH_CHECK(parts > 0 && projected.dim() == 3 && projected.is_contiguous(), "projected must be contiguous [b, l, n]");
  const int64_t batch = projected.size(0), length = projected.size(1);
  const int64_t count = results[0].size(1), width = results[0].size(3);
  TORCH_CHECK(projected.size(2) == parts * count * width, "projected has not ", parts, " parts of ", count, " heads");
  TORCH_CHECK(width <= 64, "heads are at most 64 wide");
  struct Part {
    float *data;
    at::IntArrayRef strides;
    Tensor cosine, sine;
  };
  std::vector<Part> targets;
  for (int64_t part = 0; part < parts; part++) {
    auto &result = results[part];
    TORCH_CHECK(
        result.scalar_type() == at::kFloat && result.sizes() == at::IntArrayRef({batch, count, length, width}) &&
            result.stride(3) == 1,
        "a result must be float32 [batch, heads, length, width]");
    Part target{result.data_ptr<float>(), result.strides(), {}, {}};
    if (auto cosine = cosines.get(part), sine = sines.get(part); cosine && sine) {
      target.cosine = cosine->contiguous();
      target.sine = sine->contiguous();
      for (auto &table : {target.cosine, target.sine})
        TORCH_CHECK(
            table.scalar_type() == at::kFloat && table.dim() == 4 && table.size(2) == length &&
                (table.size(0) == 1 || table.size(0) == batch) && table.size(3) <= width,
            "a table must be float32 [batch or 1, 1, length, at most the head's width]");
    }
    targets.push_back(std::move(target));
  }
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, projected.scalar_type(), "heads", [&] {
    auto source = projected.const_data_ptr<scalar_t>();
    at::parallel_for(0, batch * length, 32, [&](int64_t begin, int64_t end) {
      float row[64];
      for (int64_t position = begin; position < end; position++) {
        const int64_t b = position / length, t = position % length;
        auto from = source + position * parts * count * width;
        for (int64_t part = 0; part < parts; part++) {
          auto &target = targets[part];
          const int64_t turned = target.cosine.defined() ? target.cosine.size(3) : 0;
          const int64_t offset = turned ? (target.cosine.size(0) == 1 ? t : position) * turned : 0;
          auto cosine = turned ? target.cosine.const_data_ptr<float>() + offset : nullptr;
          auto sine = turned ? target.sine.const_data_ptr<float>() + offset : nullptr;
          for (int64_t head = 0; head < count; head++, from += width) {
            load(from, row, width);
            auto to = target.data + b * target.strides[0] + head * target.strides[1] + t * target.strides[2];
            head_row(row, width, part < normalized, cosine, sine, turned, to);
          }
        }
      }
    });
  });
}

// MARK: quantize

VECTORIZED void extremes(const float *x, int64_t count, float *low, float *high) {
  float least = *low, most = *high;
  for (int64_t i = 0; i < count; i++) {
    least = x[i] < least ? x[i] : least;
    most = x[i] > most ? x[i] : most;
  }
  *low = least;
  *high = most;
}

VECTORIZED void quantize_row(const float *x, int64_t count, float inverse, float zero, uint8_t *result) {
  for (int64_t i = 0; i < count; i++) {
    float value = x[i] * inverse + zero + 0.5f;
    value = value < 0 ? 0 : value > 255 ? 255 : value;
    result[i] = static_cast<uint8_t>(value);
  }
}

/// uint8 values with one scale and zero point for all, which the values' range gives: `x ≈ (q - zero) · scale`.
std::tuple<Tensor, Tensor, Tensor> quantize(const Tensor &input) {
  auto x = input.to(at::kFloat).contiguous();
  const int64_t count = x.numel();
  auto data = x.const_data_ptr<float>();
  const int64_t grain = 16384;
  std::vector<float> lows((count + grain - 1) / grain, 0), highs(lows.size(), 0);
  at::parallel_for(0, static_cast<int64_t>(lows.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      extremes(data + i * grain, std::min(grain, count - i * grain), &lows[i], &highs[i]);
  });
  float low = 0, high = 0;
  for (size_t i = 0; i < lows.size(); i++) {
    low = std::min(low, lows[i]);
    high = std::max(high, highs[i]);
  }
  const float scale = high > low ? (high - low) / 255 : 1;
  const float zero = std::round(-low / scale);
  auto result = at::empty(x.sizes(), x.options().dtype(at::kByte));
  auto target = result.data_ptr<uint8_t>();
  at::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    quantize_row(data + begin, end - begin, 1 / scale, zero, target + begin);
  });
  auto scales = at::empty({}, x.options());
  auto zeros = at::empty({}, x.options().dtype(at::kInt));
  *scales.data_ptr<float>() = scale;
  *zeros.data_ptr<int32_t>() = static_cast<int32_t>(zero);
  return {result, scales, zeros};
}

}  // namespace

TORCH_LIBRARY(gpt4mm, library) {
  library.def("linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor");
  library.def(
      "heads(Tensor projected, int normalized, Tensor?[] cosines, Tensor?[] sines, Tensor(a!)[] results) -> ()");
  library.def("quantize(Tensor x) -> (Tensor, Tensor, Tensor)");
}

TORCH_LIBRARY_IMPL(gpt4mm, CPU, library) {
  library.impl("linear", linear);
  library.impl("heads", heads);
  library.impl("quantize", quantize);
}

// On every other device.
TORCH_LIBRARY_IMPL(gpt4mm, CompositeImplicitAutograd, library) { library.impl("linear", at::linear); }

TORCH_LIBRARY_IMPL(gpt4mm, AutogradCPU, library) { library.impl("linear", linear_autograd); }

// LibTorch's own linear knows what autocasting asks for.
TORCH_LIBRARY_IMPL(gpt4mm, AutocastCPU, library) { library.impl("linear", at::linear); }
