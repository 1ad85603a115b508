#include "AttentionBlock.h"

#include "PackedProduct.h"

namespace {

typedef gpt4mm::AttentionBlock Block;
typedef gpt4mm::AttentionGradients BlockGradients;
constexpr int64_t chunk = Block::chunk, most_queries = Block::most_queries, whole_queries = Block::whole_queries;

}  // namespace

#define KERNELS "Attention.inc"
#include "InstructionSets.h"

gpt4mm::AttentionScratch::AttentionScratch(int64_t width, bool rounds, int64_t queries, int64_t padded)
    : width(width), rounds(rounds), padded(padded),
      scores(new float[std::min(queries, Block::queries_at_once(padded)) * padded]),
      keys(queries > 1 ? new uint32_t[padded * width] : nullptr),
      values(queries > 1 && rounds ? new uint32_t[padded / 2 * width] : nullptr) {}

void gpt4mm::AttentionScratch::attend(AttentionBlock &work, int64_t head, int64_t count) {
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

gpt4mm::AttentionGradientScratch::AttentionGradientScratch(int64_t width, int64_t queries, int64_t padded)
    : width(width), padded(padded), scores(new float[std::min(queries, queries_at_once(padded)) * padded]),
      score_gradients(new float[std::min(queries, queries_at_once(padded)) * padded]),
      keys(new uint32_t[padded * width]), values(new uint32_t[padded * width]) {}

void gpt4mm::AttentionGradientScratch::attend_backward(
    AttentionBlock &work, AttentionGradients &gradients, int64_t head, int64_t count) {
  work.scores = scores.get();
  work.padded = padded;
  if (head != packed) KERNEL(pack_for_gradients)(width, work, count, keys.get(), values.get());
  packed = head;
  work.packed_keys = keys.get();
  gradients.packed_values = values.get();
  gradients.score_gradients = score_gradients.get();
  KERNEL(attend_backward)(width, work, gradients);
}
