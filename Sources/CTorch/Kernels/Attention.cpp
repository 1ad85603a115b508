#include "Library.h"
#include "PackedProduct.h"
#include "Parallel.h"

#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>

using at::Tensor;

namespace {

constexpr int64_t widest = 64;            // head
constexpr int64_t chunk = 64;             // keys beside each other
constexpr int64_t most_queries = 72;      // of a block
constexpr int64_t whole_queries = 12;     // a multiple of what any instruction set computes together

/// Some queries of one head.
struct Block {
  const float *query, *key, *value;
  const uint32_t *packed_keys = nullptr, *packed_values = nullptr;  // for more than one query
  const float *mask;  // or null
  int64_t query_stride, key_stride, value_stride, mask_stride;
  int64_t queries, keys;
  /// Query i sees keys before `visible + i`.
  int64_t visible;
  float scale;
  /// The score is lowered by this for each position between query and key; the first query's position.
  float slope, first_query;
  float *scores;  // [queries, padded]
  int64_t padded;
  float *result;
  int64_t result_stride;
};

/// What the gradients of a block are computed from, and where they go.
struct BlockGradients {
  const float *result, *gradient;  // what came out and its gradient, [queries, width] with the block's stride
  const uint32_t *packed_values;   // as keys
  float *score_gradients;          // [queries, padded]
  float *query;                    // [queries, width]
  float *key, *value;              // of the whole head, [keys, width], to be added to
};

/// Queries of a block, as many as keep the scores in a core's own cache.
int64_t queries_at_once(int64_t padded) {
  return std::max(whole_queries, std::min(most_queries, 65536 / padded / whole_queries * whole_queries));
}

Tensor rows_of(const Tensor &x) { return x.stride(-1) == 1 ? x : x.contiguous(); }

}  // namespace

#define KERNELS "Attention.inc"
#include "InstructionSets.h"

namespace {

bool is_width(int64_t width) { return width == 32 || width == widest; }

/// A thread's own memory, which keeps a head packed from one block of its queries to the next.
class Scratch {
 public:
  Scratch(int64_t width, bool rounds, int64_t queries, int64_t padded)
      : width(width), rounds(rounds), padded(padded),
        scores(new float[std::min(queries, queries_at_once(padded)) * padded]),
        keys(queries > 1 ? new uint32_t[padded * width] : nullptr),
        values(queries > 1 && rounds ? new uint32_t[padded / 2 * width] : nullptr) {}

  /// - Parameters:
  ///   - head: a number of its own for each
  ///   - count: of the head's keys
  void attend(Block &work, int64_t head, int64_t count) {
    work.scores = scores.get();
    work.padded = padded;
    if (work.queries > 1) {
      if (head != packed) KERNEL(pack_head)(width, rounds, work, count, keys.get(), values.get());
      packed = head;
      work.packed_keys = keys.get();
      work.packed_values = values.get();
    }
    KERNEL(attend)(width, rounds, work);
  }

 private:
  const int64_t width;
  const bool rounds;
  const int64_t padded;
  int64_t packed = -1;
  // Not filled with zeros: a chunk's scores of keys that are not there are never looked at.
  const std::unique_ptr<float[]> scores;
  const std::unique_ptr<uint32_t[]> keys, values;
};

}  // namespace

namespace {

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
    TORCH_CHECK(is_width(width), "heads must be 32 or 64 wide, got ", width);
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

  /// Keys with room for whole chunks.
  int64_t padded() const { return (keys + chunk - 1) / chunk * chunk; }

