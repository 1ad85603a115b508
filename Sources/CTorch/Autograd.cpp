#include "Bridge.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <cstdlib>
#include <mutex>
#include <utility>

bool ct_tensor_requires_grad(const CTTensor *tensor) {
  bool result = false;
  free(guarded([&] { result = borrow(tensor).requires_grad(); }));
  return result;
}

CTError ct_tensor_set_requires_grad(CTTensor *tensor, bool requires_grad) {
  return guarded([&] { borrow(tensor).set_requires_grad(requires_grad); });
}

CTError ct_tensor_backward(CTTensor *tensor, const CTTensor *gradient, bool retain_graph) {
  return guarded([&] {
    torch::autograd::variable_list start;
    if (gradient) start.push_back(borrow(gradient));
    torch::autograd::backward({borrow(tensor)}, start, retain_graph);
  });
}

CTError ct_tensor_grad(const CTTensor *tensor, CTTensor **result) {
  return guarded([&] {
    auto gradient = borrow(tensor).grad();
    *result = gradient.defined() ? retain(std::move(gradient)) : nullptr;
  });
}

CTError ct_tensor_set_grad(CTTensor *tensor, const CTTensor *gradient) {
  return guarded([&] { borrow(tensor).mutable_grad() = gradient ? borrow(gradient) : at::Tensor(); });
}

bool ct_grad_mode(void) {
  bool result = true;
  free(guarded([&] { result = c10::GradMode::is_enabled(); }));
  return result;
}

void ct_set_grad_mode(bool enabled) {
  free(guarded([&] { c10::GradMode::set_enabled(enabled); }));
}

int32_t ct_autocast(int32_t device) {
  int32_t dtype = -1;
  auto type = static_cast<c10::DeviceType>(device);
  free(guarded([&] {
    if (at::autocast::is_autocast_enabled(type)) dtype = static_cast<int32_t>(at::autocast::get_autocast_dtype(type));
  }));
  return dtype;
}

CTError ct_set_autocast(int32_t device, int32_t dtype) {
  return guarded([&] {
    auto type = static_cast<c10::DeviceType>(device);
    // A weight cast without gradients, as in a custom function, must not be taken for one with them.
    at::autocast::set_autocast_cache_enabled(false);
    if (dtype >= 0) at::autocast::set_autocast_dtype(type, static_cast<c10::ScalarType>(dtype));
    at::autocast::set_autocast_enabled(type, dtype >= 0);
  });
}

namespace {

/// A step of the backward pass that runs a function given over C.
struct Pullback : torch::autograd::Node {
  CTPullback run;
  void (*release)(void *);
  void *context;

  Pullback(CTPullback run, void (*release)(void *), void *context) : run(run), release(release), context(context) {}
  ~Pullback() override { release_variables(); }

  void release_variables() override {
    std::lock_guard<std::mutex> lock(mutex_);
    if (auto held = std::exchange(context, nullptr)) release(held);
  }

  std::string name() const override { return "Pullback"; }

  torch::autograd::variable_list apply(torch::autograd::variable_list &&gradients) override {
    std::lock_guard<std::mutex> lock(mutex_);
    TORCH_CHECK(context, "the backward pass ran through here before and was not told to retain the graph");
    TORCH_CHECK(!c10::GradMode::is_enabled(), "a custom function or a checkpoint has no second derivative");
    torch::autograd::variable_list derivatives(num_outputs());
    if (!gradients[0].defined()) return derivatives;
    std::vector<CTTensor *> results(num_outputs(), nullptr);
    auto error = run(context, retain(gradients[0]), results.data());
    for (size_t i = 0; i < results.size(); i++) {
      if (!results[i]) continue;
      if (task_should_compute_output(i)) derivatives[i] = borrow(results[i]);
      ct_tensor_release(results[i]);
    }
    if (error) {
      std::string text(error);
      free(error);
      TORCH_CHECK(false, text);
    }
    return derivatives;
  }
};

}  // namespace

CTError ct_gradients(
    CTTensor *output, CTTensor *const *inputs, int64_t count, const CTTensor *gradient, bool retain_graph,
    bool create_graph, CTTensor **results) {
  return guarded([&] {
    auto to = borrow(inputs, count);
    torch::autograd::variable_list start;
    if (gradient) start.push_back(borrow(gradient));
    auto gradients =
        torch::autograd::grad({borrow(output)}, to, start, retain_graph || create_graph, create_graph, true);
    for (int64_t i = 0; i < count; i++)
      results[i] = retain(gradients[i].defined() ? gradients[i] : at::zeros_like(to[i]));
  });
}

CTError ct_with_pullback(
    const CTTensor *value, CTTensor *const *inputs, int64_t count, CTPullback pullback,
    void (*release)(void *context), void *context, CTTensor **result) {
  auto node = c10::make_intrusive<Pullback>(pullback, release, context);
  return guarded([&] {
    node->set_next_edges(torch::autograd::collect_next_edges(borrow(inputs, count)));
    auto output = borrow(value).detach();
    torch::autograd::set_history(output, node);
    *result = retain(std::move(output));
  });
}
