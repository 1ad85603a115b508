#include "Bridge.h"
#include "Waiting.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/headeronly/version.h>

#include <atomic>
#include <cstdlib>
#include <string>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace {

std::atomic<int64_t> live_tensors{0};

c10::GeneratorImpl *impl(const CTGenerator *generator) {
  return reinterpret_cast<c10::GeneratorImpl *>(const_cast<CTGenerator *>(generator));
}

at::Generator borrow(const CTGenerator *generator) {
  return at::Generator(c10::intrusive_ptr<c10::GeneratorImpl>::reclaim_copy(impl(generator)));
}

c10::IValue to_ivalue(const CTValue &value) {
  switch (value.tag) {
    case CT_NONE:
      return {};
    case CT_TENSOR:
      return borrow(static_cast<const CTTensor *>(value.pointer));
    case CT_TENSORS:
      return borrow(static_cast<const CTTensor *const *>(value.pointer), value.count);
    case CT_OPTIONAL_TENSORS: {
      auto handles = static_cast<const CTTensor *const *>(value.pointer);
      c10::List<std::optional<at::Tensor>> list;
      list.reserve(value.count);
      for (int64_t i = 0; i < value.count; i++)
        list.push_back(handles[i] ? std::optional<at::Tensor>(borrow(handles[i])) : std::nullopt);
      return list;
    }
    case CT_INTEGER:
      return value.integer;
    case CT_INTEGERS:
      return c10::IntArrayRef(static_cast<const int64_t *>(value.pointer), value.count);
    case CT_NUMBER:
      return value.number;
    case CT_BOOLEAN:
      return value.integer != 0;
    case CT_STRING:
      return std::string(static_cast<const char *>(value.pointer));
    case CT_DEVICE:
      return device_of(static_cast<int32_t>(value.integer), static_cast<int32_t>(value.count));
    case CT_GENERATOR:
      return borrow(static_cast<const CTGenerator *>(value.pointer));
  }
  TORCH_CHECK(false, "an argument has the unknown tag ", static_cast<int>(value.tag));
}

}  // namespace

CTTensor *retain(at::Tensor tensor) {
  live_tensors.fetch_add(1, std::memory_order_relaxed);
  return reinterpret_cast<CTTensor *>(tensor.unsafeReleaseTensorImpl());
}

void ct_free(void *text) { free(text); }

CTError ct_operator_find(const char *name, const char *overload, CTOperator **result) {
  return guarded([&] {
    auto handle = c10::Dispatcher::singleton().findSchemaOrThrow(name, overload);
    *result = reinterpret_cast<CTOperator *>(new c10::OperatorHandle(handle));
  });
}

CTError ct_operator_call(
    const CTOperator *op, const CTValue *arguments, int64_t count, CTTensor **results, int64_t capacity,
    int64_t *result_count) {
  return guarded([&] {
    gpt4mm::adapt_waiting();
    auto &handle = *reinterpret_cast<const c10::OperatorHandle *>(op);
    auto &schema = handle.schema().arguments();
    TORCH_CHECK(count <= static_cast<int64_t>(schema.size()), "too many arguments: ", count, " for ", schema.size());
    torch::jit::Stack stack;
    stack.reserve(schema.size());
    for (int64_t i = 0; i < count; i++) stack.push_back(to_ivalue(arguments[i]));
    for (size_t i = count; i < schema.size(); i++) {
      TORCH_CHECK(schema[i].default_value().has_value(), "the argument ", schema[i].name(), " is missing");
      stack.push_back(*schema[i].default_value());
    }
    handle.callBoxed(&stack);

    std::vector<at::Tensor> tensors;
    for (auto &value : stack) {
      if (value.isTensor()) {
        tensors.push_back(std::move(value).toTensor());
      } else if (value.isTensorList()) {
        for (at::Tensor tensor : value.toTensorList()) tensors.push_back(std::move(tensor));
      } else {
        TORCH_CHECK(false, "a result is no tensor but ", value.tagKind());
      }
    }
    TORCH_CHECK(
        static_cast<int64_t>(tensors.size()) <= capacity, tensors.size(), " results, where ", capacity, " fit");
    for (size_t i = 0; i < tensors.size(); i++) results[i] = retain(std::move(tensors[i]));
    *result_count = static_cast<int64_t>(tensors.size());
  });
}

void ct_tensor_release(CTTensor *tensor) {
  live_tensors.fetch_sub(1, std::memory_order_relaxed);
  free(guarded([&] { c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::reclaim(impl(tensor)); }));
}

CTTensor *ct_tensor_retain(const CTTensor *tensor) { return retain(borrow(tensor)); }

int64_t ct_tensor_live_count(void) { return live_tensors.load(std::memory_order_relaxed); }

// Descriptions cannot fail for the tensors that LibTorch's usual operators give. For the rest (nested ones have no
// sizes), what is asked for stays at 0.
int64_t ct_tensor_rank(const CTTensor *tensor) {
  int64_t rank = 0;
  free(guarded([&] { rank = static_cast<int64_t>(impl(tensor)->sizes().size()); }));
  return rank;
}

