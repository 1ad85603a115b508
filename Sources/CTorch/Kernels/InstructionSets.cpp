#if defined(__x86_64__)

#include <cstdlib>
#include <cstring>

namespace gpt4mm {

int x86_64_level() {
  static const int level = [] {
    const char *allowed = getenv("ATEN_CPU_CAPABILITY");
    if (allowed && !strcmp(allowed, "default")) return 1;
    if (!__builtin_cpu_supports("x86-64-v3")) return 1;
    if (!__builtin_cpu_supports("x86-64-v4") || (allowed && !strcmp(allowed, "avx2"))) return 3;
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni") ? 5 : 4;
  }();
  return level;
}

}  // namespace gpt4mm

#endif
