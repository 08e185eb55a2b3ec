// Greedy choice of the next token.
#pragma once

#include <cstddef>
#include <cstdint>

#include "outcome.h"
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

}  // namespace vlm
