#pragma once

#include "Bridge.h"
#include "CTorchDistributed.h"

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <chrono>
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

  /// Waits until the operation is done. On the CPU it looks now and then whether its caller is to stop: then others get as long
  /// as they took before, and a few seconds, and whoever does not come by then hangs.
  void wait(c10d::Work &work, CTCancelled is_cancelled);

  /// Whether an operation was left under way. Its threads still wait, and so would who releases the group.
  bool is_left = false;

  using Clock = std::chrono::steady_clock;
  Clock::time_point latest = Clock::now();
  /// About the longest time from one operation to the next, of the last dozens.
  Clock::duration longest{};
};
