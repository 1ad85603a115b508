#pragma once

// A C header over the parts of LibTorch that Swift needs: any operator by its schema's name, autograd,
// random state, memory and devices. Every function that can fail returns NULL, or an error's text that the
// caller frees with ct_free; no C++ exception crosses this boundary.

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// One owned reference to a tensor. Released with ct_tensor_release.
typedef struct CTTensor CTTensor;
/// A kept operator handle; lives as long as the process.
typedef struct CTOperator CTOperator;
/// One owned reference to a random number generator. Released with ct_generator_release.
typedef struct CTGenerator CTGenerator;
/// NULL, or a message to be freed with ct_free.
typedef char *CTError;

typedef enum {
  CT_NONE,
  CT_TENSOR,
  CT_TENSORS,           // pointer: CTTensor *[count]
  CT_OPTIONAL_TENSORS,  // the same, NULL for none
  CT_INTEGER,
  CT_INTEGERS,  // pointer: int64_t[count]
  CT_NUMBER,
  CT_BOOLEAN,
  CT_STRING,  // pointer: char *, zero-terminated
  CT_DEVICE,  // integer: kind, count: index
  CT_GENERATOR,
} CTTag;

/// One argument of an operator, borrowed for the call.
typedef struct {
  CTTag tag;
  int64_t count;
  int64_t integer;
  double number;
  const void *pointer;
} CTValue;

void ct_free(void *text);

// Operators
CTError ct_operator_find(const char *name, const char *overload, CTOperator **result);
/// Calls with `count` arguments; those left out at the end take their schema's defaults. Results that are
/// tensors or lists of tensors are flattened into `results`, whose `capacity` bounds them.
CTError ct_operator_call(
    const CTOperator *op, const CTValue *arguments, int64_t count, CTTensor **results, int64_t capacity,
    int64_t *result_count);

// Tensors
void ct_tensor_release(CTTensor *tensor);
/// Another owned reference to the same tensor.
CTTensor *ct_tensor_retain(const CTTensor *tensor);
int64_t ct_tensor_live_count(void);
int64_t ct_tensor_rank(const CTTensor *tensor);
void ct_tensor_shape(const CTTensor *tensor, int64_t *shape);
int32_t ct_tensor_dtype(const CTTensor *tensor);
void ct_tensor_device(const CTTensor *tensor, int32_t *kind, int32_t *index);
CTError ct_tensor_data(const CTTensor *tensor, void **data);
CTError ct_tensor_empty(
    const int64_t *shape, int64_t rank, int32_t dtype, int32_t device, int32_t index, CTTensor **result);
/// A tensor over memory that it does not own; `release(context)` is called when nothing uses it any more.
CTError ct_tensor_from_memory(
    void *data, const int64_t *shape, int64_t rank, const int64_t *strides, int32_t dtype,
    void (*release)(void *context), void *context, CTTensor **result);

// Autograd
bool ct_tensor_requires_grad(const CTTensor *tensor);
CTError ct_tensor_set_requires_grad(CTTensor *tensor, bool requires_grad);
/// `gradient`: NULL for a scalar.
CTError ct_tensor_backward(CTTensor *tensor, const CTTensor *gradient, bool retain_graph);
CTError ct_tensor_grad(const CTTensor *tensor, CTTensor **result);
CTError ct_tensor_set_grad(CTTensor *tensor, const CTTensor *gradient);
bool ct_grad_mode(void);
void ct_set_grad_mode(bool enabled);
/// The dtype that operators on this thread and kind of device cast to; -1 for none.
int32_t ct_autocast(int32_t device);
CTError ct_set_autocast(int32_t device, int32_t dtype);
/// The derivatives of `output` with respect to `inputs`, zero for what it does not depend on.
CTError ct_gradients(
    CTTensor *output, CTTensor *const *inputs, int64_t count, const CTTensor *gradient, bool retain_graph,
    bool create_graph, CTTensor **results);
/// From an output's derivative, which it owns then, to new references to those of the inputs, NULL for none.
typedef CTError (*CTPullback)(void *context, CTTensor *gradient, CTTensor **results);
/// `value` as a function of `inputs` whose derivatives `pullback` computes. `release(context)` is called when nothing
/// uses it any more.
CTError ct_with_pullback(
    const CTTensor *value, CTTensor *const *inputs, int64_t count, CTPullback pullback,
    void (*release)(void *context), void *context, CTTensor **result);

// Random state
CTError ct_manual_seed(uint64_t seed);
CTError ct_generator_create(uint64_t seed, int32_t device, int32_t index, CTGenerator **result);
CTError ct_generator_default(int32_t device, int32_t index, CTGenerator **result);
void ct_generator_release(CTGenerator *generator);
CTError ct_generator_state(const CTGenerator *generator, CTTensor **result);
CTError ct_generator_set_state(CTGenerator *generator, const CTTensor *state);

// The machine
int32_t ct_threads(void);
CTError ct_set_threads(int32_t count);
/// Whether threads that wait for others spin before they sleep; not while other programs want the CPUs too.
bool ct_waiting_threads_spin(void);
/// Whether freed memory is kept for what is allocated next; if not, what is kept goes back to the system.
void ct_keep_memory(bool keep);
/// From now on the memory of large tensors on the CPU is kept when they are freed, for the next ones; until as many calls of
/// the second as of the first.
void ct_keep_tensor_memory(void);
void ct_stop_keeping_tensor_memory(void);
/// In how many parts the threads' allocations lie at most, as far as they are not made yet.
void ct_limit_arenas(int32_t count);
/// Gives back to the system what is free now.
void ct_trim_memory(void);
/// How many devices of this kind can be used; 0 where LibTorch has no back end for it.
int32_t ct_device_count(int32_t device);
/// The name of this kind of device, such as "cuda", to be freed with ct_free; NULL where there is no such kind.
char *ct_device_name(int32_t device);
/// The instructions that the kernels use on this machine, by name.
const char *ct_instruction_set(void);
/// Makes them use others; false where the machine lacks them. Weights that were packed before may not fit any more.
bool ct_use_instruction_set(const char *name);
/// Whether they multiply bfloat16; where not, LibTorch's products of it take many times as long as those of float32.
bool ct_multiplies_bfloat16(void);
const char *ct_version(void);
/// What LibTorch was built with, to be freed with ct_free.
char *ct_configuration(void);

#ifdef __cplusplus
}
#endif

#include "CTorchDistributed.h"
