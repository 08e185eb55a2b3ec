// The additive attention mask, kept up to date instead of rebuilt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor_spec.h"

namespace vlm {

// Mask of one graph: (ar_len, context_length) cells of uint8, uint16 or float32. The last
// ar_len columns are the current tokens, those before are the cache.
class AttentionMask {
 public:
  // `cells` (ar_len, context_length) is borrowed. The cache is closed, the current tokens are
  // causal.
  AttentionMask(ElementType type, std::size_t ar_len, std::size_t context_length,
                std::uint8_t* cells);

  // What current tokens attend to among themselves; attends[row * ar_len + column].
  void set_current(const std::vector<bool>& attends);

  // Lets every current token attend to cache columns [0, filled). Touches only the columns
  // that were not open yet, so a decode step costs one cell per row.
  void open_until(std::size_t filled);

  // Closes all cache columns that are open.
  void close();

  std::size_t bytes_touched() const { return bytes_touched_; }  // since it was made

 private:
  void set(std::size_t row, std::size_t column, bool attend);

  ElementType type_;
  std::size_t ar_len_;
  std::size_t context_length_;
  std::uint8_t* cells_;
  std::size_t open_ = 0;
  std::size_t bytes_touched_ = 0;
};

}  // namespace vlm
