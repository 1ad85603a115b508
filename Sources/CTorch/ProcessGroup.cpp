#include "ProcessGroup.h"

// Debian's libgloo-dev gives the headers; the library itself is inside LibTorch.
#if __has_include(<gloo/transport/device.h>)
#define CT_HAS_GLOO 1
#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif

// Defined where LibTorch's CUDA libraries are linked. The last header comes only with a whole CUDA toolkit.
#if defined(USE_C10D_NCCL) && __has_include(<nccl.h>) && __has_include(<crt/host_config.h>)
#define CT_HAS_NCCL 1
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <future>
#include <memory>
#include <mutex>
#include <sstream>
#include <thread>

struct CTWork {
  CTProcessGroup *group;
  c10::intrusive_ptr<c10d::Work> work;
};

namespace {

using Milliseconds = std::chrono::milliseconds;

struct Quiet {
  int before = FLAGS_caffe2_log_level;
  Quiet() {
    if (!getenv("TORCH_CPP_LOG_LEVEL")) FLAGS_caffe2_log_level = c10::GLOG_FATAL;
  }
  ~Quiet() { FLAGS_caffe2_log_level = before; }
};

/// While anyone holds it, LibTorch does not write its own account of each attempt to stderr, unless the user asked for it.
std::shared_ptr<Quiet> quiet() {
  static std::mutex mutex;
  static std::weak_ptr<Quiet> latest;
  const std::lock_guard lock(mutex);
  auto held = latest.lock();
  if (!held) latest = held = std::make_shared<Quiet>();
  return held;
}

/// While it lives, threads that are begun are not ended by a signal when they write to a process that is gone: they get an
/// error, whatever the program does with SIGPIPE.
struct NoPipeSignal {
  sigset_t before;
  NoPipeSignal() {
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before);
  }
  ~NoPipeSignal() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
};

bool is_loopback(const std::string &host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

/// A socket that listens at an address of this machine alone, where LibTorch would listen at all of them.
int listen_at(const std::string &host, uint16_t port) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  int failure = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  TORCH_CHECK(failure == 0, host, " is no address: ", gai_strerror(failure));
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, freeaddrinfo);
  int reason = 0;
  for (auto address = found; address; address = address->ai_next) {
    int descriptor = socket(address->ai_family, SOCK_STREAM, 0), on = 1;
    if (descriptor < 0) continue;
    fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(descriptor, address->ai_addr, address->ai_addrlen) == 0 && listen(descriptor, SOMAXCONN) == 0)
      return descriptor;
    reason = errno;
    close(descriptor);
    // At another of the name's addresses the others would find whoever has this one.
    if (reason == EADDRINUSE) break;
  }
  TORCH_CHECK(false, reason == EADDRINUSE ? "EADDRINUSE: " : "", "cannot listen at ", host, ": ", strerror(reason));
}

/// LibTorch's own time-out does not hold where something else listens at the port and says nothing, so a thread of its
/// own connects, which is left to itself when the time is over, and stays quiet.
c10::intrusive_ptr<c10d::Store> connect(const std::string &host, const c10d::TCPStoreOptions &options) {
  auto promise = std::make_shared<std::promise<c10::intrusive_ptr<c10d::Store>>>();
  auto store = promise->get_future();
  std::thread([promise, host, options, held = quiet()] {
    try {
      promise->set_value(c10::make_intrusive<c10d::TCPStore>(host, options));
    } catch (...) {
      promise->set_exception(std::current_exception());
    }
  }).detach();
  TORCH_CHECK(
      store.wait_for(options.timeout) == std::future_status::ready, "no rank 0 answers at ", host, ":", options.port);
  return store.get();
}

/// Waits until every process has left its key.
void meet(c10d::Store &store, int rank, int size, Milliseconds timeout) {
  auto key = [](int rank) { return "here/" + std::to_string(rank); };
  std::vector<std::string> keys;
  for (int i = 0; i < size; i++) keys.push_back(key(i));
  store.set(key(rank), std::vector<uint8_t>{1});
  try {
    store.wait(keys, timeout);
  } catch (const std::exception &) {
    std::string missing;
    for (int i = 0; i < size; i++)
      if (!store.check({key(i)})) missing += (missing.empty() ? "" : ", ") + std::to_string(i);
    if (missing.empty()) throw;
    TORCH_CHECK(false, "of ", size, " processes these did not come, by their ranks: ", missing);
  }
}

#if CT_HAS_GLOO
c10::intrusive_ptr<c10d::Backend> gloo(
    const c10::intrusive_ptr<c10d::Store> &store, const std::string &host, int rank, int size, Milliseconds timeout) {
  using Group = c10d::ProcessGroupGloo;
  auto options = Group::Options::create(timeout);
  if (auto names = getenv("GLOO_SOCKET_IFNAME"); names && *names) {
    std::istringstream list(names);
    for (std::string name; std::getline(list, name, ',');)
      options->devices.push_back(Group::createDeviceForInterface(name));
  } else if (is_loopback(host)) {
    options->devices.push_back(Group::createDeviceForHostname("127.0.0.1"));
  } else {
    options->devices.push_back(Group::createDefaultDevice());
  }
  options->threads = static_cast<int>(options->devices.size()) * 2;
  return c10::make_intrusive<Group>(store, rank, size, options);
}
#endif

