#include "Library.h"

TORCH_LIBRARY(gpt4mm, library) {
  library.def("linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor");
  library.def("gelu(Tensor x, str approximate) -> Tensor");
  library.def(
      "heads(Tensor projected, int normalized, Tensor?[] cosines, Tensor?[] sines, Tensor(a!)[] results) -> ()");
  library.def(
      "attention(Tensor query, Tensor key, Tensor value, Tensor? mask, Tensor? slopes, bool is_causal, float scale, "
      "bool rounds) -> Tensor");
  library.def(
      "slot_attention(Tensor projected, int normalized, Tensor?[] cosines, Tensor?[] sines, Tensor(a!) keys, "
      "Tensor(b!) values, Tensor rows, Tensor? slopes, float scale) -> Tensor");
  library.def("multiply_adds(str precision, bool saturates, int repetitions) -> Tensor", &gpt4mm::multiply_adds);
  library.def("read_memory(Tensor x, int streams) -> Tensor");
  library.def("weight_ones(int count) -> Tensor", &gpt4mm::weight_ones);
  library.def("log_sum_exp(Tensor x) -> (Tensor, Tensor, Tensor)");
  library.def("layer_norm(Tensor x, Tensor weight, Tensor bias, float eps) -> Tensor");
  library.def("pack_linear(Tensor weight, str precision) -> Tensor");
  library.def(
      "packed_linear(Tensor x, Tensor? norm_weight, Tensor? norm_bias, float eps, Tensor weight, str precision, "
      "int outputs, Tensor? scales, Tensor? sums, Tensor? bias, int activation, Tensor? residual) -> Tensor");
}

TORCH_LIBRARY_IMPL(gpt4mm, CPU, library) {
  library.impl("heads", gpt4mm::heads);
  library.impl("attention", gpt4mm::attention);
  library.impl("slot_attention", gpt4mm::slot_attention);
  library.impl("read_memory", gpt4mm::read_memory);
  library.impl("log_sum_exp", gpt4mm::log_sum_exp);
  library.impl("layer_norm", gpt4mm::layer_norm);
  library.impl("pack_linear", gpt4mm::pack_linear);
  library.impl("packed_linear", gpt4mm::packed_linear);
}

// They have no gradients, and the dispatcher's own way to say so costs a microsecond a call. Who calls them looks first.
TORCH_LIBRARY_IMPL(gpt4mm, Autograd, library) {
  for (auto name : {"heads", "slot_attention", "log_sum_exp", "layer_norm", "packed_linear"})
    library.impl(name, torch::CppFunction::makeFallthrough());
}
