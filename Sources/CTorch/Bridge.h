#pragma once

// What the bridge's files share: handles to LibTorch's objects and back, and exceptions to messages.

#include "CTorch.h"

#include <ATen/core/Tensor.h>

#include <cstring>
#include <vector>

inline c10::TensorImpl *impl(const CTTensor *tensor) {
  return reinterpret_cast<c10::TensorImpl *>(const_cast<CTTensor *>(tensor));
}

inline at::Tensor borrow(const CTTensor *tensor) {
  return at::Tensor(c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim_copy(impl(tensor)));
}

inline std::vector<at::Tensor> borrow(const CTTensor *const *tensors, int64_t count) {
  std::vector<at::Tensor> result;
  result.reserve(count);
  for (int64_t i = 0; i < count; i++) result.push_back(borrow(tensors[i]));
  return result;
}

/// A handle that counts as one of the live tensors until it is released.
CTTensor *retain(at::Tensor tensor);

inline c10::Device device_of(int32_t kind, int32_t index) {
  TORCH_CHECK(index >= -1 && index <= INT8_MAX, "there is no device number ", index);
  return c10::Device(static_cast<c10::DeviceType>(kind), static_cast<c10::DeviceIndex>(index));
}

inline CTError message(const char *text) { return strdup(text); }

/// Runs `body`; turns any C++ exception into a message.
template <typename Body>
CTError guarded(Body &&body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const c10::Error &error) {
    return message(error.what_without_backtrace());
  } catch (const std::exception &error) {
    return message(error.what());
  } catch (...) {
    return message("an unknown C++ exception");
  }
}
