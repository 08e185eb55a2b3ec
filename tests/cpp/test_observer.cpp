#include "observer.h"

#include <string>

#include <boost/test/unit_test.hpp>

namespace {

using vlm::ObserverKeys;

vlm::TurnReport finished_turn() {
  vlm::TurnReport turn;
  turn.prompt_tokens = 10;
  turn.generated_token_ids = {4, 5, 6};
  turn.timestamps.inference_start_ns = 1'000'000'000;
  turn.timestamps.prefill = vlm::Interval{1'000'000'000, 1'100'000'000};
  turn.timestamps.tokens_ns = {1'100'000'000, 1'200'000'000, 1'300'000'000};
  turn.timestamps.inference_end_ns = 1'300'000'000;
  turn.execute.prefill_ns = {3'000'000};
  turn.execute.decode_ns = {1'000'000, 2'000'000};
  turn.execute.model_execution = {1'001'000'000, 1'299'000'000};
  return turn;
}

std::string observer(ObserverKeys keys) {
  return vlm::observer_json(vlm::LoadTimes(), finished_turn(), keys);
}

const std::string kRates = "\"prefill_token_per_sec\":100.0,\"decode_token_per_sec\":10.0,";
const std::string kStamps =
    "\"prompt_tokens\":10,\"generated_tokens\":2,\"model_load_start_ms\":0,"
    "\"model_load_end_ms\":0,\"inference_start_ms\":1000,\"inference_end_ms\":1300,"
    "\"prompt_eval_end_ms\":1100,\"first_token_ms\":1100,\"aggregate_sampling_time_ms\":0,";
const std::string kExecution =
    "\"model_execution_start_ms\":1001,\"model_execution_end_ms\":1299,"
    "\"aggregate_model_execution_time_ms\":6,";
const std::string kFactor = "\"SCALING_FACTOR_UNITS_PER_SECOND\":1000}";

}  // namespace

BOOST_AUTO_TEST_CASE(observer_of_each_generation_has_its_keys_in_order) {
  BOOST_REQUIRE_EQUAL(observer(ObserverKeys::kSeed), "{" + kStamps + kFactor);
  BOOST_REQUIRE_EQUAL(observer(ObserverKeys::k202603), "{" + kRates + kStamps + kFactor);
  BOOST_REQUIRE_EQUAL(observer(ObserverKeys::k202607),
                      "{" + kRates + kStamps + kExecution + kFactor);
}

BOOST_AUTO_TEST_CASE(observer_without_duration_leaves_out_rates) {
  const std::string json =
      vlm::observer_json(vlm::LoadTimes(), vlm::TurnReport(), ObserverKeys::k202607);
  BOOST_REQUIRE(json.find("token_per_sec") == std::string::npos);
}