c10::intrusive_ptr<c10d::Backend> backend(
    const c10::intrusive_ptr<c10d::Store> &store, const std::string &host, int rank, int size, Milliseconds timeout,
    c10::Device device) {
#if CT_HAS_GLOO
  if (device.is_cpu()) return gloo(store, host, rank, size, timeout);
#endif
#if CT_HAS_NCCL
  if (device.is_cuda()) {
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = timeout;
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
  }
#endif
  TORCH_CHECK(false, "this build has no process groups on ", device);
}

/// Types that the back ends do not know, as others of the same size; for operations that only move elements.
at::Tensor movable(const CTTensor *handle) {
  auto tensor = borrow(handle).detach();
  switch (tensor.scalar_type()) {
    case at::kBool:
      return tensor.view(at::kByte);
    case at::kShort:
      return tensor.view(at::kHalf);
    default:
      return tensor;
  }
}

c10d::ReduceOp reduce_op(CTReduction reduction) {
  switch (reduction) {
    case CT_SUM:
      return c10d::ReduceOp::SUM;
    case CT_MAXIMUM:
      return c10d::ReduceOp::MAX;
    case CT_MINIMUM:
      return c10d::ReduceOp::MIN;
  }
  TORCH_CHECK(false, "there is no reduction number ", static_cast<int>(reduction));
}

/// - Returns: false when it is not done by then
bool wait_for(c10d::Work &work, Milliseconds time) {
  try {
    work.wait(time);
  } catch (const c10::Error &) {
    // Of an error of the operation itself the next waiting tells.
    return work.isCompleted();
  }
  return true;
}

}  // namespace

void CTProcessGroup::wait(c10d::Work &work, CTCancelled is_cancelled) {
  const Milliseconds slice(250);
  const std::chrono::seconds grace(5);
  // On a GPU waiting blocks only the stream.
  if (device.is_cpu()) {
    for (Clock::time_point asked{}; !wait_for(work, slice);) {
      if (!is_cancelled()) continue;
      auto now = Clock::now();
      if (asked == Clock::time_point{}) asked = now;
      std::lock_guard<std::mutex> lock(starting);
      is_left = now - asked > std::max<Clock::duration>(grace, 2 * longest);
      TORCH_CHECK(!is_left, "interrupted while it waited");
    }
  }
  TORCH_CHECK(work.wait(), "the operation was aborted");
  std::lock_guard<std::mutex> lock(starting);
  auto now = Clock::now();
  longest = std::max(now - latest, longest / 10 * 9);
  latest = now;
}

bool ct_process_group_available(int32_t device) {
#if CT_HAS_GLOO
  if (device == static_cast<int32_t>(c10::DeviceType::CPU)) return true;
#endif
#if CT_HAS_NCCL
  if (device == static_cast<int32_t>(c10::DeviceType::CUDA)) return true;
#endif
  return false;
}

CTError ct_process_group_create(
    const char *host, int32_t port, bool serves, const char *prefix, int32_t rank, int32_t size, int64_t milliseconds,
    int32_t device, int32_t index, CTProcessGroup **result) {
  return guarded([&] {
    Milliseconds timeout(milliseconds);
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(port);
    options.isServer = serves;
    options.waitWorkers = false;
    options.timeout = timeout;
    if (serves && is_loopback(host)) options.masterListenFd = listen_at(host, options.port);
    const auto held = quiet();
    const NoPipeSignal no_signal;
    auto end = std::chrono::steady_clock::now() + timeout;
    c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::PrefixStore>(prefix, connect(host, options));
    auto left = std::chrono::duration_cast<Milliseconds>(end - std::chrono::steady_clock::now());
    meet(*store, rank, size, std::max(left, Milliseconds(1)));
    auto where = device_of(device, index);
    auto group = backend(store, host, rank, size, timeout, where);
    *result = new CTProcessGroup{store, group, where, {}};
  });
}

void ct_process_group_release(CTProcessGroup *group) {
  if (!group->is_left) free(guarded([&] { delete group; }));
}

CTError ct_process_group_broadcast(CTProcessGroup *group, const CTTensor *tensor, int32_t root, CTWork **result) {
  return guarded([&] {
    std::lock_guard<std::mutex> lock(group->starting);
    std::vector<at::Tensor> tensors{movable(tensor)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    *result = new CTWork{group, group->backend->broadcast(tensors, options)};
  });
}

CTError ct_process_group_all_reduce(
    CTProcessGroup *group, const CTTensor *tensor, CTReduction reduction, CTWork **result) {
  return guarded([&] { *result = new CTWork{group, group->all_reduce(borrow(tensor).detach(), reduce_op(reduction))}; });
}

CTError ct_process_group_all_gather(
    CTProcessGroup *group, const CTTensor *input, CTTensor *const *outputs, CTWork **result) {
  return guarded([&] {
    std::lock_guard<std::mutex> lock(group->starting);
    std::vector<at::Tensor> inputs{movable(input)};
    std::vector<std::vector<at::Tensor>> lists(1);
    for (int i = 0; i < group->backend->getSize(); i++) lists[0].push_back(movable(outputs[i]));
    *result = new CTWork{group, group->backend->allgather(lists, inputs)};
  });
}

CTError ct_process_group_barrier(CTProcessGroup *group, CTWork **result) {
  return guarded([&] {
    std::lock_guard<std::mutex> lock(group->starting);
    c10d::BarrierOptions options;
    if (!group->device.is_cpu()) options.device = group->device;
    *result = new CTWork{group, group->backend->barrier(options)};
  });
}

CTError ct_work_wait(CTWork *work, CTCancelled is_cancelled) {
  return guarded([&] { work->group->wait(*work->work, is_cancelled); });
}

void ct_work_release(CTWork *work) {
  free(guarded([&] { delete work; }));
}
