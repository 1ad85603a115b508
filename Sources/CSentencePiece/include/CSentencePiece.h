#pragma once

// A C header over SentencePiece. Functions that can fail return NULL, or an error's text that the caller frees with
// csp_free; no C++ exception crosses this boundary.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CSPProcessor CSPProcessor;
/// NULL, or a message to be freed with csp_free.
typedef char *CSPError;

void csp_free(void *memory);

CSPError csp_load(const void *model, size_t size, CSPProcessor **result);
void csp_release(CSPProcessor *processor);

int32_t csp_piece_count(const CSPProcessor *processor);
/// -1 where the model has none.
int32_t csp_bos_id(const CSPProcessor *processor);
int32_t csp_eos_id(const CSPProcessor *processor);
int32_t csp_pad_id(const CSPProcessor *processor);
bool csp_is_control(const CSPProcessor *processor, int32_t id);
/// The byte that a byte-fallback piece stands for; -1 for other pieces.
int32_t csp_byte(const CSPProcessor *processor, int32_t id);
/// The byte-fallback piece of a byte; -1 where the model has none.
int32_t csp_byte_piece(const CSPProcessor *processor, uint8_t byte);
/// To be freed with csp_free.
CSPError csp_piece(const CSPProcessor *processor, int32_t id, char **result);

/// `ids` and `text` are to be freed with csp_free.
CSPError csp_encode(const CSPProcessor *processor, const char *text, size_t size, int32_t **ids, size_t *count);
CSPError csp_decode(const CSPProcessor *processor, const int32_t *ids, size_t count, char **text, size_t *size);

/// Trains on `count` sentences with SentencePiece's command-line arguments; `model` is to be freed with csp_free.
CSPError csp_train(
    const char *arguments, const char *const *sentences, const size_t *sizes, size_t count, void **model,
    size_t *size);

#ifdef __cplusplus
}
#endif