void ct_tensor_shape(const CTTensor *tensor, int64_t *shape) {
  free(guarded([&] {
    auto sizes = impl(tensor)->sizes();
    std::copy(sizes.begin(), sizes.end(), shape);
  }));
}

int32_t ct_tensor_dtype(const CTTensor *tensor) {
  int32_t dtype = -1;
  free(guarded([&] { dtype = static_cast<int32_t>(c10::typeMetaToScalarType(impl(tensor)->dtype())); }));
  return dtype;
}

void ct_tensor_device(const CTTensor *tensor, int32_t *kind, int32_t *index) {
  free(guarded([&] {
    auto device = impl(tensor)->device();
    *kind = static_cast<int32_t>(device.type());
    *index = device.index();
  }));
}

CTError ct_tensor_data(const CTTensor *tensor, void **data) {
  return guarded([&] { *data = impl(tensor)->mutable_data(); });
}

CTError ct_tensor_empty(
    const int64_t *shape, int64_t rank, int32_t dtype, int32_t device, int32_t index, CTTensor **result) {
  return guarded([&] {
    auto options = at::TensorOptions().dtype(static_cast<c10::ScalarType>(dtype)).device(device_of(device, index));
    *result = retain(at::empty(c10::IntArrayRef(shape, rank), options));
  });
}

CTError ct_tensor_from_memory(
    void *data, const int64_t *shape, int64_t rank, const int64_t *strides, int32_t dtype,
    void (*release)(void *context), void *context, CTTensor **result) {
  return guarded([&] {
    auto options = at::TensorOptions().dtype(static_cast<c10::ScalarType>(dtype));
    auto deleter = [release, context](void *) { release(context); };
    *result = retain(
        strides ? at::from_blob(
                      data, c10::IntArrayRef(shape, rank), c10::IntArrayRef(strides, rank), deleter, options)
                : at::from_blob(data, c10::IntArrayRef(shape, rank), deleter, options));
  });
}

CTError ct_manual_seed(uint64_t seed) {
  return guarded([&] { at::manual_seed(seed); });
}

CTError ct_generator_create(uint64_t seed, int32_t device, int32_t index, CTGenerator **result) {
  return guarded([&] {
    auto where = device_of(device, index);
    auto generator = where.is_cpu() ? at::make_generator<at::CPUGeneratorImpl>(seed)
                                    : at::globalContext().defaultGenerator(where).clone();
    generator.set_current_seed(seed);
    *result = reinterpret_cast<CTGenerator *>(generator.unsafeReleaseGeneratorImpl());
  });
}

CTError ct_generator_default(int32_t device, int32_t index, CTGenerator **result) {
  return guarded([&] {
    at::Generator generator = at::globalContext().defaultGenerator(device_of(device, index));
    *result = reinterpret_cast<CTGenerator *>(generator.unsafeReleaseGeneratorImpl());
  });
}

void ct_generator_release(CTGenerator *generator) {
  free(guarded([&] { c10::intrusive_ptr<c10::GeneratorImpl>::reclaim(impl(generator)); }));
}

CTError ct_generator_state(const CTGenerator *generator, CTTensor **result) {
  return guarded([&] {
    auto owned = borrow(generator);
    std::lock_guard<std::mutex> lock(owned.mutex());
    *result = retain(owned.get_state());
  });
}

CTError ct_generator_set_state(CTGenerator *generator, const CTTensor *state) {
  return guarded([&] {
    auto owned = borrow(generator);
    std::lock_guard<std::mutex> lock(owned.mutex());
    owned.set_state(borrow(state));
  });
}

int32_t ct_threads(void) {
  int32_t count = 0;
  free(guarded([&] { count = at::get_num_threads(); }));
  return count;
}

CTError ct_set_threads(int32_t count) {
  return guarded([&] { at::set_num_threads(count); });
}

void ct_keep_memory(bool keep) {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, keep ? 32 << 20 : 128 << 10);
  mallopt(M_TRIM_THRESHOLD, keep ? 64 << 20 : 128 << 10);
  if (!keep) malloc_trim(0);
#endif
}

void ct_limit_arenas(int32_t count) {
#if defined(__GLIBC__)
  mallopt(M_ARENA_MAX, count);
#endif
}

void ct_trim_memory(void) {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

int32_t ct_device_count(int32_t device) {
  int32_t count = 0;
  auto type = static_cast<c10::DeviceType>(device);
  free(guarded([&] {
    if (c10::impl::hasDeviceGuardImpl(type)) count = c10::impl::getDeviceGuardImpl(type)->deviceCount();
  }));
  return count;
}

char *ct_device_name(int32_t device) {
  char *name = nullptr;
  auto type = static_cast<c10::DeviceType>(device);
  free(guarded([&] {
    if (c10::isValidDeviceType(type)) name = strdup(c10::DeviceTypeName(type, true).c_str());
  }));
  return name;
}

const char *ct_version(void) { return TORCH_VERSION; }

char *ct_configuration(void) {
  char *text = nullptr;
  auto error = guarded([&] { text = strdup((at::show_config() + at::get_parallel_info()).c_str()); });
  return error ? error : text;
}
