#include "Library.h"
#include "Parallel.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#define KERNELS "Gelu.inc"
#include "InstructionSets.h"

using at::Tensor;

namespace {

bool has_kernel(const Tensor &x, c10::string_view approximate) {
  return (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16) &&
         (approximate == "none" || approximate == "tanh");
}

/// `gelu(x)`, or with a gradient that times the slope at x.
Tensor run_kernel(const Tensor &input, const Tensor &output_gradient, bool by_tanh) {
  const Tensor x = input.contiguous();
  const Tensor gradient = output_gradient.defined() ? output_gradient.contiguous() : Tensor();
  TORCH_CHECK(
      !gradient.defined() || (gradient.sizes() == x.sizes() && gradient.scalar_type() == x.scalar_type()),
      "a gradient must have the shape and the dtype of what it is of");
  auto result = at::empty_like(x);
  auto run = [&](auto kernel, auto *from, auto *slope_of, auto *to) {
    gpt4mm::parallel_for(x.numel(), 8192, [&](int64_t begin, int64_t end) {
      kernel(from + begin, slope_of ? slope_of + begin : nullptr, by_tanh, end - begin, to + begin);
    });
  };
  auto data = [](const Tensor &tensor) { return tensor.defined() ? tensor.const_data_ptr() : nullptr; };
  if (x.scalar_type() == at::kFloat)
    run(KERNEL(gelu_of_float32), static_cast<const float *>(data(x)), static_cast<const float *>(data(gradient)),
        result.data_ptr<float>());
  else
    run(KERNEL(gelu_of_bfloat16), static_cast<const uint16_t *>(data(x)), static_cast<const uint16_t *>(data(gradient)),
        static_cast<uint16_t *>(result.data_ptr()));
  return result;
}

/// As LibTorch's, whose gradient takes three times as long.
Tensor gelu(const Tensor &x, c10::string_view approximate) {
  return has_kernel(x, approximate) ? run_kernel(x, {}, approximate == "tanh") : at::gelu(x, approximate);
}

struct Gelu : torch::autograd::Function<Gelu> {
  static Tensor forward(torch::autograd::AutogradContext *context, const Tensor &x, bool by_tanh) {
    context->save_for_backward({x});
    context->saved_data["by_tanh"] = by_tanh;
    return run_kernel(x, {}, by_tanh);
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
    const Tensor x = context->get_saved_variables()[0];
    const bool by_tanh = context->saved_data["by_tanh"].toBool();
    // LibTorch's has a derivative of its own.
    if (c10::GradMode::is_enabled()) return {at::gelu_backward(gradients[0], x, by_tanh ? "tanh" : "none"), {}};
    return {run_kernel(x, gradients[0], by_tanh), {}};
  }
};

Tensor gelu_autograd(const Tensor &x, c10::string_view approximate) {
  return has_kernel(x, approximate) ? Gelu::apply(x, approximate == "tanh") : at::gelu(x, approximate);
}

}  // namespace

TORCH_LIBRARY_IMPL(gpt4mm, CPU, library) { library.impl("gelu", gelu); }

// On every other device.
TORCH_LIBRARY_IMPL(gpt4mm, CompositeImplicitAutograd, library) { library.impl("gelu", at::gelu); }

TORCH_LIBRARY_IMPL(gpt4mm, AutogradCPU, library) { library.impl("gelu", gelu_autograd); }
