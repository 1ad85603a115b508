#include "Library.h"
#include "Parallel.h"

#include <ATen/ops/empty.h>

using at::Tensor;

namespace {

constexpr int64_t width = 64;             // of a head
constexpr int64_t chunk = 64;             // keys whose transpose is held at once
constexpr int64_t group = 4;              // queries computed together

/// Some queries of one head.
struct Block {
  const float *query, *key, *value;
  const float *mask;  // or null
  int64_t query_stride, key_stride, value_stride, mask_stride;
  int64_t queries, keys;
  /// Query i sees keys before `visible + i`.
  int64_t visible;
  float scale;
  /// The score is lowered by this for each position between query and key; the first query's position.
  float slope, first_query;
  float *scores;   // [queries, padded]
  float *weights;  // [padded, group], and a vector behind it
  int64_t padded;
  float *result;
  int64_t result_stride;
};

Tensor rows_of(const Tensor &x) { return x.stride(-1) == 1 ? x : x.contiguous(); }

}  // namespace

#define KERNELS "Attention.inc"
#include "InstructionSets.h"

/// Attention in float32 over [batch, heads, length, 64], without gradients: for the short texts and few patches of this
/// model, where LibTorch's kernel spends most of its time around its matrix products.
/// - Parameters:
///   - mask: added to the scores, broadcastable to [batch, heads, queries, keys]
///   - slopes: ALiBi's, one per head: the score falls by so much for each position between query and key, where the
///     queries are the last of the keys
/// - Returns: [batch, queries, heads · 64]
Tensor gpt4mm::attention(
    const Tensor &query, const Tensor &key, const Tensor &value, const std::optional<Tensor> &mask,
    const std::optional<Tensor> &slopes, bool is_causal, double scale) {
  for (auto &x : {query, key, value})
    TORCH_CHECK(
        x.dim() == 4 && x.size(3) == width && x.scalar_type() == at::kFloat && x.size(0) == query.size(0) &&
            x.size(1) == query.size(1),
        "queries, keys and values must be float32 [batch, heads, length, 64]");
  const int64_t batch = query.size(0), heads = query.size(1), queries = query.size(2), keys = key.size(2);
  TORCH_CHECK(value.size(2) == keys && keys > 0, "there must be as many values as keys, and at least one");
  TORCH_CHECK(!is_causal || queries <= keys, "with a causal mask there must be at least as many keys as queries");
  auto q = rows_of(query), k = rows_of(key), v = rows_of(value);
  Tensor added;
  if (mask) {
    TORCH_CHECK(mask->scalar_type() == at::kFloat, "the mask must be float32, to be added");
    added = rows_of(mask->expand({batch, heads, queries, keys}));
  }
  TORCH_CHECK(
      !slopes || (slopes->numel() == heads && slopes->scalar_type() == at::kFloat), "slopes must be float32, one per head");
  const Tensor falls = slopes ? slopes->contiguous() : Tensor();
  auto result = at::empty({batch, queries, heads * width}, query.options());
  auto target = result.data_ptr<float>();
  const int64_t padded = (keys + chunk - 1) / chunk * chunk;
  // As many queries at once as keep the scores in a core's own cache.
  const int64_t rows = std::max(group, std::min<int64_t>(64, 65536 / padded / group * group));
  const int64_t blocks = (queries + rows - 1) / rows;
  const int64_t cost = 2 * std::max<int64_t>(1, std::min(rows, queries)) * keys * width;
  gpt4mm::parallel_for(batch * heads * blocks, std::max<int64_t>(1, 200000 / cost), [&](int64_t begin, int64_t end) {
    std::vector<float> scores(std::min(rows, queries) * padded), weights(queries > 1 ? padded * group + lanes : 0);
    for (int64_t item = begin; item < end; item++) {
      const int64_t block = item % blocks, head = item / blocks % heads, b = item / blocks / heads;
      const int64_t first = block * rows;
      Block work;
      work.query = q.const_data_ptr<float>() + b * q.stride(0) + head * q.stride(1) + first * q.stride(2);
      work.key = k.const_data_ptr<float>() + b * k.stride(0) + head * k.stride(1);
      work.value = v.const_data_ptr<float>() + b * v.stride(0) + head * v.stride(1);
      work.mask = added.defined() ? added.const_data_ptr<float>() + b * added.stride(0) + head * added.stride(1) +
                                        first * added.stride(2)
                                  : nullptr;
      work.query_stride = q.stride(2);
      work.key_stride = k.stride(2);
      work.value_stride = v.stride(2);
      work.mask_stride = added.defined() ? added.stride(2) : 0;
      work.queries = std::min(rows, queries - first);
      work.keys = is_causal ? std::min(keys, keys - queries + first + work.queries) : keys;
      work.visible = is_causal ? keys - queries + first + 1 : keys;
      work.scale = static_cast<float>(scale);
      work.slope = falls.defined() ? falls.const_data_ptr<float>()[head] : 0;
      work.first_query = static_cast<float>(keys - queries + first);
      work.scores = scores.data();
      work.weights = weights.data();
      work.padded = padded;
      work.result = target + (b * queries + first) * heads * width + head * width;
      work.result_stride = heads * width;
      KERNEL(attend)(work);
    }
  });
  return result;
}
