#include "AttentionBlock.h"
#include "Library.h"
#include "Parallel.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

using at::Tensor;
using gpt4mm::AttentionBlock;
using gpt4mm::AttentionGradients;

namespace {

Tensor rows_of(const Tensor &x) { return x.stride(-1) == 1 ? x : x.contiguous(); }

/// What attention is given, checked.
struct Inputs {
  Tensor query, key, value, mask, slopes;
  int64_t batch, heads, queries, keys, width;
  bool is_causal;
  float scale;

  Inputs(
      const Tensor &q, const Tensor &k, const Tensor &v, const std::optional<Tensor> &added,
      const std::optional<Tensor> &falls, bool is_causal, double scale)
      : width(q.size(-1)), is_causal(is_causal), scale(static_cast<float>(scale)) {
    TORCH_CHECK(AttentionBlock::is_width(width), "heads must be 32 or 64 wide, got ", width);
    for (auto &x : {q, k, v})
      TORCH_CHECK(
          x.dim() == 4 && x.size(3) == width && x.scalar_type() == at::kFloat && x.size(0) == q.size(0) &&
              x.size(1) == q.size(1),
          "queries, keys and values must be float32 [batch, heads, length, width]");
    batch = q.size(0);
    heads = q.size(1);
    queries = q.size(2);
    keys = k.size(2);
    TORCH_CHECK(v.size(2) == keys && keys > 0, "there must be as many values as keys, and at least one");
    TORCH_CHECK(!is_causal || queries <= keys, "with a causal mask there must be at least as many keys as queries");
    query = rows_of(q);
    key = rows_of(k);
    value = rows_of(v);
    if (added) {
      TORCH_CHECK(added->scalar_type() == at::kFloat, "the mask must be float32, to be added");
      mask = rows_of(added->expand({batch, heads, queries, keys}));
    }
    TORCH_CHECK(
        !falls || (falls->numel() == heads && falls->scalar_type() == at::kFloat), "slopes must be float32, one per head");
    if (falls) slopes = falls->contiguous();
  }

  int64_t padded() const { return AttentionBlock::padded_keys(keys); }

  /// At most `rows` queries of a head from `first` on.
  /// - Parameter result: [batch, queries, heads · width], or null
  AttentionBlock block(int64_t b, int64_t head, int64_t first, int64_t rows, float *result) const {
    auto at = [&](const Tensor &x, int64_t row) {
      return x.const_data_ptr<float>() + b * x.stride(0) + head * x.stride(1) + row * x.stride(2);
    };
    AttentionBlock work;
    work.query = at(query, first);
    work.key = at(key, 0);
    work.value = at(value, 0);
    work.mask = mask.defined() ? at(mask, first) : nullptr;
    work.query_stride = query.stride(2);
    work.key_stride = key.stride(2);
    work.value_stride = value.stride(2);
    work.mask_stride = mask.defined() ? mask.stride(2) : 0;
    work.queries = std::min(rows, queries - first);
    work.keys = is_causal ? std::min(keys, keys - queries + first + work.queries) : keys;
    work.visible = is_causal ? keys - queries + first + 1 : keys;
    work.scale = scale;
    work.slope = slopes.defined() ? slopes.const_data_ptr<float>()[head] : 0;
    work.first_query = static_cast<float>(keys - queries + first);
    work.result = result ? result + place(b, head, first) : nullptr;
    work.result_stride = heads * width;
    return work;
  }

  /// Of a query in [batch, queries, heads · width].
  int64_t place(int64_t b, int64_t head, int64_t query) const { return ((b * queries + query) * heads + head) * width; }
};

}  // namespace

/// Attention over float32 [batch, heads, length, width], 32 or 64 wide: for short texts and few patches, where LibTorch's kernel
/// spends most of its time around its matrix products.
/// - Parameters:
///   - mask: added to the scores, broadcastable to [batch, heads, queries, keys]
///   - slopes: ALiBi's, one per head: the score falls by so much for each position between query and key, where the
///     queries are the last of the keys
///   - rounds: what several queries are multiplied with, and they themselves, to bfloat16 where the machine has products of it
/// - Returns: [batch, queries, heads · width]
Tensor gpt4mm::attention(
    const Tensor &query, const Tensor &key, const Tensor &value, const std::optional<Tensor> &mask,
    const std::optional<Tensor> &slopes, bool is_causal, double scale, bool rounds) {
  const Inputs inputs(query, key, value, mask, slopes, is_causal, scale);
  auto result = at::empty({inputs.batch, inputs.queries, inputs.heads * inputs.width}, query.options());
  auto target = result.data_ptr<float>();
  const int64_t padded = inputs.padded(), rows = AttentionBlock::queries_at_once(padded);
  const int64_t blocks = (inputs.queries + rows - 1) / rows;
  const int64_t cost = 2 * std::max<int64_t>(1, std::min(rows, inputs.queries)) * inputs.keys * inputs.width;
  const int64_t grain = std::max<int64_t>(1, 200000 / cost);
  gpt4mm::parallel_for(inputs.batch * inputs.heads * blocks, grain, [&](int64_t begin, int64_t end) {
    gpt4mm::AttentionScratch scratch(inputs.width, rounds, inputs.queries, padded);
    for (int64_t item = begin; item < end; item++) {
      const int64_t head = item / blocks;
      auto work = inputs.block(head / inputs.heads, head % inputs.heads, item % blocks * rows, rows, target);
      scratch.attend(work, head, inputs.keys);
    }
  });
  return result;
}

