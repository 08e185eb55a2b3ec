#include "attention_mask.h"

#include <cstring>
#include <limits>

namespace vlm {
namespace {

// The value the float graphs were exported with; softmax turns it into 0.
constexpr float kMaskedFloat = -255.0f;
constexpr float kAttendFloat = 0.0f;

template <typename T>
void put(std::uint8_t* cells, std::size_t index, T value) {
  std::memcpy(cells + index * sizeof(T), &value, sizeof(T));
}

}  // namespace

AttentionMask::AttentionMask(ElementType type, std::size_t ar_len, std::size_t context_length)
    : type_(type),
      ar_len_(ar_len),
      context_length_(context_length),
      cells_(ar_len * context_length * element_size(type)) {
  clear();
}

void AttentionMask::set(std::size_t row, std::size_t column, bool attend) {
  const std::size_t index = row * context_length_ + column;
  switch (type_) {
    case ElementType::kU8:
      put<std::uint8_t>(cells_.data(), index,
                        attend ? std::numeric_limits<std::uint8_t>::max() : std::uint8_t{0});
      break;
    case ElementType::kU16:
      put<std::uint16_t>(cells_.data(), index,
                         attend ? std::numeric_limits<std::uint16_t>::max() : std::uint16_t{0});
      break;
    default:
      put<float>(cells_.data(), index, attend ? kAttendFloat : kMaskedFloat);
      break;
  }
}

void AttentionMask::open_until(std::size_t filled) {
  for (std::size_t row = 0; row < ar_len_; ++row) {
    for (std::size_t column = open_; column < filled; ++column) {
      set(row, column, true);
    }
  }
  if (filled > open_) {
    open_ = filled;
  }
}

void AttentionMask::clear() {
  const std::size_t cache_columns = context_length_ - ar_len_;
  for (std::size_t row = 0; row < ar_len_; ++row) {
    for (std::size_t column = 0; column < context_length_; ++column) {
      set(row, column, column >= cache_columns && column - cache_columns <= row);
    }
  }
  open_ = 0;
}

}  // namespace vlm
