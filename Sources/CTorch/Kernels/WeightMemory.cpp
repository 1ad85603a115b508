#include "WeightMemory.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <memory>
#include <mutex>

#if defined(__linux__)
#include <sys/mman.h>
#endif

using at::Tensor;

#if defined(__linux__)

namespace {

constexpr size_t large_page = 2 << 20;
constexpr size_t line = 64;

/// Zeros that are taken from the front, and returned to the system when nobody has a part of them.
struct Region {
  char *const data;
  const size_t size;
  size_t used = 0;

  explicit Region(size_t bytes)
      : data(static_cast<char *>(
            mmap(nullptr, bytes + large_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))),
        size(bytes) {
    if (data != MAP_FAILED) madvise(begin(), size, MADV_HUGEPAGE);  // where it is refused, pages are small
  }
  Region(const Region &) = delete;
  ~Region() {
    if (data != MAP_FAILED) munmap(data, size + large_page);
  }

  bool is_there() const { return data != MAP_FAILED; }

  char *begin() const {
    return reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(data) + large_page - 1) / large_page * large_page);
  }
};

}  // namespace

Tensor gpt4mm::weight_memory(at::IntArrayRef shape, const at::TensorOptions &options) {
  static std::mutex mutex;
  static std::weak_ptr<Region> latest;  // as long as a weight lies there
  size_t bytes = options.dtype().itemsize();
  for (auto size : shape) bytes *= size;
  bytes = (bytes + line - 1) / line * line;
  const std::lock_guard lock(mutex);
  auto region = latest.lock();
  if (!region || region->used + bytes > region->size) {
    region = std::make_shared<Region>(std::max(bytes, 16 * large_page));
    if (!region->is_there()) return at::zeros(shape, options);
    latest = region;
  }
  char *data = region->begin() + region->used;
  region->used += bytes;
  return at::from_blob(data, shape, [region](void *) {}, options);
}

#else

Tensor gpt4mm::weight_memory(at::IntArrayRef shape, const at::TensorOptions &options) { return at::zeros(shape, options); }

#endif
