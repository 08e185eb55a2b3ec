// The additive attention mask, kept up to date instead of rebuilt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor_spec.h"

namespace vlm {

// Mask of one graph: (ar_len, context_length) cells of uint8, uint16 or float32. The last
// ar_len columns are the current tokens (causal), those before are the cache.
class AttentionMask {
 public:
  AttentionMask(ElementType type, std::size_t ar_len, std::size_t context_length);

  std::uint8_t* data() { return cells_.data(); }  // (ar_len, context_length)

  // Lets every current token attend to cache columns [0, filled). Touches only the columns
  // that were not open yet, so a decode step costs one cell.
  void open_until(std::size_t filled);

  // Closes all cache columns again.
  void clear();

 private:
  void set(std::size_t row, std::size_t column, bool attend);

  ElementType type_;
  std::size_t ar_len_;
  std::size_t context_length_;
  std::size_t open_ = 0;
  std::vector<std::uint8_t> cells_;  // (ar_len, context_length) of type_
};

}  // namespace vlm