  /// At most `rows` queries of a head from `first` on.
  /// - Parameter result: [batch, queries, heads · width]
  Block block(int64_t b, int64_t head, int64_t first, int64_t rows, float *result) const {
    auto at = [&](const Tensor &x, int64_t row) {
      return x.const_data_ptr<float>() + b * x.stride(0) + head * x.stride(1) + row * x.stride(2);
    };
    Block work;
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
    work.result = result + place(b, head, first);
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
  const auto [batch, heads, queries, keys, width] =
      std::tuple(inputs.batch, inputs.heads, inputs.queries, inputs.keys, inputs.width);
  auto result = at::empty({batch, queries, heads * width}, query.options());
  auto target = result.data_ptr<float>();
  const int64_t padded = inputs.padded(), rows = queries_at_once(padded);
  const int64_t blocks = (queries + rows - 1) / rows;
  const int64_t cost = 2 * std::max<int64_t>(1, std::min(rows, queries)) * keys * width;
  gpt4mm::parallel_for(batch * heads * blocks, std::max<int64_t>(1, 200000 / cost), [&](int64_t begin, int64_t end) {
    Scratch scratch(inputs.width, rounds, inputs.queries, padded);
    for (int64_t item = begin; item < end; item++) {
      const int64_t head = item / blocks;
      Block work = inputs.block(head / inputs.heads, head % inputs.heads, item % blocks * rows, rows, target);
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
  const int64_t width = inputs.width, padded = inputs.padded(), rows = queries_at_once(2 * padded);
  auto shape = [&](int64_t length) { return std::vector<int64_t>{inputs.batch, inputs.heads, length, width}; };
  auto query = at::empty(shape(inputs.queries), result.options());
  auto key = at::zeros(shape(inputs.keys), result.options()), value = at::zeros(shape(inputs.keys), result.options());
  auto to_query = query.data_ptr<float>(), to_key = key.data_ptr<float>(), to_value = value.data_ptr<float>();
  gpt4mm::parallel_for(inputs.batch * inputs.heads, 1, [&](int64_t begin, int64_t end) {
    const int64_t scores = std::min(rows, inputs.queries) * padded;
    const std::unique_ptr<float[]> memory(new float[2 * scores]);
    const std::unique_ptr<uint32_t[]> packed(new uint32_t[2 * padded * width]);
    for (int64_t head = begin; head < end; head++)
      for (int64_t first = 0; first < inputs.queries; first += rows) {
        Block work = inputs.block(head / inputs.heads, head % inputs.heads, first, rows, nullptr);
        work.padded = padded;
        work.scores = memory.get();
        work.packed_keys = packed.get();
        const int64_t place = inputs.place(head / inputs.heads, head % inputs.heads, first);
        BlockGradients own;
        own.result = result.const_data_ptr<float>() + place;
        own.gradient = gradient.const_data_ptr<float>() + place;
        own.packed_values = packed.get() + padded * width;
        own.score_gradients = memory.get() + scores;
        own.query = to_query + (head * inputs.queries + first) * width;
        own.key = to_key + head * inputs.keys * width;
        own.value = to_value + head * inputs.keys * width;
        if (first == 0) KERNEL(pack_for_gradients)(width, work, inputs.keys, packed.get(), packed.get() + padded * width);
        KERNEL(attend_backward)(width, work, own);
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
    TORCH_CHECK(!c10::GradMode::is_enabled(), "fused attention has no second derivative: with attnFlash false there is one");
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

namespace {

/// What turns a part's heads: cosines and sines of each token.
struct Turn {
  Tensor cosines, sines;
  int64_t turned = 0;

  Turn(const std::optional<Tensor> &cosine, const std::optional<Tensor> &sine, int64_t tokens, int64_t width) {
    TORCH_CHECK(cosine.has_value() == sine.has_value(), "a part is turned by a cosine and a sine, or not at all");
    if (!cosine) return;
    for (auto &table : {*cosine, *sine})
      TORCH_CHECK(
          table.scalar_type() == at::kFloat && table.dim() > 0 && table.numel() == tokens * table.size(-1) &&
              table.size(-1) <= width && table.size(-1) % 2 == 0 && table.sizes() == cosine->sizes(),
          "a table must be float32 [..., tokens, at most the head's width]");
    cosines = cosine->contiguous();
    sines = sine->contiguous();
    turned = cosine->size(-1);
  }

  const float *cosine(int64_t token) const { return turned ? cosines.const_data_ptr<float>() + token * turned : nullptr; }
  const float *sine(int64_t token) const { return turned ? sines.const_data_ptr<float>() + token * turned : nullptr; }
};

/// One row of a batch of texts.
struct Row {
  int64_t slot, first, count, held;
};

}  // namespace

/// Attention of the next tokens of several texts, each to the keys of its own slot, in float32 and without gradients.
/// - Parameters:
///   - projected: [tokens, parts · heads · width]: queries alone, or queries, keys and values. Keys and values are written to
///     the slot behind those that are held, and a query sees those up to its own; queries alone see all that are held
///   - normalized: how many parts are L2-normalised
///   - cosines, sines: what turns each part, [..., tokens, turned] each, or none
///   - keys, values: [slots, heads, capacity, width], 32 or 64 wide
///   - rows: int64 [rows, 4]: a row's slot, its first token, how many tokens it has and how many keys its slot holds
///   - slopes: ALiBi's, as in `attention`
/// - Returns: [tokens, heads · width]
Tensor gpt4mm::slot_attention(
    const Tensor &projected, int64_t normalized, const c10::List<std::optional<Tensor>> &cosines,
    const c10::List<std::optional<Tensor>> &sines, const Tensor &keys, const Tensor &values, const Tensor &rows,
    const std::optional<Tensor> &slopes, double scale) {
  const int64_t width = keys.size(-1);
  TORCH_CHECK(is_width(width), "heads must be 32 or 64 wide, got ", width);
  for (auto &x : {keys, values})
    TORCH_CHECK(
        x.dim() == 4 && x.size(3) == width && x.scalar_type() == at::kFloat && x.is_contiguous() &&
            x.sizes() == keys.sizes(),
        "keys and values must be contiguous float32 [slots, heads, capacity, width]");
  const int64_t slots = keys.size(0), heads = keys.size(1), capacity = keys.size(2);
  TORCH_CHECK(projected.dim() == 2 && projected.is_contiguous(), "projected must be contiguous [tokens, n]");
  const int64_t tokens = projected.size(0), parts = projected.size(1) / (heads * width);
  TORCH_CHECK(
      projected.size(1) == parts * heads * width && (parts == 1 || parts == 3),
      "projected must have one part or three, of ", heads, " heads of ", width);
  TORCH_CHECK(
      static_cast<int64_t>(cosines.size()) == parts && static_cast<int64_t>(sines.size()) == parts,
      "there must be as many tables as parts");
  std::vector<Turn> turns;
  for (int64_t part = 0; part < parts; part++) turns.emplace_back(cosines.get(part), sines.get(part), tokens, width);
  const bool grows = parts == 3;
  TORCH_CHECK(
      rows.dim() == 2 && rows.size(1) == 4 && rows.scalar_type() == at::kLong && rows.is_contiguous(),
      "rows must be int64 [rows, 4]");
  auto row = reinterpret_cast<const Row *>(rows.const_data_ptr<int64_t>());
  int64_t most = 0, longest = 0, cost = 0;
  for (int64_t r = 0; r < rows.size(0); r++) {
    const int64_t seen = row[r].held + (grows ? row[r].count : 0);
    TORCH_CHECK(
        row[r].slot >= 0 && row[r].slot < slots && row[r].first >= 0 && row[r].count > 0 &&
            row[r].first <= tokens - row[r].count && row[r].held >= 0 && seen > 0 && seen <= capacity,
        "row ", r, " has no place in its slot, or no tokens");
    most = std::max(most, row[r].count);
    longest = std::max(longest, seen);
    cost = std::max(cost, 4 * row[r].count * seen * width);
  }
  TORCH_CHECK(
      !slopes || (slopes->numel() == heads && slopes->scalar_type() == at::kFloat), "slopes must be float32, one per head");
  const Tensor falls = slopes ? slopes->contiguous() : Tensor();
  auto result = at::empty({tokens, heads * width}, keys.options());
  auto target = result.data_ptr<float>(), k = keys.data_ptr<float>(), v = values.data_ptr<float>();
  const int64_t padded = (longest + chunk - 1) / chunk * chunk;
  const int64_t block = queries_at_once(padded);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, projected.scalar_type(), "slot_attention", [&] {
    auto source = projected.const_data_ptr<scalar_t>();
    const int64_t grain = std::max<int64_t>(1, 60000 / std::max<int64_t>(1, cost));
    gpt4mm::parallel_for(rows.size(0) * heads, grain, [&](int64_t begin, int64_t end) {
      std::vector<float> queries(most * width);
      Scratch scratch(width, false, most, padded);
      for (int64_t item = begin; item < end; item++) {
        const int64_t head = item % heads;
        const Row &own = row[item / heads];
        const int64_t place = (own.slot * heads + head) * capacity * width;
        for (int64_t i = 0; i < own.count; i++)
          for (int64_t part = 0; part < parts; part++) {
            float x[widest];
            const int64_t token = own.first + i;
            gpt4mm::widen(source + (token * parts + part) * heads * width + head * width, x, width);
            float *to = part == 0 ? &queries[i * width] : (part == 1 ? k : v) + place + (own.held + i) * width;
            KERNEL(head_row)
            (x, width, part < normalized, turns[part].cosine(token), turns[part].sine(token), turns[part].turned, to);
          }
        for (int64_t first = 0; first < own.count; first += block) {
          Block work;
          work.query = &queries[first * width];
          work.key = k + place;
          work.value = v + place;
          work.mask = nullptr;
          work.query_stride = work.key_stride = work.value_stride = width;
          work.mask_stride = 0;
          work.queries = std::min(block, own.count - first);
          work.keys = own.held + (grows ? first + work.queries : 0);
          work.visible = own.held + (grows ? first + 1 : 0);
          work.scale = static_cast<float>(scale);
          work.slope = falls.defined() ? falls.const_data_ptr<float>()[head] : 0;
          work.first_query = static_cast<float>(own.held + first);
          work.result = target + (own.first + first) * heads * width + head * width;
          work.result_stride = heads * width;
          scratch.attend(work, item, own.held + (grows ? own.count : 0));
        }
      }
    });
  });
  return result;
}
