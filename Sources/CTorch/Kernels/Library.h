#pragma once

// Operators that LibTorch lacks or is slow at, registered with its dispatcher under the namespace gpt4mm, so that they are
// called like any other. Each is here because a benchmark showed the gap: docs/performance.md.

#include <ATen/core/Tensor.h>
#include <torch/library.h>

namespace gpt4mm {

template <typename Element>
void widen(const Element *from, float *to, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] = static_cast<float>(from[i]);
}

void heads(
    const at::Tensor &projected, int64_t normalized, const c10::List<std::optional<at::Tensor>> &cosines,
    const c10::List<std::optional<at::Tensor>> &sines, at::TensorList results);

at::Tensor layer_norm(const at::Tensor &x, const at::Tensor &weight, const at::Tensor &bias, double eps);

at::Tensor attention(
    const at::Tensor &query, const at::Tensor &key, const at::Tensor &value, const std::optional<at::Tensor> &mask,
    const std::optional<at::Tensor> &slopes, bool is_causal, double scale, bool rounds);

at::Tensor slot_attention(
    const at::Tensor &projected, int64_t normalized, const c10::List<std::optional<at::Tensor>> &cosines,
    const c10::List<std::optional<at::Tensor>> &sines, const at::Tensor &keys, const at::Tensor &values,
    const at::Tensor &rows, const std::optional<at::Tensor> &slopes, double scale);

at::Tensor multiply_adds(c10::string_view precision, bool saturates, int64_t repetitions);

at::Tensor read_memory(const at::Tensor &x, int64_t streams);

at::Tensor weight_ones(int64_t count);

std::tuple<at::Tensor, at::Tensor, at::Tensor> log_sum_exp(const at::Tensor &x);

at::Tensor pack_linear(const at::Tensor &weight, c10::string_view precision);

/// Whether `product` is faster than oneDNN's: where there is no AVX-512, the latter reaches two thirds of what registers allow.
bool has_product(int64_t rows, int64_t inputs, int64_t outputs);

at::Tensor product(const at::Tensor &x, const at::Tensor &weight, const std::optional<at::Tensor> &bias);

at::Tensor packed_linear(
    const at::Tensor &x, const std::optional<at::Tensor> &norm_weight, const std::optional<at::Tensor> &norm_bias,
    double eps, const at::Tensor &weight, c10::string_view precision, int64_t outputs,
    const std::optional<at::Tensor> &scales, const std::optional<at::Tensor> &sums,
    const std::optional<at::Tensor> &bias, int64_t activation, const std::optional<at::Tensor> &residual);

}  // namespace gpt4mm
