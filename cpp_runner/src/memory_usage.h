// Resident memory of this process.
#pragma once

#include <cstdint>

namespace vlm {

struct MemoryUsage {
  std::int64_t resident_bytes = 0;       // now; 0 if unknown
  std::int64_t peak_resident_bytes = 0;  // highest so far; 0 if unknown
};

// Reads VmRSS and VmHWM of /proc/self/status.
MemoryUsage read_memory_usage();

}  // namespace vlm
