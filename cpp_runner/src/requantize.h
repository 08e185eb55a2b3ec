// Moves quantised numbers from one encoding to another.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace vlm {

// real = (quantised - zero_point) * scale
struct Encoding {
  double scale = 1.0;
  std::int64_t zero_point = 0;

  bool operator==(const Encoding& other) const {
    return scale == other.scale && zero_point == other.zero_point;
  }
};

// q' = clamp(round((q - from.zero_point) * from.scale / to.scale) + to.zero_point), in place,
// ties to even as in PyTorch and NumPy. T is uint8_t or uint16_t; scales are finite and > 0.
template <typename T>
void requantize(T* data, std::size_t count, const Encoding& from, const Encoding& to) {
  // Adding and subtracting 1.5 * 2^52 rounds a double of small magnitude to an integer in the
  // current (nearest-even) mode; unlike std::nearbyint it becomes vector code on any x86-64.
  constexpr double kRoundingBias = 6755399441055744.0;
  const double ratio = from.scale / to.scale;
  const auto from_zero = static_cast<double>(from.zero_point);
  const auto to_zero = static_cast<double>(to.zero_point);
  // The bounds are integers, so clamping before rounding gives the same result as after, and
  // keeps the magnitude small enough for the bias.
  const double low = -to_zero;
  const double high = static_cast<double>(std::numeric_limits<T>::max()) - to_zero;
  for (std::size_t i = 0; i < count; ++i) {
    const double scaled = (static_cast<double>(data[i]) - from_zero) * ratio;
    const double clamped = std::min(std::max(scaled, low), high);
    const double rounded = (clamped + kRoundingBias) - kRoundingBias;
    data[i] = static_cast<T>(static_cast<std::int32_t>(rounded + to_zero));
  }
}

}  // namespace vlm
