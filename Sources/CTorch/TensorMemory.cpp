// Memory of large tensors that is kept when they are freed, for the next ones of about their size.
//
// A training step makes and drops the same gigabytes of intermediate results again and again. The C library gives much of it
// back to the system in between, which then clears every page anew, and it searches long lists where the sizes vary.

#include "CTorch.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace {

/// Smaller tensors are the C library's.
constexpr size_t smallest = 64 << 10;
constexpr size_t alignment = 64;
constexpr size_t large_page = 2 << 20;
/// Sizes between two powers of two.
constexpr size_t steps = 8;

/// The list of the blocks that have room for so many bytes and at most an eighth more.
size_t list_of(size_t bytes) {
  size_t power = 63 - __builtin_clzll(bytes);
  size_t step = (size_t{1} << power) / steps;
  return power * steps + (bytes - (size_t{1} << power) + step - 1) / step;
}

size_t bytes_of(size_t list) {
  size_t power = size_t{1} << (list / steps);
  return power + list % steps * (power / steps);
}

class TensorMemory final : public c10::Allocator {
 public:
  static TensorMemory &shared() {
    static auto &memory = *new TensorMemory;  // outlives every tensor
    return memory;
  }

  c10::DataPtr allocate(size_t bytes) override {
    auto *data = bytes < smallest ? nullptr : take(list_of(bytes));
    if (!data) return c10::GetDefaultCPUAllocator()->allocate(bytes);
    return {data, data, &give_back, c10::Device(c10::DeviceType::CPU)};
  }

  /// Takes what the C library gave too, as small tensors and those from before have it.
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }

  void copy_data(void *to, const void *from, size_t bytes) const override { default_copy_data(to, from, bytes); }

  void keep() {
    std::lock_guard lock(mutex_);
    keepers_ += 1;
  }

  void stop_keeping() {
    std::lock_guard lock(mutex_);
    keepers_ -= 1;
    if (keepers_ == 0) {
      free_kept(0);
      most_bytes_ = used_bytes_;
    }
  }

 private:
  std::mutex mutex_;
  int keepers_ = 0;
  std::array<std::vector<void *>, 64 * steps> kept_;
  std::unordered_map<void *, size_t> lists_;  // of all blocks, used and kept
  size_t kept_bytes_ = 0;
  size_t used_bytes_ = 0;
  size_t most_bytes_ = 0;  // that were used at once

  /// Null where the system has none.
  void *take(size_t list) {
    std::lock_guard lock(mutex_);
    auto bytes = bytes_of(list);
    void *block = nullptr;
    if (!kept_[list].empty()) {
      block = kept_[list].back();
      kept_[list].pop_back();
      kept_bytes_ -= bytes;
    } else {
      // What is used and what is kept are together at most twice what was used at once. Sizes that take turns need more than what
      // is used at once: with an eighth more, a step gave back the largest blocks and took them again.
      free_kept(2 * std::max(most_bytes_, used_bytes_ + bytes) - used_bytes_ - bytes);
      block = from_system(bytes);
      if (!block) return nullptr;
      lists_[block] = list;
    }
    used_bytes_ += bytes;
    most_bytes_ = std::max(most_bytes_, used_bytes_);
    return block;
  }

  void *from_system(size_t bytes) {
    void *block = nullptr;
    auto is_large = bytes >= large_page;
    if (posix_memalign(&block, is_large ? large_page : alignment, bytes) != 0) {
      if (kept_bytes_ == 0) return nullptr;
      free_kept(0);
      return from_system(bytes);
    }
#if defined(__linux__)
    if (is_large) madvise(block, bytes, MADV_HUGEPAGE);  // where it is refused, pages are small
#endif
    return block;
  }

  static void give_back(void *data) { shared().take_back(data); }

  void take_back(void *data) {
    std::lock_guard lock(mutex_);
    auto place = lists_.find(data);
    if (place == lists_.end()) return c10::free_cpu(data);
    auto list = place->second;
    used_bytes_ -= bytes_of(list);
    kept_bytes_ += bytes_of(list);
    kept_[list].push_back(data);
    if (keepers_ == 0) free_kept(0);
  }

  /// The largest first, until no more bytes are kept.
  void free_kept(size_t most) {
    for (auto list = kept_.size(); list-- > 0 && kept_bytes_ > most;) {
      for (auto &blocks = kept_[list]; !blocks.empty() && kept_bytes_ > most; blocks.pop_back()) {
        lists_.erase(blocks.back());
        free(blocks.back());
        kept_bytes_ -= bytes_of(list);
      }
    }
  }
};

}  // namespace

void ct_keep_tensor_memory(void) {
  TensorMemory::shared().keep();
  // Stays, since others may not know what to do with its blocks; without keepers it keeps nothing.
  c10::SetCPUAllocator(&TensorMemory::shared());
}

void ct_stop_keeping_tensor_memory(void) { TensorMemory::shared().stop_keeping(); }
