#include "sampler.h"

#include <cstdint>
#include <limits>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace {

using vlm::ElementType;

template <typename T>
const std::uint8_t* bytes(const std::vector<T>& row) {
  return reinterpret_cast<const std::uint8_t*>(row.data());
}

}  // namespace

BOOST_AUTO_TEST_CASE(argmax_uint16_compares_unsigned) {
  const std::vector<std::uint16_t> row = {5, 40000, 32767, 39999};
  BOOST_REQUIRE(vlm::argmax(bytes(row), row.size(), ElementType::kU16).value() == 1);
}

BOOST_AUTO_TEST_CASE(argmax_tie_gives_lowest_id) {
  const std::vector<std::uint16_t> row = {1, 9, 3, 9, 9};
  BOOST_REQUIRE(vlm::argmax(bytes(row), row.size(), ElementType::kU16).value() == 1);
}

BOOST_AUTO_TEST_CASE(argmax_all_negative_floats) {
  const std::vector<float> row = {-3.0f, -1.5f, -2.0f};
  BOOST_REQUIRE(vlm::argmax(bytes(row), row.size(), ElementType::kF32).value() == 1);
}

BOOST_AUTO_TEST_CASE(argmax_nan_fails) {
  const std::vector<float> row = {0.0f, std::numeric_limits<float>::quiet_NaN(), 1.0f};
  const auto token = vlm::argmax(bytes(row), row.size(), ElementType::kF32);
  BOOST_REQUIRE(!token.ok());
  BOOST_REQUIRE(token.failure().code == vlm::ExitCode::kNotFinite);
}

BOOST_AUTO_TEST_CASE(best_two_gives_raw_values) {
  const std::vector<std::uint16_t> row = {7, 100, 99, 3};
  const auto best = vlm::best_two(bytes(row), row.size(), ElementType::kU16).value();
  BOOST_REQUIRE(best.first.id == 1 && best.first.raw == 100.0);
  BOOST_REQUIRE(best.second.id == 2 && best.second.raw == 99.0);
}

BOOST_AUTO_TEST_CASE(best_two_largest_first_finds_second_behind_it) {
  const std::vector<float> row = {4.0f, -1.0f, 2.0f};
  const auto best = vlm::best_two(bytes(row), row.size(), ElementType::kF32).value();
  BOOST_REQUIRE(best.first.id == 0);
  BOOST_REQUIRE(best.second.id == 2);
}

BOOST_AUTO_TEST_CASE(best_two_tie_takes_lowest_ids) {
  const std::vector<std::uint16_t> row = {3, 8, 8, 8};
  const auto best = vlm::best_two(bytes(row), row.size(), ElementType::kU16).value();
  BOOST_REQUIRE(best.first.id == 1);
  BOOST_REQUIRE(best.second.id == 2);
}
