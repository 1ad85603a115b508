#include "CSentencePiece.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

// SentencePiece and LibTorch's libc10 each export a variable of this name, of different types and sizes. The loader gives
// both libraries the first it finds: with libc10's, SentencePiece overwrites the flags behind it, one of which makes
// LibTorch abort instead of throwing. A definition in the program comes before either, and has room for both.
extern "C" {
alignas(16) __attribute__((used, visibility("default"))) char FLAGS_minloglevel[256];
}

// Exported by the library, but in none of its installed headers.
namespace sentencepiece::logging {
void SetMinLogLevel(int level);
}

namespace {

using sentencepiece::SentencePieceProcessor;

const SentencePieceProcessor *unwrap(const CSPProcessor *processor) {
  return reinterpret_cast<const SentencePieceProcessor *>(processor);
}

/// Runs `body`; turns any C++ exception into a message.
template <typename Body>
CSPError guarded(Body &&body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an unknown C++ exception");
  }
}

void check(const sentencepiece::util::Status &status) {
  if (!status.ok()) throw std::runtime_error(status.ToString());
}

template <typename Element>
Element *copied(const Element *source, size_t count) {
  auto memory = static_cast<Element *>(malloc(count * sizeof(Element) + 1));
  if (!memory) throw std::bad_alloc();
  memcpy(memory, source, count * sizeof(Element));
  return memory;
}

class Sentences : public sentencepiece::SentenceIterator {
 public:
  Sentences(const char *const *texts, const size_t *sizes, size_t count) : texts(texts), sizes(sizes), count(count) {
    load();
  }
  bool done() const override { return index >= count; }
  void Next() override {
    index++;
    load();
  }
  const std::string &value() const override { return current; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  void load() {
    if (index < count) current.assign(texts[index], sizes[index]);
  }
  const char *const *texts;
  const size_t *sizes;
  size_t count;
  size_t index = 0;
  std::string current;
};

}  // namespace

void csp_free(void *memory) { free(memory); }

CSPError csp_load(const void *model, size_t size, CSPProcessor **result) {
  return guarded([&] {
    auto processor = std::make_unique<SentencePieceProcessor>();
    check(processor->LoadFromSerializedProto({static_cast<const char *>(model), size}));
    *result = reinterpret_cast<CSPProcessor *>(processor.release());
  });
}

void csp_release(CSPProcessor *processor) { delete unwrap(processor); }

int32_t csp_piece_count(const CSPProcessor *processor) { return unwrap(processor)->GetPieceSize(); }
int32_t csp_bos_id(const CSPProcessor *processor) { return unwrap(processor)->bos_id(); }
int32_t csp_eos_id(const CSPProcessor *processor) { return unwrap(processor)->eos_id(); }
int32_t csp_pad_id(const CSPProcessor *processor) { return unwrap(processor)->pad_id(); }
bool csp_is_control(const CSPProcessor *processor, int32_t id) { return unwrap(processor)->IsControl(id); }

int32_t csp_byte(const CSPProcessor *processor, int32_t id) {
  int32_t byte = -1;
  free(guarded([&] {
    if (unwrap(processor)->IsByte(id)) byte = std::stoi(unwrap(processor)->IdToPiece(id).substr(3, 2), nullptr, 16);
  }));
  return byte;
}

int32_t csp_byte_piece(const CSPProcessor *processor, uint8_t byte) {
  int32_t id = -1;
  free(guarded([&] {
    char piece[8];
    snprintf(piece, sizeof piece, "<0x%02X>", byte);
    int found = unwrap(processor)->PieceToId(piece);
    if (unwrap(processor)->IsByte(found)) id = found;
  }));
  return id;
}

CSPError csp_piece(const CSPProcessor *processor, int32_t id, char **result) {
  return guarded([&] { *result = strdup(unwrap(processor)->IdToPiece(id).c_str()); });
}

CSPError csp_encode(const CSPProcessor *processor, const char *text, size_t size, int32_t **ids, size_t *count) {
  return guarded([&] {
    std::vector<int> found;
    check(unwrap(processor)->Encode(absl::string_view(text, size), &found));
    *ids = copied<int32_t>(found.data(), found.size());
    *count = found.size();
  });
}

CSPError csp_decode(const CSPProcessor *processor, const int32_t *ids, size_t count, char **text, size_t *size) {
  return guarded([&] {
    std::string decoded;
    check(unwrap(processor)->Decode(std::vector<int>(ids, ids + count), &decoded));
    *text = copied<char>(decoded.data(), decoded.size());
    *size = decoded.size();
  });
}

CSPError csp_train(
    const char *arguments, const char *const *sentences, const size_t *sizes, size_t count, void **model,
    size_t *size) {
  return guarded([&] {
    sentencepiece::logging::SetMinLogLevel(2);  // its progress would mix with ours
    Sentences iterator(sentences, sizes, count);
    std::string trained;
    check(sentencepiece::SentencePieceTrainer::Train(arguments, &iterator, &trained));
    *model = copied<char>(trained.data(), trained.size());
    *size = trained.size();
  });
}
