#pragma once

#include <cstdint>

namespace gpt4mm {

/// Calls `piece(context, begin, end)` for parts of `0 ..< count` on LibTorch's own threads, none smaller than `grain`.
///
/// As `at::parallel_for`, which runs on one thread unless it is compiled with -fopenmp, and a Swift package that others
/// depend on can set no such flag.
void run_parallel(
    int64_t count, int64_t grain, void (*piece)(const void *context, int64_t begin, int64_t end), const void *context);

template <typename Body>
void parallel_for(int64_t count, int64_t grain, const Body &body) {
  run_parallel(
      count, grain,
      [](const void *context, int64_t begin, int64_t end) { (*static_cast<const Body *>(context))(begin, end); }, &body);
}

}  // namespace gpt4mm
