#include "Parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>

#if defined(__APPLE__)
#include <dispatch/dispatch.h>
#else
#include <dlfcn.h>
#endif

namespace {

struct Work {
  void (*piece)(const void *, int64_t, int64_t);
  const void *context;
  int64_t count, size;

  void run(int64_t part) const {
    const int64_t begin = part * size, end = std::min(count, begin + size);
    if (begin < end) piece(context, begin, end);
  }
};

#if !defined(__APPLE__)

/// The OpenMP run time that LibTorch has loaded: libgomp's interface, which LLVM's library has too.
struct OpenMP {
  void (*parallel)(void (*body)(void *), void *data, unsigned threads, unsigned flags);
  int (*thread)();

  OpenMP()
      : parallel(reinterpret_cast<decltype(parallel)>(dlsym(RTLD_DEFAULT, "GOMP_parallel"))),
        thread(reinterpret_cast<decltype(thread)>(dlsym(RTLD_DEFAULT, "omp_get_thread_num"))) {}

  bool is_there() const { return parallel && thread; }
};

const OpenMP open_mp;

#endif

}  // namespace

void gpt4mm::run_parallel(
    int64_t count, int64_t grain, void (*piece)(const void *, int64_t, int64_t), const void *context) {
  if (count <= 0) return;
  const int64_t most = (count + grain - 1) / grain;
  const int64_t threads = at::in_parallel_region() ? 1 : std::min<int64_t>(at::get_num_threads(), most);
  Work work{piece, context, count, (count + threads - 1) / threads};
  if (threads == 1) return work.run(0);
#if defined(__APPLE__)
  dispatch_apply_f(
      threads, DISPATCH_APPLY_AUTO, &work, [](void *data, size_t part) { static_cast<const Work *>(data)->run(part); });
#else
  if (!open_mp.is_there()) {
    work.size = count;
    return work.run(0);
  }
  open_mp.parallel(
      [](void *data) { static_cast<const Work *>(data)->run(open_mp.thread()); }, &work,
      static_cast<unsigned>(threads), 0);
#endif
}
