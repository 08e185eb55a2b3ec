#include "sampler.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace {

using vlm::ElementType;

template <typename T>
const std::uint8_t* bytes(const std::vector<T>& row) {
  return reinterpret_cast<const std::uint8_t*>(row.data());
}

// Which ids come out, over draws that are evenly spread.
std::map<std::int64_t, double> shares(const std::vector<float>& logits,
                                      const vlm::Sampling& sampling) {
  constexpr int kDraws = 10000;
  std::map<std::int64_t, double> found;
  for (int i = 0; i < kDraws; ++i) {
    found[vlm::sample(logits, sampling, (i + 0.5) / kDraws)] += 1.0 / kDraws;
  }
  return found;
}

// Softmax: 0.5, 0.25, 0.125, 0.125 (the best is not the first).
const std::vector<float> kLogits = {std::log(2.0f), std::log(4.0f), 0.0f, 0.0f};

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

BOOST_AUTO_TEST_CASE(sample_draws_each_token_as_often_as_softmax_says) {
  const auto found = shares(kLogits, {1.0, 0, 1.0, 0});
  BOOST_REQUIRE_SMALL(found.at(1) - 0.5, 1e-3);
  BOOST_REQUIRE_SMALL(found.at(0) - 0.25, 1e-3);
  BOOST_REQUIRE_SMALL(found.at(2) - 0.125, 1e-3);
  BOOST_REQUIRE_SMALL(found.at(3) - 0.125, 1e-3);
}

BOOST_AUTO_TEST_CASE(sample_temperature_divides_the_logits) {
  const auto found = shares(kLogits, {0.5, 0, 1.0, 0});  // 16 : 4 : 1 : 1
  BOOST_REQUIRE_SMALL(found.at(1) - 16.0 / 22.0, 1e-3);
  BOOST_REQUIRE_SMALL(found.at(0) - 4.0 / 22.0, 1e-3);
}

BOOST_AUTO_TEST_CASE(sample_top_k_keeps_the_best_and_of_a_tie_the_lowest_ids) {
  const auto two = shares(kLogits, {1.0, 2, 1.0, 0});
  BOOST_REQUIRE_EQUAL(two.size(), 2u);
  BOOST_REQUIRE_SMALL(two.at(1) - 2.0 / 3.0, 1e-3);
  const auto three = shares(kLogits, {1.0, 3, 1.0, 0});
  BOOST_REQUIRE_EQUAL(three.size(), 3u);
  BOOST_REQUIRE(three.count(3) == 0);
}

BOOST_AUTO_TEST_CASE(sample_top_p_keeps_the_fewest_that_reach_it) {
  BOOST_REQUIRE_EQUAL(shares(kLogits, {1.0, 0, 0.5, 0}).size(), 1u);
  BOOST_REQUIRE_EQUAL(shares(kLogits, {1.0, 0, 0.51, 0}).size(), 2u);
  BOOST_REQUIRE_EQUAL(shares(kLogits, {1.0, 0, 0.8, 0}).size(), 3u);
}

BOOST_AUTO_TEST_CASE(sample_hot_and_cold_stay_within_the_vocabulary) {
  const std::vector<float> far = {-1e30f, 1e30f, 0.0f};
  for (const double temperature : {1e-3, 1e3}) {
    for (const double draw : {0.0, 0.5, std::nextafter(1.0, 0.0)}) {
      BOOST_REQUIRE_EQUAL(vlm::sample(far, {temperature, 0, 1.0, 0}, draw), 1);
    }
  }
}

BOOST_AUTO_TEST_CASE(sampler_draws_from_dequantised_logits) {
  // Raw values 1000 apart would leave no choice; by their scale they are 0.001 apart.
  const std::vector<std::uint16_t> row = {30000, 31000};
  vlm::Sampler sampler(vlm::Sampling{1.0, 0, 1.0, 5}, row.size(), ElementType::kU16,
                       vlm::Encoding{1e-6, 30500});
  std::map<std::int64_t, int> found;
  for (int i = 0; i < 200; ++i) {
    ++found[sampler.choose(bytes(row)).value()];
  }
  BOOST_REQUIRE(found[0] > 50 && found[1] > 50);
}

BOOST_AUTO_TEST_CASE(sampler_begins_anew_after_reset) {
  const std::vector<std::uint16_t> row(50, 7);
  vlm::Sampler sampler(vlm::Sampling{1.0, 0, 1.0, 5}, row.size(), ElementType::kU16,
                       vlm::Encoding{});
  std::vector<std::int64_t> draws[2];
  for (auto& list : draws) {
    sampler.reset();
    for (int i = 0; i < 20; ++i) {
      list.push_back(sampler.choose(bytes(row)).value());
    }
  }
  BOOST_REQUIRE(draws[0] == draws[1]);
}
