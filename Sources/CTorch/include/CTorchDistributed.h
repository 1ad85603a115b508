#pragma once

// Several processes that train one model: groups of processes, their collective operations, and gradients that are
// summed over the processes while the backward pass still runs.

#include "CTorch.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Released with ct_process_group_release.
typedef struct CTProcessGroup CTProcessGroup;
/// A collective operation under way; keeps its tensors alive. Released with ct_work_release.
typedef struct CTWork CTWork;
/// Released with ct_gradient_reducer_release.
typedef struct CTGradientReducer CTGradientReducer;

typedef enum { CT_SUM, CT_MAXIMUM, CT_MINIMUM } CTReduction;
/// Whether who waits is to stop; called on the thread that waits.
typedef bool (*CTCancelled)(void);

/// Whether this build can: Gloo's headers (for the CPU) and NCCL's (for CUDA) may have been missing.
bool ct_process_group_available(int32_t device);
/// Waits until all processes have come: Gloo for the CPU, NCCL for CUDA.
/// - host, port: where rank 0, or whoever started it, serves the store in which the processes find each other
/// - serves: whether this process is the one that serves it
/// - prefix: before every key, so that a later attempt at the same store reads nothing of an earlier one
/// - milliseconds: how long this and every later operation may take
CTError ct_process_group_create(
    const char *host, int32_t port, bool serves, const char *prefix, int32_t rank, int32_t size, int64_t milliseconds,
    int32_t device, int32_t index, CTProcessGroup **result);
void ct_process_group_release(CTProcessGroup *group);

// Collective operations: every process calls the same ones in the same order, with tensors of the same shape.
CTError ct_process_group_broadcast(CTProcessGroup *group, const CTTensor *tensor, int32_t root, CTWork **result);
CTError ct_process_group_all_reduce(
    CTProcessGroup *group, const CTTensor *tensor, CTReduction reduction, CTWork **result);
/// `outputs`: as many tensors as processes, each of `input`'s shape.
CTError ct_process_group_all_gather(
    CTProcessGroup *group, const CTTensor *input, CTTensor *const *outputs, CTWork **result);
CTError ct_process_group_barrier(CTProcessGroup *group, CTWork **result);

CTError ct_work_wait(CTWork *work, CTCancelled is_cancelled);
void ct_work_release(CTWork *work);

// Gradients
/// Sums the gradients of leaf tensors over all processes, in buckets that are sent in the parameters' reverse order as
/// soon as their gradients are there.
CTError ct_gradient_reducer_create(
    CTProcessGroup *group, CTTensor *const *parameters, int64_t count, int64_t first_bytes, int64_t bucket_bytes,
    CTGradientReducer **result);
void ct_gradient_reducer_release(CTGradientReducer *reducer);
/// Whether a backward pass sends; off while gradients of several passes add up.
void ct_gradient_reducer_set_enabled(CTGradientReducer *reducer, bool enabled);
/// Sends what is left, waits, and puts the sums in the gradients' place.
CTError ct_gradient_reducer_finish(CTGradientReducer *reducer, CTCancelled is_cancelled);
int64_t ct_gradient_reducer_bucket_count(const CTGradientReducer *reducer);
/// Of the last step: bytes this process gave to all-reduce, buckets sent before `finish`, and sent again in it.
void ct_gradient_reducer_statistics(const CTGradientReducer *reducer, int64_t *bytes, int64_t *early, int64_t *again);

#ifdef __cplusplus
}
#endif
