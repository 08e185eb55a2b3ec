#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
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

Status dequantize_logits(const std::uint8_t* row, std::size_t vocab_size, ElementType type,
                         const Encoding& encoding, float* out) {
  if (type != ElementType::kU16) {
    VLM_RETURN_IF_FAILED(check_finite(reinterpret_cast<const float*>(row), vocab_size));
    std::copy_n(reinterpret_cast<const float*>(row), vocab_size, out);
    return {};
  }
  const auto* raw = reinterpret_cast<const std::uint16_t*>(row);
  const auto zero_point = static_cast<double>(encoding.zero_point);
  for (std::size_t i = 0; i < vocab_size; ++i) {
    out[i] = static_cast<float>((static_cast<double>(raw[i]) - zero_point) * encoding.scale);
  }
  return {};
}

std::int64_t sample(const std::vector<float>& logits, const Sampling& sampling, double draw) {
  std::vector<std::size_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), std::size_t{0});
  const auto is_better = [&logits](std::size_t a, std::size_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  if (sampling.top_k != 0 && sampling.top_k < ids.size()) {
    const auto end = ids.begin() + static_cast<std::ptrdiff_t>(sampling.top_k);
    std::nth_element(ids.begin(), end, ids.end(), is_better);
    ids.erase(end, ids.end());
  }
  std::sort(ids.begin(), ids.end(), is_better);
  const double best = static_cast<double>(logits[ids.front()]);
  std::vector<double> weights(ids.size());
  double total = 0.0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    weights[i] = std::exp((static_cast<double>(logits[ids[i]]) - best) / sampling.temperature);
    total += weights[i];
  }
  std::size_t kept = 0;
  double kept_weight = 0.0;
  do {
    kept_weight += weights[kept++];
  } while (kept < ids.size() && kept_weight < sampling.top_p * total);
  double rest = draw * kept_weight;
  std::size_t chosen = 0;
  while (chosen + 1 < kept && rest >= weights[chosen]) {
    rest -= weights[chosen++];
  }
  return static_cast<std::int64_t>(ids[chosen]);
}

Sampler::Sampler(const std::optional<Sampling>& sampling, std::size_t vocab_size,
                 ElementType type, const Encoding& encoding)
    : sampling_(sampling), vocab_size_(vocab_size), type_(type), encoding_(encoding) {
  reset();
}

void Sampler::reset() {
  if (sampling_.has_value()) {
    random_.seed(sampling_->seed);
  }
}

Outcome<std::int64_t> Sampler::choose(const std::uint8_t* row) {
  if (!sampling_.has_value()) {
    return argmax(row, vocab_size_, type_);
  }
  logits_.resize(vocab_size_);
  VLM_RETURN_IF_FAILED(dequantize_logits(row, vocab_size_, type_, encoding_, logits_.data()));
  // The standard fixes the engine's numbers, but not those of its distributions.
  constexpr int kUnusedBits = 11;  // 53 remain: a double's
  const double draw = std::ldexp(static_cast<double>(random_() >> kUnusedBits), -53);
  return sample(logits_, *sampling_, draw);
}

}  // namespace vlm
