#include "Bridge.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdlib>

bool ct_tensor_requires_grad(const CTTensor *tensor) {
  bool result = false;
  free(guarded([&] { result = borrow(tensor).requires_grad(); }));
  return result;
}

CTError ct_tensor_set_requires_grad(CTTensor *tensor, bool requires_grad) {
  return guarded([&] { borrow(tensor).set_requires_grad(requires_grad); });
}

CTError ct_tensor_backward(CTTensor *tensor) {
  return guarded([&] { torch::autograd::backward({borrow(tensor)}, {}); });
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
    // A weight cast without gradients, as in a checkpoint, must not be taken for one with them.
    at::autocast::set_autocast_cache_enabled(false);
    if (dtype >= 0) at::autocast::set_autocast_dtype(type, static_cast<c10::ScalarType>(dtype));
    at::autocast::set_autocast_enabled(type, dtype >= 0);
  });
}

namespace {

/// What a checkpoint computes, and under which settings.
struct CheckpointBody : torch::CustomClassHolder {
  CTTensor *(*body)(void *, CTTensor *const *);
  void (*release)(void *);
  void *context;
  c10::DeviceType device = c10::DeviceType::CPU;
  int32_t autocast = -1;

  ~CheckpointBody() override { release(context); }

  at::Tensor operator()(const std::vector<at::Tensor> &inputs) const {
    std::vector<CTTensor *> handles;
    for (auto &input : inputs)
      handles.push_back(reinterpret_cast<CTTensor *>(const_cast<c10::TensorImpl *>(input.unsafeGetTensorImpl())));
    auto result = body(context, handles.data());
    TORCH_CHECK(result, "what is checkpointed failed");
    auto tensor = borrow(result);
    ct_tensor_release(result);
    return tensor;
  }
};

struct Checkpoint : torch::autograd::Function<Checkpoint> {
  static std::vector<at::Tensor> leaves(const std::vector<at::Tensor> &tensors) {
    std::vector<at::Tensor> result;
    for (auto &tensor : tensors) result.push_back(tensor.detach().set_requires_grad(tensor.requires_grad()));
    return result;
  }

  static at::Tensor forward(
      torch::autograd::AutogradContext *context, c10::intrusive_ptr<CheckpointBody> body,
      at::TensorList inputs) {
    context->saved_data["body"] = c10::IValue::make_capsule(body);
    context->save_for_backward(inputs.vec());
    // Recorded as the second time, so that the same operators run, and forgotten at once.
    c10::AutoGradMode on(true);
    return (*body)(leaves(inputs.vec())).detach();
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
    auto capsule = context->saved_data["body"].toCapsule();
    auto &body = static_cast<CheckpointBody &>(*capsule);
    auto inputs = leaves(context->get_saved_variables());
    at::Tensor output;
    {
      c10::AutoGradMode on(true);
      struct Restored {
        int32_t device, before = ct_autocast(device);
        ~Restored() { free(ct_set_autocast(device, before)); }
      } restored{static_cast<int32_t>(body.device)};
      free(ct_set_autocast(restored.device, body.autocast));
      output = body(inputs);
    }
    // Parameters that the body uses are leaves, whose gradients this adds up.
    torch::autograd::backward({output}, {gradients[0]});
    torch::autograd::variable_list result{at::Tensor()};
    for (auto &input : inputs) result.push_back(input.grad());
    return result;
  }
};

}  // namespace

CTError ct_checkpoint(
    CTTensor *const *inputs, int64_t count, CTTensor *(*body)(void *context, CTTensor *const *inputs),
    void (*release)(void *context), void *context, CTTensor **result) {
  auto held = c10::make_intrusive<CheckpointBody>();
  held->body = body;
  held->release = release;
  held->context = context;
  return guarded([&] {
    std::vector<at::Tensor> tensors;
    for (int64_t i = 0; i < count; i++) tensors.push_back(borrow(inputs[i]));
    held->device = tensors.at(0).device().type();
    held->autocast = ct_autocast(static_cast<int32_t>(held->device));
    *result = retain(Checkpoint::apply(held, at::TensorList(tensors)));
  });
}
