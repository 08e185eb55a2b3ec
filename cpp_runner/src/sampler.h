// Choice of the next token from a row of logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

#include "outcome.h"
#include "request.h"
#include "requantize.h"
#include "tensor_spec.h"

namespace vlm {

struct Candidate {
  std::int64_t id = 0;
  double raw = 0.0;  // the quantised integer, or the float itself
};

struct BestTwo {
  Candidate first;
  Candidate second;
};

// Id of the largest logit, the lowest one if several are equal. Dequantising is monotone, so
// raw quantised values are compared. `row`: (vocab_size) of uint16 or float32.
// Fails (not_finite) if a float logit is NaN or infinite.
Outcome<std::int64_t> argmax(const std::uint8_t* row, std::size_t vocab_size, ElementType type);

// The two largest logits, ties as in argmax. vocab_size >= 2.
Outcome<BestTwo> best_two(const std::uint8_t* row, std::size_t vocab_size, ElementType type);

// The logits a row stands for: (raw - zero_point) * scale; float32 rows are copied.
// Fails (not_finite) as argmax does.
Status dequantize_logits(const std::uint8_t* row, std::size_t vocab_size, ElementType type,
                         const Encoding& encoding, float* out);  // (vocab_size)

// Draws from softmax(logits / temperature) over the top_k best (0: all) and of these the
// fewest whose probabilities reach top_p, the most probable first. `draw` is in [0, 1).
// Ties are ordered by id, so equal logits and draws give equal tokens everywhere.
std::int64_t sample(const std::vector<float>& logits, const Sampling& sampling, double draw);

// Greedy, or seeded sampling with one draw per token.
class Sampler {
 public:
  Sampler(const std::optional<Sampling>& sampling, std::size_t vocab_size, ElementType type,
          const Encoding& encoding);

  // Starts the sequence of draws anew.
  void reset();

  Outcome<std::int64_t> choose(const std::uint8_t* row);  // (vocab_size)

 private:
  std::optional<Sampling> sampling_;
  std::size_t vocab_size_;
  ElementType type_;
  Encoding encoding_;
  std::mt19937_64 random_;
  std::vector<float> logits_;  // (vocab_size), while sampling
};

}  // namespace vlm
