#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace vlm {
namespace {

Status check_finite(const float* row, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(row[i])) {
      return Failure{ExitCode::kNotFinite,
                     "text_decoder: logit " + std::to_string(i) + " is not a finite number"};
    }
  }
  return {};
}

template <typename T>
std::int64_t index_of_max(const T* row, std::size_t count) {
  // Two passes, because each alone becomes vector code.
  T best = row[0];
  for (std::size_t i = 1; i < count; ++i) {
    best = std::max(best, row[i]);
  }
  return std::find(row, row + count, best) - row;
}

template <typename T>
BestTwo two_largest(const T* row, std::size_t count) {
  const std::int64_t first = index_of_max(row, count);
  std::int64_t second = first == 0 ? 1 : 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (static_cast<std::int64_t>(i) != first && row[i] > row[second]) {
      second = static_cast<std::int64_t>(i);
    }
  }
  return {{first, static_cast<double>(row[first])}, {second, static_cast<double>(row[second])}};
}

}  // namespace

Outcome<std::int64_t> argmax(const std::uint8_t* row, std::size_t vocab_size, ElementType type) {
  if (type == ElementType::kU16) {
    return index_of_max(reinterpret_cast<const std::uint16_t*>(row), vocab_size);
  }
  const auto* logits = reinterpret_cast<const float*>(row);
  VLM_RETURN_IF_FAILED(check_finite(logits, vocab_size));
  return index_of_max(logits, vocab_size);
}

Outcome<BestTwo> best_two(const std::uint8_t* row, std::size_t vocab_size, ElementType type) {
  if (type == ElementType::kU16) {
    return two_largest(reinterpret_cast<const std::uint16_t*>(row), vocab_size);
  }
  const auto* logits = reinterpret_cast<const float*>(row);
  VLM_RETURN_IF_FAILED(check_finite(logits, vocab_size));
  return two_largest(logits, vocab_size);
}

}  // namespace vlm
