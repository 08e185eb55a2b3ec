// Time in nanoseconds of a clock that never jumps.
#pragma once

#include <chrono>
#include <cstdint>

namespace vlm {

inline std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

struct Interval {
  std::int64_t begin_ns = 0;
  std::int64_t end_ns = 0;

  std::int64_t duration_ns() const { return end_ns - begin_ns; }
};

}  // namespace vlm
