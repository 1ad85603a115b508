#include "ProcessGroup.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <exception>

namespace {

using torch::autograd::variable_list;

struct Bucket {
  /// Places in the list of parameters.
  std::vector<size_t> parameters;
  /// All their gradients after each other; in the last bucket there follow a flag for each bucket and one for each parameter.
  at::Tensor flat;
  /// A parameter's part of `flat`, in the parameter's shape.
  std::vector<at::Tensor> parts;
  c10::intrusive_ptr<c10d::Work> work;
  /// Parameters whose gradients are still to come.
  size_t waiting = 0;
  bool is_launched = false;
  /// Whether a gradient changed after the bucket was sent.
  bool is_late = false;
};

}  // namespace

/// A parameter that several checkpoints use gets its gradient in several parts. How many there are is learned from
/// the steps before. Should one come after its bucket was sent, the bucket is sent again; that all processes know of it
/// is what the flags are for, and why the last bucket waits for the end of the backward pass.
struct CTGradientReducer {
  CTProcessGroup *group;
  std::vector<at::Tensor> parameters;
  /// The nodes that hold the hooks: LibTorch itself does not keep them alive.
  std::vector<c10::intrusive_ptr<torch::autograd::Node>> accumulators;
  std::vector<uintptr_t> hooks;
  std::vector<Bucket> buckets;
  std::vector<size_t> bucket_of;
  std::vector<int64_t> fired, expected;
  bool has_learned = false;

  mutable std::mutex mutex;
  bool is_enabled = true;
  size_t next = 0;
  std::exception_ptr failure;
  int64_t bytes = 0, early = 0, again = 0;
  int64_t last_bytes = 0, last_early = 0, last_again = 0;

