#pragma once

#include <c10/util/Exception.h>
#include <c10/util/string_view.h>

#include <cstdint>

namespace {

enum class PackedKind { float32, bfloat16, int8, int8_weight_only };

/// What follows a product; numbered as in Swift.
enum class Activation : int64_t { none, gelu, gelu_tanh, relu };

/// What a word of 32 bits of x holds: one float32, two bfloat16, or integers of 8 or 16 bits.
enum class Word { float32, bfloat16, integers };

/// How weights and rows lie for a kind of product on this machine.
struct PackedLayout {
  int64_t group;     // inputs whose weights lie beside each other
  int64_t bytes;     // of a weight
  Word word;         // of x
  int64_t per_word;  // inputs
  int64_t rows;      // of a panel, which are multiplied at once
  int64_t blocks;    // of sixteen outputs that are multiplied with them, and with a single row
  int64_t row_blocks;
  int64_t panels;    // that are multiplied with the same weights one after the other
};

/// A product of rows with a packed weight.
struct PackedProduct {
  PackedKind kind;
  const void *weight;  // [outputs / 16, steps, 16, group]
  const uint32_t *x;   // panels of [words, layout's rows], or the words of one row
  int64_t rows, steps, outputs;
  const float *scales;              // [outputs] or null
  const float *sums;                // of each output's weights, [outputs], or null
  const float *row_scales, *zeros;  // [rows] or null
  const float *bias, *residual;     // [outputs], [rows, outputs] or null
  float *result;                    // [rows, outputs]
  Activation activation;
};

/// No instruction set multiplies more rows at once; their words lie beside each other in a panel.
constexpr int64_t most_tile_rows = 8;

/// Panels of at most `most` rows.
inline int64_t panel_count(int64_t rows, int64_t most) { return (rows + most - 1) / most; }

/// All panels are as even as can be: where one begins.
inline int64_t first_row(int64_t panel, int64_t rows, int64_t most) { return rows * panel / panel_count(rows, most); }

inline PackedKind kind_of(c10::string_view precision) {
  if (precision == "float32") return PackedKind::float32;
  if (precision == "bfloat16") return PackedKind::bfloat16;
  if (precision == "int8") return PackedKind::int8;
  if (precision == "int8_weight_only") return PackedKind::int8_weight_only;
  TORCH_CHECK(false, "there is no packed weight of the precision ", precision);
}

}  // namespace
