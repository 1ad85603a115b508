#include "AttentionBlock.h"
#include "Library.h"
#include "Parallel.h"

#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>

#define KERNELS "Heads.inc"
#include "InstructionSets.h"

using at::Tensor;
using gpt4mm::AttentionBlock;

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
  TORCH_CHECK(AttentionBlock::is_width(width), "heads must be 32 or 64 wide, got ", width);
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
  const int64_t padded = AttentionBlock::padded_keys(longest), block = AttentionBlock::queries_at_once(padded);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, projected.scalar_type(), "slot_attention", [&] {
    auto source = projected.const_data_ptr<scalar_t>();
    const int64_t grain = std::max<int64_t>(1, 60000 / std::max<int64_t>(1, cost));
    gpt4mm::parallel_for(rows.size(0) * heads, grain, [&](int64_t begin, int64_t end) {
      std::vector<float> queries(most * width);
      gpt4mm::AttentionScratch scratch(width, false, most, padded);
      for (int64_t item = begin; item < end; item++) {
        const int64_t head = item % heads;
        const Row &own = row[item / heads];
        const int64_t place = (own.slot * heads + head) * capacity * width;
        for (int64_t i = 0; i < own.count; i++)
          for (int64_t part = 0; part < parts; part++) {
            float x[AttentionBlock::widest];
            const int64_t token = own.first + i;
            gpt4mm::widen(source + (token * parts + part) * heads * width + head * width, x, width);
            float *to = part == 0 ? &queries[i * width] : (part == 1 ? k : v) + place + (own.held + i) * width;
            KERNEL(head_row)
            (x, width, part < normalized, turns[part].cosine(token), turns[part].sine(token), turns[part].turned, to);
          }
        for (int64_t first = 0; first < own.count; first += block) {
          AttentionBlock work;
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
