#include "sampler.h"

#include <cstdint>
#include <limits>
#include <vector>

#include "check.h"

namespace {

using vlm::ElementType;

template <typename T>
const std::uint8_t* bytes(const std::vector<T>& row) {
  return reinterpret_cast<const std::uint8_t*>(row.data());
}

}  // namespace

TEST(argmax_uint16_compares_unsigned) {
  const std::vector<std::uint16_t> row = {5, 40000, 32767, 39999};
  CHECK(vlm::argmax(bytes(row), row.size(), ElementType::kU16).value() == 1);
}

TEST(argmax_tie_gives_lowest_id) {
  const std::vector<std::uint16_t> row = {1, 9, 3, 9, 9};
  CHECK(vlm::argmax(bytes(row), row.size(), ElementType::kU16).value() == 1);
}

TEST(argmax_all_negative_floats) {
  const std::vector<float> row = {-3.0f, -1.5f, -2.0f};
  CHECK(vlm::argmax(bytes(row), row.size(), ElementType::kF32).value() == 1);
}

TEST(argmax_nan_fails) {
  const std::vector<float> row = {0.0f, std::numeric_limits<float>::quiet_NaN(), 1.0f};
  const auto token = vlm::argmax(bytes(row), row.size(), ElementType::kF32);
  CHECK(!token.ok());
  CHECK(token.failure().code == vlm::ExitCode::kNotFinite);
}

TEST(best_two_gives_raw_values) {
  const std::vector<std::uint16_t> row = {7, 100, 99, 3};
  const auto best = vlm::best_two(bytes(row), row.size(), ElementType::kU16).value();
  CHECK(best.first.id == 1 && best.first.raw == 100.0);
  CHECK(best.second.id == 2 && best.second.raw == 99.0);
}

TEST(best_two_largest_first_finds_second_behind_it) {
  const std::vector<float> row = {4.0f, -1.0f, 2.0f};
  const auto best = vlm::best_two(bytes(row), row.size(), ElementType::kF32).value();
  CHECK(best.first.id == 0);
  CHECK(best.second.id == 2);
}

TEST(best_two_tie_takes_lowest_ids) {
  const std::vector<std::uint16_t> row = {3, 8, 8, 8};
  const auto best = vlm::best_two(bytes(row), row.size(), ElementType::kU16).value();
  CHECK(best.first.id == 1);
  CHECK(best.second.id == 2);
}
