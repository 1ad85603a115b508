#pragma once

#include <ATen/core/Tensor.h>

namespace gpt4mm {

/// A tensor of zeros for a weight that stays: on large pages where the system has them, beside the weights that were made
/// before it.
///
/// A product reads each weight once, in several places at a time, and what looking up small pages costs is seen in it
/// (docs/performance.md).
at::Tensor weight_memory(at::IntArrayRef shape, const at::TensorOptions &options);

}  // namespace gpt4mm
