#include "attention_mask.h"

#include <cstdint>
#include <cstring>

#include "check.h"

namespace {

using vlm::AttentionMask;
using vlm::ElementType;

template <typename T>
T cell(AttentionMask& mask, std::size_t index) {
  T value;
  std::memcpy(&value, mask.data() + index * sizeof(T), sizeof(T));
  return value;
}

// Whether the mask is what a rebuild from nothing would give.
template <typename T>
bool is_right(AttentionMask& mask, std::size_t ar_len, std::size_t context, std::size_t filled,
              T attend, T masked) {
  for (std::size_t row = 0; row < ar_len; ++row) {
    for (std::size_t column = 0; column < context; ++column) {
      const std::size_t first_current = context - ar_len;
      const bool seen =
          column < first_current ? column < filled : column - first_current <= row;
      if (cell<T>(mask, row * context + column) != (seen ? attend : masked)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

TEST(attention_mask_uint16_opens_step_by_step) {
  AttentionMask mask(ElementType::kU16, 3, 10);
  for (const std::size_t filled : {0, 3, 3, 5, 7}) {
    mask.open_until(filled);
    CHECK(is_right<std::uint16_t>(mask, 3, 10, filled, 65535, 0));
  }
}

TEST(attention_mask_uint8_decode_row) {
  AttentionMask mask(ElementType::kU8, 1, 6);
  mask.open_until(5);
  CHECK(is_right<std::uint8_t>(mask, 1, 6, 5, 255, 0));
}

TEST(attention_mask_float_uses_additive_values) {
  AttentionMask mask(ElementType::kF32, 2, 6);
  mask.open_until(3);
  CHECK(is_right<float>(mask, 2, 6, 3, 0.0f, -255.0f));
}

TEST(attention_mask_clear_closes_the_cache) {
  AttentionMask mask(ElementType::kU16, 2, 8);
  mask.open_until(6);
  mask.clear();
  CHECK(is_right<std::uint16_t>(mask, 2, 8, 0, 65535, 0));
  mask.open_until(2);
  CHECK(is_right<std::uint16_t>(mask, 2, 8, 2, 65535, 0));
}
