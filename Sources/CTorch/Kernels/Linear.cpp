#include "Library.h"

#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <torch/csrc/autograd/custom_function.h>

using at::Tensor;

namespace {

/// `x · weightᵀ + bias` on plain matrices of any strides: by our own product where that is faster, else by oneDNN's, which is
/// up to twice as fast as the BLAS behind `aten::linear`.
Tensor plain_linear(const Tensor &x, const Tensor &weight, const std::optional<Tensor> &bias) {
  const int64_t inputs = weight.size(1), outputs = weight.size(0);
  if (inputs > 0 && gpt4mm::has_product(x.numel() / inputs, inputs, outputs)) {
    auto shape = x.sizes().vec();
    shape.back() = outputs;
    return gpt4mm::product(x.reshape({-1, inputs}), weight, bias).view(shape);
  }
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
         weight.scalar_type() == at::kFloat && x.numel() > 0 &&
         x.dim() > 0 && weight.dim() == 2;
}

Tensor linear(const Tensor &x, const Tensor &weight, const std::optional<Tensor> &bias) {
  return has_onednn_linear(x, weight) ? plain_linear(x, weight, bias) : at::linear(x, weight, bias);
}

struct Linear : torch::autograd::Function<Linear> {
  static Tensor forward(
      torch::autograd::AutogradContext *context, const Tensor &x, const Tensor &weight,
      const std::optional<Tensor> &bias) {
    context->save_for_backward({x, weight});
    context->saved_data["has_bias"] = bias.has_value();
    at::AutoDispatchBelowADInplaceOrView below;
    return plain_linear(x, weight, bias);
  }

  /// `∂x = ∂y · W`, `∂W = ∂yᵀ · x`, `∂b = Σ ∂y`
  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
    auto saved = context->get_saved_variables();
    auto &x = saved[0], &weight = saved[1], &output = gradients[0];
    auto rows = output.reshape({-1, output.size(-1)});
    Tensor x_gradient, weight_gradient, bias_gradient;
    // LibTorch's products have derivatives of their own.
    if (c10::GradMode::is_enabled())
      return {
          at::matmul(output, weight), at::matmul(rows.t(), x.reshape({-1, x.size(-1)})),
          context->saved_data["has_bias"].toBool() ? rows.sum(0) : Tensor()};
    if (context->needs_input_grad(0)) x_gradient = plain_linear(output, weight.t(), {});
    if (context->needs_input_grad(1))
      weight_gradient = plain_linear(rows.t(), x.reshape({-1, x.size(-1)}).t(), {});
    if (context->saved_data["has_bias"].toBool() && context->needs_input_grad(2)) bias_gradient = rows.sum(0);
    return {x_gradient, weight_gradient, bias_gradient};
  }
};

Tensor linear_autograd(const Tensor &x, const Tensor &weight, const std::optional<Tensor> &bias) {
  return has_onednn_linear(x, weight) ? Linear::apply(x, weight, bias) : at::linear(x, weight, bias);
}

}  // namespace

TORCH_LIBRARY_IMPL(gpt4mm, CPU, library) { library.impl("linear", linear); }

// On every other device.
TORCH_LIBRARY_IMPL(gpt4mm, CompositeImplicitAutograd, library) { library.impl("linear", at::linear); }

TORCH_LIBRARY_IMPL(gpt4mm, AutogradCPU, library) { library.impl("linear", linear_autograd); }

// LibTorch's own linear knows what autocasting asks for.
TORCH_LIBRARY_IMPL(gpt4mm, AutocastCPU, library) { library.impl("linear", at::linear); }