namespace {

/// The gradients of queries, keys and values, [batch, heads, length, width] each. With `Pᵢⱼ` what query i gives to key j, `O` what
/// came out and `dO` its gradient: `dVⱼ = Σᵢ Pᵢⱼ dOᵢ`, `dSᵢⱼ = Pᵢⱼ (dOᵢ · Vⱼ - dOᵢ · Oᵢ) scale`, `dQᵢ = Σⱼ dSᵢⱼ Kⱼ`,
/// `dKⱼ = Σᵢ dSᵢⱼ Qᵢ` (Dao et al., 2022).
std::tuple<Tensor, Tensor, Tensor> attention_backward(
    const Inputs &inputs, const Tensor &output, const Tensor &output_gradient) {
  const Tensor result = output.contiguous(), gradient = output_gradient.contiguous();
  const int64_t width = inputs.width, padded = inputs.padded();
  const int64_t rows = gpt4mm::AttentionGradientScratch::queries_at_once(padded);
  auto shape = [&](int64_t length) { return std::vector<int64_t>{inputs.batch, inputs.heads, length, width}; };
  auto query = at::empty(shape(inputs.queries), result.options());
  auto key = at::zeros(shape(inputs.keys), result.options()), value = at::zeros(shape(inputs.keys), result.options());
  auto to_query = query.data_ptr<float>(), to_key = key.data_ptr<float>(), to_value = value.data_ptr<float>();
  gpt4mm::parallel_for(inputs.batch * inputs.heads, 1, [&](int64_t begin, int64_t end) {
    gpt4mm::AttentionGradientScratch scratch(width, inputs.queries, padded);
    for (int64_t head = begin; head < end; head++)
      for (int64_t first = 0; first < inputs.queries; first += rows) {
        auto work = inputs.block(head / inputs.heads, head % inputs.heads, first, rows, nullptr);
        const int64_t place = inputs.place(head / inputs.heads, head % inputs.heads, first);
        AttentionGradients own;
        own.result = result.const_data_ptr<float>() + place;
        own.gradient = gradient.const_data_ptr<float>() + place;
        own.query = to_query + (head * inputs.queries + first) * width;
        own.key = to_key + head * inputs.keys * width;
        own.value = to_value + head * inputs.keys * width;
        scratch.attend_backward(work, own, head, inputs.keys);
      }
  });
  return {query, key, value};
}

struct Attention : torch::autograd::Function<Attention> {
  static Tensor forward(
      torch::autograd::AutogradContext *context, const Tensor &query, const Tensor &key, const Tensor &value,
      const std::optional<Tensor> &mask, const std::optional<Tensor> &slopes, bool is_causal, double scale, bool rounds) {
    for (auto &fixed : {mask, slopes})
      TORCH_CHECK(!fixed || !fixed->requires_grad(), "attention has no gradient of its mask and its slopes");
    auto result = gpt4mm::attention(query, key, value, mask, slopes, is_causal, scale, rounds);
    context->save_for_backward({query, key, value, mask.value_or(Tensor()), slopes.value_or(Tensor()), result});
    context->saved_data["is_causal"] = is_causal;
    context->saved_data["scale"] = scale;
    return result;
  }

  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext *context, torch::autograd::variable_list gradients) {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "fused attention has no second derivative");
    auto saved = context->get_saved_variables();
    auto given = [&](int i) { return saved[i].defined() ? std::optional(saved[i]) : std::nullopt; };
    const Inputs inputs(
        saved[0], saved[1], saved[2], given(3), given(4), context->saved_data["is_causal"].toBool(),
        context->saved_data["scale"].toDouble());
    auto [query, key, value] = attention_backward(inputs, saved[5], gradients[0]);
    return {query, key, value, {}, {}, {}, {}, {}};
  }
};

Tensor attention_autograd(
    const Tensor &query, const Tensor &key, const Tensor &value, const std::optional<Tensor> &mask,
    const std::optional<Tensor> &slopes, bool is_causal, double scale, bool rounds) {
  return Attention::apply(query, key, value, mask, slopes, is_causal, scale, rounds);
}

}  // namespace

TORCH_LIBRARY_IMPL(gpt4mm, AutogradCPU, library) { library.impl("attention", attention_autograd); }
