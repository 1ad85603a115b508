#include "Waiting.h"

#include "CTorch.h"

#if defined(__linux__)

#include <dirent.h>
#include <dlfcn.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

namespace {

using Clock = std::chrono::steady_clock;
using Parallel = void (*)(void (*body)(void *), void *data, unsigned threads, unsigned flags);

// Threads of libgomp, LibTorch's OpenMP, spin for milliseconds before they sleep. That is right on an idle machine, where
// the next operator comes within microseconds. Where other programs want the CPUs too, the spinning takes them from the very
// threads that are waited for, and everything becomes several times slower. libgomp next to does not spin when it has more
// threads than there are CPUs (GOMP_SPINCOUNT in its manual), so a team that only sleeps switches its spinning off.

/// A team of libgomp that sleeps as long as it is wanted.
class SleepingTeam {
 public:
  explicit SleepingTeam(Parallel parallel) : parallel(parallel) {}

  void set(bool wanted) {
    const std::lock_guard lock(mutex);
    if (wanted == is_wanted) return;
    is_wanted = wanted;
    if (wanted)
      std::thread([this] { sleep(); }).detach();
    else
      changed.notify_all();
  }

 private:
  void sleep() {
    cpu_set_t cpus;
    const int count = sched_getaffinity(0, sizeof(cpus), &cpus) ? 0 : CPU_COUNT(&cpus);
    if (count > 1) parallel([](void *) {}, nullptr, static_cast<unsigned>(count), 0);
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return !is_wanted; });
  }

  const Parallel parallel;
  std::mutex mutex;
  std::condition_variable changed;
  bool is_wanted = false;
};

std::atomic<bool> spins{true};

/// Nanoseconds for which threads of this process could have run and had no CPU; below 0 where the system does not say.
double waited_for_cpus() {
  DIR *folder = opendir("/proc/self/task");
  if (!folder) return -1;
  double sum = 0;
  bool is_known = false;
  while (auto entry = readdir(folder)) {
    if (entry->d_name[0] == '.') continue;
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%.20s/schedstat", entry->d_name);
    FILE *file = fopen(path, "re");
    if (!file) continue;
    unsigned long long ran = 0, waited = 0;
    if (fscanf(file, "%llu %llu", &ran, &waited) == 2) {
      sum += static_cast<double>(waited);
      is_known = true;
    }
    fclose(file);
  }
  closedir(folder);
  return is_known ? sum : -1;
}

/// Looks every so often how much of the time threads waited for a CPU.
class Waiting {
 public:
  Waiting()
      : team(reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"))),
        // LLVM's OpenMP also has libgomp's functions. Whoever chose has chosen.
        is_active(
            dlsym(RTLD_DEFAULT, "GOMP_parallel") && !dlsym(RTLD_DEFAULT, "kmp_set_blocktime") &&
            !getenv("OMP_WAIT_POLICY") && !getenv("GOMP_SPINCOUNT")) {}

  void look() {
    if (!is_active || Clock::now().time_since_epoch().count() < next.load(std::memory_order_relaxed)) return;
    const std::unique_lock lock(mutex, std::try_to_lock);
    if (!lock) return;
    const auto now = Clock::now();
    next = (now + interval).time_since_epoch().count();
    const double waited = waited_for_cpus();
    if (waited < 0) {
      is_active = false;
      return;
    }
    const double elapsed = std::chrono::duration<double, std::nano>(now - looked).count();
    // The sum falls when a thread ends.
    const double latest = std::max(0.0, (waited - waited_before) / elapsed);
    waited_before = waited;
    looked = now;
    share += (latest - share) * std::min(1.0, elapsed / memory);
    if (share > busy) spins = false;
    if (share < calm) spins = true;
    team.set(!spins);
  }

 private:
  static constexpr auto interval = std::chrono::milliseconds(50);
  /// Nanoseconds over which looks are averaged: single waits of some milliseconds happen on idle machines too.
  static constexpr double memory = 250e6;
  /// The average share of time that threads wait, all together, above which they stop spinning, and below which they spin
  /// again. Measured on two CPUs: up to 0.1 on an idle machine, 0.5 to 0.9 beside one busy program, with spinning and without.
  static constexpr double busy = 0.4, calm = 0.2;

  SleepingTeam team;
  std::atomic<bool> is_active;
  std::atomic<Clock::rep> next{0};
  std::mutex mutex;
  double waited_before = waited_for_cpus(), share = 0;
  Clock::time_point looked = Clock::now();
};

}  // namespace

void gpt4mm::adapt_waiting() {
  // It stays until the process ends, because its thread does.
  static auto &waiting = *new Waiting;
  static thread_local unsigned calls = 0;
  if (++calls % 32 == 0) waiting.look();
}

bool ct_waiting_threads_spin(void) { return spins; }

#else

void gpt4mm::adapt_waiting() {}

bool ct_waiting_threads_spin(void) { return true; }

#endif
