#include "attention_mask.h"

#include <cstdint>
#include <cstring>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace {

using vlm::AttentionMask;
using vlm::ElementType;

// A mask with the memory that it borrows.
struct OwnMask {
  OwnMask(ElementType type, std::size_t ar_len, std::size_t context)
      : cells(ar_len * context * vlm::element_size(type)),
        mask(type, ar_len, context, cells.data()) {}

  std::vector<std::uint8_t> cells;
  AttentionMask mask;
};

template <typename T>
T cell(const OwnMask& own, std::size_t index) {
  T value;
  std::memcpy(&value, own.cells.data() + index * sizeof(T), sizeof(T));
  return value;
}

// Whether the mask is what a rebuild from nothing would give.
template <typename T>
bool is_right(const OwnMask& mask, std::size_t ar_len, std::size_t context, std::size_t filled,
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

BOOST_AUTO_TEST_CASE(attention_mask_uint16_opens_step_by_step) {
  OwnMask mask(ElementType::kU16, 3, 10);
  for (const std::size_t filled : {0, 3, 3, 5, 7}) {
    mask.mask.open_until(filled);
    BOOST_REQUIRE(is_right<std::uint16_t>(mask, 3, 10, filled, 65535, 0));
  }
}

BOOST_AUTO_TEST_CASE(attention_mask_uint8_decode_row) {
  OwnMask mask(ElementType::kU8, 1, 6);
  mask.mask.open_until(5);
  BOOST_REQUIRE(is_right<std::uint8_t>(mask, 1, 6, 5, 255, 0));
}

BOOST_AUTO_TEST_CASE(attention_mask_float_uses_additive_values) {
  OwnMask mask(ElementType::kF32, 2, 6);
  mask.mask.open_until(3);
  BOOST_REQUIRE(is_right<float>(mask, 2, 6, 3, 0.0f, -255.0f));
}

BOOST_AUTO_TEST_CASE(attention_mask_close_closes_the_cache) {
  OwnMask mask(ElementType::kU16, 2, 8);
  mask.mask.open_until(6);
  mask.mask.close();
  BOOST_REQUIRE(is_right<std::uint16_t>(mask, 2, 8, 0, 65535, 0));
  mask.mask.open_until(2);
  BOOST_REQUIRE(is_right<std::uint16_t>(mask, 2, 8, 2, 65535, 0));
}

BOOST_AUTO_TEST_CASE(attention_mask_current_rows_attend_as_told) {
  OwnMask mask(ElementType::kU16, 2, 5);
  mask.mask.set_current({true, false, false, true});
  mask.mask.open_until(1);
  const std::uint16_t expected[] = {65535, 0, 0, 65535, 0, 65535, 0, 0, 0, 65535};
  for (std::size_t i = 0; i < 10; ++i) {
    BOOST_REQUIRE(cell<std::uint16_t>(mask, i) == expected[i]);
  }
}

BOOST_AUTO_TEST_CASE(attention_mask_decode_step_touches_one_cell) {
  for (const std::size_t context : {256, 8192}) {
    OwnMask mask(ElementType::kU16, 1, context);
    mask.mask.open_until(100);
    const std::size_t before = mask.mask.bytes_touched();
    mask.mask.open_until(101);
    BOOST_REQUIRE(mask.mask.bytes_touched() - before == 2);
  }
}
