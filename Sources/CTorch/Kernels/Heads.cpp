#include "Library.h"
#include "Parallel.h"

#include <ATen/Dispatch.h>

#define KERNELS "Heads.inc"
#include "InstructionSets.h"

using at::Tensor;

constexpr int64_t widest = 128;  // head

/// Splits what a projection gave for queries, keys and values, [batch, length, parts · heads · width], into float32
/// [batch, heads, length, width] tensors that are there already, each of its own strides. The first `normalized` parts
/// are L2-normalised; those with a table, [batch or 1, 1, length, turned], are turned by it.
void gpt4mm::heads(
    const Tensor &projected, int64_t normalized, const c10::List<std::optional<Tensor>> &cosines,
    const c10::List<std::optional<Tensor>> &sines, at::TensorList results) {
  const int64_t parts = static_cast<int64_t>(results.size());
  TORCH_CHECK(parts > 0 && projected.dim() == 3 && projected.is_contiguous(), "projected must be contiguous [b, l, n]");
  const int64_t batch = projected.size(0), length = projected.size(1);
  const int64_t count = results[0].size(1), width = results[0].size(3);
  TORCH_CHECK(projected.size(2) == parts * count * width, "projected has not ", parts, " parts of ", count, " heads");
  TORCH_CHECK(
      width > 0 && width <= widest && width % lanes == 0, "heads must be a multiple of ", lanes, " wide, at most ", widest);
  struct Part {
    float *data;
    at::IntArrayRef strides;
    Tensor cosine, sine;
  };
  std::vector<Part> targets;
  for (int64_t part = 0; part < parts; part++) {
    auto &result = results[part];
    TORCH_CHECK(
        result.scalar_type() == at::kFloat && result.sizes() == at::IntArrayRef({batch, count, length, width}) &&
            result.stride(3) == 1,
        "a result must be float32 [batch, heads, length, width]");
    Part target{result.data_ptr<float>(), result.strides(), {}, {}};
    auto cosine = cosines.get(part), sine = sines.get(part);
    TORCH_CHECK(cosine.has_value() == sine.has_value(), "a part is turned by a cosine and a sine, or not at all");
    if (cosine) {
      TORCH_CHECK(cosine->sizes() == sine->sizes(), "cosines and sines must have the same shape");
      target.cosine = cosine->contiguous();
      target.sine = sine->contiguous();
      for (auto &table : {target.cosine, target.sine})
        TORCH_CHECK(
            table.scalar_type() == at::kFloat && table.dim() == 4 && table.size(1) == 1 && table.size(2) == length &&
                table.size(3) % 2 == 0 &&
                (table.size(0) == 1 || table.size(0) == batch) && table.size(3) <= width,
            "a table must be float32 [batch or 1, 1, length, at most the head's width]");
    }
    targets.push_back(std::move(target));
  }
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, projected.scalar_type(), "heads", [&] {
    auto source = projected.const_data_ptr<scalar_t>();
    gpt4mm::parallel_for(batch * length, 32, [&](int64_t begin, int64_t end) {
      float row[widest];
      for (int64_t position = begin; position < end; position++) {
        const int64_t b = position / length, t = position % length;
        auto from = source + position * parts * count * width;
        for (int64_t part = 0; part < parts; part++) {
          auto &target = targets[part];
          const int64_t turned = target.cosine.defined() ? target.cosine.size(3) : 0;
          const int64_t offset = turned ? (target.cosine.size(0) == 1 ? t : position) * turned : 0;
          auto cosine = turned ? target.cosine.const_data_ptr<float>() + offset : nullptr;
          auto sine = turned ? target.sine.const_data_ptr<float>() + offset : nullptr;
          for (int64_t head = 0; head < count; head++, from += width) {
            gpt4mm::widen(from, row, width);
            auto to = target.data + b * target.strides[0] + head * target.strides[1] + t * target.strides[2];
            KERNEL(head_row)(row, width, part < normalized, cosine, sine, turned, to);
          }
        }
      }
    });
  });
}
