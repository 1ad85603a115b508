#pragma once

#include "Bridge.h"
#include "CTorchDistributed.h"

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <mutex>

struct CTProcessGroup {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::Backend> backend;
  c10::Device device;
  /// Operations are numbered as they start.
  std::mutex starting;

  c10::intrusive_ptr<c10d::Work> all_reduce(const at::Tensor &tensor, c10d::ReduceOp reduction) {
    std::lock_guard<std::mutex> lock(starting);
    std::vector<at::Tensor> tensors{tensor};
    c10d::AllreduceOptions options;
    options.reduceOp = std::move(reduction);
    return backend->allreduce(tensors, options);
  }
};
