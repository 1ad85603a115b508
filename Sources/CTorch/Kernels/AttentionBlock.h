#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

namespace gpt4mm {

/// Some queries of one head, and all keys that any of them sees.
struct AttentionBlock {
  static constexpr int64_t widest = 64;         // head
  static constexpr int64_t chunk = 64;          // keys beside each other
  static constexpr int64_t most_queries = 72;
  static constexpr int64_t whole_queries = 12;  // a multiple of what any instruction set computes together

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

  static bool is_width(int64_t width) { return width == 32 || width == widest; }

  /// Keys with room for whole chunks.
  static int64_t padded_keys(int64_t keys) { return (keys + chunk - 1) / chunk * chunk; }

  /// Queries of a block, as many as keep so many scores of each in a core's own cache.
  static int64_t queries_at_once(int64_t scores) {
    return std::max(whole_queries, std::min(most_queries, 65536 / scores / whole_queries * whole_queries));
  }
};

/// What the gradients of a block are computed from, and where they go.
struct AttentionGradients {
  const float *result, *gradient;  // what came out and its gradient, [queries, width] with the block's stride
  const uint32_t *packed_values;   // as keys
  float *score_gradients;          // [queries, padded]
  float *query;                    // [queries, width]
  float *key, *value;              // of the whole head, [keys, width], to be added to
};

/// A thread's own memory, which keeps a head packed from one block of its queries to the next.
class AttentionScratch {
 public:
  /// - Parameters:
  ///   - rounds: what several queries are multiplied with, and they themselves, to bfloat16 where the machine has products of it
  ///   - queries: the most of a head
  ///   - padded: what `padded_keys` says of the most keys of a head
  AttentionScratch(int64_t width, bool rounds, int64_t queries, int64_t padded);

  /// `softmax(q kᵀ · scale + mask) v`
  /// - Parameters:
  ///   - head: a number of its own for each
  ///   - count: of the head's keys
  void attend(AttentionBlock &work, int64_t head, int64_t count);

 private:
  const int64_t width;
  const bool rounds;
  const int64_t padded;
  int64_t packed = -1;
  // Not filled with zeros: a chunk's scores of keys that are not there are never looked at.
  const std::unique_ptr<float[]> scores;
  const std::unique_ptr<uint32_t[]> keys, values;
};

/// The same for gradients.
class AttentionGradientScratch {
 public:
  AttentionGradientScratch(int64_t width, int64_t queries, int64_t padded);

  /// The most queries of a block.
  static int64_t queries_at_once(int64_t padded) { return AttentionBlock::queries_at_once(2 * padded); }

  /// Sets the queries' gradients and adds to those of the keys and values.
  void attend_backward(AttentionBlock &work, AttentionGradients &gradients, int64_t head, int64_t count);

 private:
  const int64_t width, padded;
  int64_t packed = -1;
  const std::unique_ptr<float[]> scores, score_gradients;
  const std::unique_ptr<uint32_t[]> keys, values;
};

}  // namespace gpt4mm
