#include "Parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <vector>

#if defined(__APPLE__)
#include <dispatch/dispatch.h>
#else
#include <dlfcn.h>
#endif

namespace {

/// What a thread still has to do: from `begin` on itself, while others who have nothing left take from the end.
class Share {
 public:
  void set(int64_t begin, int64_t end) { range.store(pack(begin, end), std::memory_order_relaxed); }

  /// At most `size` from the front.
  bool take(int64_t size, int64_t &begin, int64_t &end) {
    uint64_t held = range.load(std::memory_order_relaxed);
    do {
      begin = first(held);
      end = std::min(begin + size, last(held));
      if (begin >= end) return false;
    } while (!range.compare_exchange_weak(held, pack(end, last(held)), std::memory_order_relaxed));
    return true;
  }

  /// At most `size` from the end.
  bool steal(int64_t size, int64_t &begin, int64_t &end) {
    uint64_t held = range.load(std::memory_order_relaxed);
    do {
      end = last(held);
      begin = std::max(end - size, first(held));
      if (begin >= end) return false;
    } while (!range.compare_exchange_weak(held, pack(first(held), begin), std::memory_order_relaxed));
    return true;
  }

 private:
  static uint64_t pack(int64_t begin, int64_t end) { return uint64_t(begin) << 32 | uint64_t(end); }
  static int64_t first(uint64_t held) { return int64_t(held >> 32); }
  static int64_t last(uint64_t held) { return int64_t(held & 0xffffffffu); }

  // Shares lie on cache lines of their own.
  alignas(64) std::atomic<uint64_t> range{0};
};

struct Work {
  void (*piece)(const void *, int64_t, int64_t);
  const void *context;
  int64_t size;  // of a piece
  std::vector<Share> shares;

  /// Cores are not equally fast where neighbours use them too: who is done first helps the others.
  void run(int64_t thread) {
    int64_t begin, end;
    while (shares[thread].take(size, begin, end)) piece(context, begin, end);
    const int64_t threads = shares.size();
    for (int64_t other = 1; other < threads; other++)
      while (shares[(thread + other) % threads].steal(size, begin, end)) piece(context, begin, end);
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

/// Pieces of a thread's share.
constexpr int64_t pieces = 8;

}  // namespace

void gpt4mm::run_parallel(
    int64_t count, int64_t grain, void (*piece)(const void *, int64_t, int64_t), const void *context) {
  if (count <= 0) return;
  const int64_t most = (count + grain - 1) / grain;
  const int64_t threads = at::in_parallel_region() ? 1 : std::min<int64_t>(at::get_num_threads(), most);
#if !defined(__APPLE__)
  if (!open_mp.is_there()) return piece(context, 0, count);
#endif
  if (threads == 1) return piece(context, 0, count);
  Work work{piece, context, std::max(grain, count / (threads * pieces)), std::vector<Share>(threads)};
  for (int64_t thread = 0; thread < threads; thread++)
    work.shares[thread].set(count * thread / threads, count * (thread + 1) / threads);
#if defined(__APPLE__)
  dispatch_apply_f(
      threads, DISPATCH_APPLY_AUTO, &work, [](void *data, size_t thread) { static_cast<Work *>(data)->run(thread); });
#else
  open_mp.parallel(
      [](void *data) { static_cast<Work *>(data)->run(open_mp.thread()); }, &work, static_cast<unsigned>(threads), 0);
#endif
}