  CTGradientReducer(
      CTProcessGroup *group, std::vector<at::Tensor> leaves, size_t first_bytes, size_t bucket_bytes)
      : group(group), parameters(std::move(leaves)), bucket_of(parameters.size()), fired(parameters.size(), 0),
        expected(parameters.size(), 1) {
    TORCH_CHECK(!parameters.empty(), "there is no parameter whose gradients are to be summed");
    for (auto &parameter : parameters)
      TORCH_CHECK(
          parameter.is_leaf() && parameter.requires_grad(), "a tensor of shape ", parameter.sizes(),
          " is no leaf that requires a gradient");
    std::vector<at::Tensor> reversed(parameters.rbegin(), parameters.rend());
    auto assignment = std::get<0>(c10d::compute_bucket_assignment_by_size(reversed, {first_bytes, bucket_bytes}));
    for (auto &places : assignment) {
      Bucket bucket;
      for (auto place : places) {
        bucket.parameters.push_back(parameters.size() - 1 - place);
        bucket_of[bucket.parameters.back()] = buckets.size();
      }
      buckets.push_back(std::move(bucket));
    }
    for (auto &bucket : buckets) {
      int64_t count = 0, flags = &bucket == &buckets.back() ? flag_count() : 0;
      for (auto i : bucket.parameters) count += parameters[i].numel();
      bucket.flat = at::empty({count + flags}, parameters[bucket.parameters[0]].options().requires_grad(false));
      int64_t offset = 0;
      for (auto i : bucket.parameters) {
        bucket.parts.push_back(bucket.flat.narrow(0, offset, parameters[i].numel()).view(parameters[i].sizes()));
        offset += parameters[i].numel();
      }
    }
    begin_step();
    for (size_t i = 0; i < parameters.size(); i++) {
      auto node = torch::autograd::impl::grad_accumulator(parameters[i]);
      auto hook = [this, i](const variable_list &outputs, const variable_list &) {
        accumulated(i);
        return outputs;
      };
      hooks.push_back(node->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(hook)));
      accumulators.push_back(std::move(node));
    }
  }

  ~CTGradientReducer() {
    for (size_t i = 0; i < hooks.size(); i++) accumulators[i]->del_post_hook(hooks[i]);
  }

  void begin_step() {
    std::fill(fired.begin(), fired.end(), 0);
    for (auto &bucket : buckets) {
      bucket.work.reset();
      bucket.is_launched = bucket.is_late = false;
      bucket.waiting = 0;
      for (auto i : bucket.parameters) bucket.waiting += expected[i] > 0;
    }
    next = 0;
    last_bytes = bytes, last_early = early, last_again = again;
    bytes = early = again = 0;
    failure = nullptr;
  }

  /// Called by the backward pass each time a part of a gradient was added.
  void accumulated(size_t i) noexcept {
    std::lock_guard<std::mutex> lock(mutex);
    if (!is_enabled || failure) return;
    try {
      fired[i]++;
      auto &bucket = buckets[bucket_of[i]];
      if (bucket.is_launched) {
        bucket.is_late = true;
      } else if (fired[i] == expected[i]) {
        bucket.waiting--;
        for (; next + 1 < buckets.size() && buckets[next].waiting == 0; next++, early++) launch(buckets[next]);
      }
    } catch (...) {
      failure = std::current_exception();
    }
  }

  void launch(Bucket &bucket) {
    c10::AutoGradMode off(false);
    for (size_t k = 0; k < bucket.parts.size(); k++) {
      auto gradient = parameters[bucket.parameters[k]].grad();
      if (gradient.defined()) {
        bucket.parts[k].copy_(gradient);
      } else {
        bucket.parts[k].zero_();
      }
    }
    if (&bucket == &buckets.back()) {
      std::vector<double> values;
      for (auto &each : buckets) values.push_back(each.is_late);
      for (auto &parameter : parameters) values.push_back(parameter.grad().defined());
      flags().copy_(at::tensor(values));
    }
    bucket.is_launched = true;
    bucket.work = group->all_reduce(bucket.flat, c10d::ReduceOp::SUM);
    bytes += static_cast<int64_t>(bucket.flat.nbytes());
  }

  int64_t flag_count() const { return static_cast<int64_t>(buckets.size() + parameters.size()); }

  at::Tensor flags() const {
    auto count = flag_count();
    auto &flat = buckets.back().flat;
    return flat.narrow(0, flat.numel() - count, count);
  }

  void reduce(CTCancelled is_cancelled) {
    auto wait = [&](Bucket &bucket) { group->wait(*bucket.work, is_cancelled); };
    if (failure) std::rethrow_exception(failure);
    for (; next < buckets.size(); next++) launch(buckets[next]);
    wait(buckets.back());
    auto sums = flags().to(at::kCPU, at::kDouble);
    auto late = sums.const_data_ptr<double>(), present = late + buckets.size();
    for (size_t b = 0; b < buckets.size(); b++) {
      if (late[b] == 0) continue;
      wait(buckets[b]);
      launch(buckets[b]);
      again++;
    }
    c10::AutoGradMode off(false);
    for (auto &bucket : buckets) {
      wait(bucket);
      for (size_t k = 0; k < bucket.parts.size(); k++) {
        auto i = bucket.parameters[k];
        if (present[i] == 0) continue;
        auto &gradient = parameters[i].mutable_grad();
        if (gradient.defined()) {
          gradient.copy_(bucket.parts[k]);
        } else {
          gradient = bucket.parts[k].clone();
        }
      }
    }
  }

  void finish(CTCancelled is_cancelled) {
    std::lock_guard<std::mutex> lock(mutex);
    auto error = [&]() -> std::exception_ptr {
      try {
        reduce(is_cancelled);
        return nullptr;
      } catch (...) {
        return std::current_exception();
      }
    }();
    // The first step that sent during its backward pass tells which parameters get no gradient at all.
    if (std::any_of(fired.begin(), fired.end(), [](auto count) { return count > 0; })) {
      for (size_t i = 0; i < fired.size(); i++) expected[i] = has_learned ? std::max(expected[i], fired[i]) : fired[i];
      has_learned = true;
    }
    begin_step();
    if (error) std::rethrow_exception(error);
  }
};

CTError ct_gradient_reducer_create(
    CTProcessGroup *group, CTTensor *const *parameters, int64_t count, int64_t first_bytes, int64_t bucket_bytes,
    CTGradientReducer **result) {
  return guarded([&] {
    *result = new CTGradientReducer(
        group, borrow(parameters, count), static_cast<size_t>(first_bytes), static_cast<size_t>(bucket_bytes));
  });
}

void ct_gradient_reducer_release(CTGradientReducer *reducer) {
  free(guarded([&] { delete reducer; }));
}

void ct_gradient_reducer_set_enabled(CTGradientReducer *reducer, bool enabled) {
  free(guarded([&] {
    std::lock_guard<std::mutex> lock(reducer->mutex);
    reducer->is_enabled = enabled;
  }));
}

CTError ct_gradient_reducer_finish(CTGradientReducer *reducer, CTCancelled is_cancelled) {
  return guarded([&] { reducer->finish(is_cancelled); });
}

int64_t ct_gradient_reducer_bucket_count(const CTGradientReducer *reducer) {
  return static_cast<int64_t>(reducer->buckets.size());
}

void ct_gradient_reducer_statistics(const CTGradientReducer *reducer, int64_t *bytes, int64_t *early, int64_t *again) {
  free(guarded([&] {
    std::lock_guard<std::mutex> lock(reducer->mutex);
    *bytes = reducer->last_bytes;
    *early = reducer->last_early;
    *again = reducer->last_again;
  }));
}
