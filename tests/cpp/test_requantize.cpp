#include "requantize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace {

using vlm::Encoding;

// The defining formula, one operation at a time.
template <typename T>
T requantise_one(T old, const Encoding& from, const Encoding& to) {
  const double ratio = from.scale / to.scale;
  const double scaled = (static_cast<double>(old) - static_cast<double>(from.zero_point)) * ratio;
  const double moved = std::nearbyint(scaled) + static_cast<double>(to.zero_point);
  const double top = static_cast<double>(std::numeric_limits<T>::max());
  return static_cast<T>(std::clamp(moved, 0.0, top));
}

template <typename T>
bool agrees_for_random_encodings(unsigned seed) {
  std::mt19937 random(seed);
  const int top = std::numeric_limits<T>::max();
  std::uniform_real_distribution<double> exponent(-12.0, 4.0);
  std::uniform_int_distribution<int> quantised(0, top);
  for (int round = 0; round < 200; ++round) {
    const Encoding from{std::exp(exponent(random)), quantised(random)};
    const Encoding to{std::exp(exponent(random)), quantised(random)};
    std::vector<T> values(257);
    for (T& value : values) {
      value = static_cast<T>(quantised(random));
    }
    values.front() = 0;
    values.back() = static_cast<T>(top);
    std::vector<T> moved = values;
    vlm::requantize(moved.data(), moved.size(), from, to);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (moved[i] != requantise_one(values[i], from, to)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

BOOST_AUTO_TEST_CASE(requantize_uint16_random_encodings_agrees_with_float_reference) {
  BOOST_REQUIRE(agrees_for_random_encodings<std::uint16_t>(1));
}

BOOST_AUTO_TEST_CASE(requantize_uint8_random_encodings_agrees_with_float_reference) {
  BOOST_REQUIRE(agrees_for_random_encodings<std::uint8_t>(2));
}

BOOST_AUTO_TEST_CASE(requantize_halves_ties_round_to_even) {
  std::uint16_t values[] = {100, 101, 103, 105, 99, 97};
  vlm::requantize(values, 6, Encoding{0.5, 100}, Encoding{1.0, 1000});
  // 0, 0.5, 1.5, 2.5, -0.5, -1.5
  const std::uint16_t expected[] = {1000, 1000, 1002, 1002, 1000, 998};
  BOOST_REQUIRE(std::equal(std::begin(values), std::end(values), std::begin(expected)));
}

BOOST_AUTO_TEST_CASE(requantize_out_of_range_clamps_instead_of_wrapping) {
  std::uint8_t values[] = {0, 255};
  vlm::requantize(values, 2, Encoding{10.0, 128}, Encoding{1.0, 128});
  BOOST_REQUIRE(values[0] == 0);
  BOOST_REQUIRE(values[1] == 255);
}

BOOST_AUTO_TEST_CASE(requantize_huge_scale_ratio_clamps) {
  std::uint16_t values[] = {0, 1, 65535};
  vlm::requantize(values, 3, Encoding{1e30, 1}, Encoding{1e-30, 7});
  BOOST_REQUIRE(values[0] == 0);
  BOOST_REQUIRE(values[1] == 7);
  BOOST_REQUIRE(values[2] == 65535);
}

BOOST_AUTO_TEST_CASE(requantize_same_encoding_changes_nothing) {
  std::vector<std::uint16_t> values(65536);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<std::uint16_t>(i);
  }
  const std::vector<std::uint16_t> before = values;
  vlm::requantize(values.data(), values.size(), Encoding{0.0003, 4711}, Encoding{0.0003, 4711});
  BOOST_REQUIRE(values == before);
}
