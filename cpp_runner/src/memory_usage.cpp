#include "memory_usage.h"

#include <cinttypes>
#include <cstdio>

namespace vlm {

MemoryUsage read_memory_usage() {
  MemoryUsage usage;
  std::FILE* status = std::fopen("/proc/self/status", "r");
  if (status == nullptr) {
    return usage;
  }
  constexpr std::int64_t kBytesPerKib = 1024;
  char line[256];
  while (std::fgets(line, sizeof(line), status) != nullptr) {
    std::int64_t kib = 0;
    if (std::sscanf(line, "VmRSS: %" SCNd64, &kib) == 1) {
      usage.resident_bytes = kib * kBytesPerKib;
    } else if (std::sscanf(line, "VmHWM: %" SCNd64, &kib) == 1) {
      usage.peak_resident_bytes = kib * kBytesPerKib;
    }
  }
  std::fclose(status);
  return usage;
}

}  // namespace vlm
