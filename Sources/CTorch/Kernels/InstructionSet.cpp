#include "InstructionSet.h"

#include "CTorch.h"

#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)

#include <atomic>

using gpt4mm::InstructionSet;

namespace {

constexpr InstructionSet all[] = {
    InstructionSet::baseline, InstructionSet::v3, InstructionSet::v3_dot, InstructionSet::v4, InstructionSet::v4_dot};

const char *name(InstructionSet set) {
  switch (set) {
    case InstructionSet::baseline: return "SSE2";
    case InstructionSet::v3: return "AVX2";
    case InstructionSet::v3_dot: return "AVX2 with int8 dot products";
    case InstructionSet::v4: return "AVX-512";
    case InstructionSet::v4_dot: return "AVX-512 with bfloat16 and int8 dot products";
  }
}

bool is_there(InstructionSet set) {
  switch (set) {
    case InstructionSet::baseline: return true;
    case InstructionSet::v3: return __builtin_cpu_supports("x86-64-v3");
    case InstructionSet::v3_dot: return __builtin_cpu_supports("x86-64-v3") && __builtin_cpu_supports("avxvnni");
    case InstructionSet::v4: return __builtin_cpu_supports("x86-64-v4");
    case InstructionSet::v4_dot:
      return __builtin_cpu_supports("x86-64-v4") && __builtin_cpu_supports("avx512bf16") &&
             __builtin_cpu_supports("avx512vnni");
  }
}

bool is_allowed(InstructionSet set) {
  const char *allowed = getenv("ATEN_CPU_CAPABILITY");
  if (allowed && !strcmp(allowed, "default")) return set == InstructionSet::baseline;
  if (allowed && !strcmp(allowed, "avx2")) return set <= InstructionSet::v3_dot;
  return true;
}

InstructionSet best() {
  InstructionSet found = InstructionSet::baseline;
  for (auto set : all)
    if (is_there(set) && is_allowed(set)) found = set;
  return found;
}

std::atomic<InstructionSet> chosen{best()};

}  // namespace

InstructionSet gpt4mm::instruction_set() { return chosen.load(std::memory_order_relaxed); }

const char *ct_instruction_set(void) { return name(gpt4mm::instruction_set()); }

bool ct_use_instruction_set(const char *wanted) {
  for (auto set : all) {
    if (strcmp(name(set), wanted) || !is_there(set)) continue;
    chosen = set;
    return true;
  }
  return false;
}

bool ct_multiplies_bfloat16(void) { return gpt4mm::instruction_set() == InstructionSet::v4_dot; }

#else

#if defined(__aarch64__)
const char *ct_instruction_set(void) { return "NEON"; }
#else
const char *ct_instruction_set(void) { return "plain vectors"; }
#endif

bool ct_use_instruction_set(const char *wanted) { return !strcmp(wanted, ct_instruction_set()); }

bool ct_multiplies_bfloat16(void) { return true; }  // LibTorch knows better

#endif
