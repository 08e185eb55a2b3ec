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

AttentionMask::AttentionMask(ElementType type, std::size_t ar_len, std::size_t context_length,
                             std::uint8_t* cells)
    : type_(type), ar_len_(ar_len), context_length_(context_length), cells_(cells) {
  open_ = context_length - ar_len;
  close();
  std::vector<bool> causal(ar_len * ar_len);
  for (std::size_t row = 0; row < ar_len; ++row) {
    for (std::size_t column = 0; column <= row; ++column) {
      causal[row * ar_len + column] = true;
    }
  }
  set_current(causal);
}

void AttentionMask::set_current(const std::vector<bool>& attends) {
  for (std::size_t row = 0; row < ar_len_; ++row) {
    for (std::size_t column = 0; column < ar_len_; ++column) {
      set(row, context_length_ - ar_len_ + column, attends[row * ar_len_ + column]);
    }
  }
}

void AttentionMask::set(std::size_t row, std::size_t column, bool attend) {
  const std::size_t index = row * context_length_ + column;
  bytes_touched_ += element_size(type_);
  switch (type_) {
    case ElementType::kU8:
      put<std::uint8_t>(cells_, index,
                        attend ? std::numeric_limits<std::uint8_t>::max() : std::uint8_t{0});
      break;
    case ElementType::kU16:
      put<std::uint16_t>(cells_, index,
                         attend ? std::numeric_limits<std::uint16_t>::max() : std::uint16_t{0});
      break;
    default:
      put<float>(cells_, index, attend ? kAttendFloat : kMaskedFloat);
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

void AttentionMask::close() {
  for (std::size_t row = 0; row < ar_len_; ++row) {
    for (std::size_t column = 0; column < open_; ++column) {
      set(row, column, false);
    }
  }
  open_ = 0;
}

}  // namespace vlm
