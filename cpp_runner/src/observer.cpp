#include "observer.h"

#include <cstdint>
#include <numeric>

#include <nlohmann/json.hpp>

namespace vlm {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr std::int64_t kMsPerSecond = 1000;

std::int64_t prefill_end_ns(const Timestamps& times) {
  return times.prefill.has_value() ? times.prefill->end_ns : times.inference_start_ns;
}

std::size_t decoded_tokens(const TurnReport& turn) {
  const std::size_t produced = turn.generated_token_ids.size();
  return produced == 0 ? 0 : produced - 1;
}

// Left out where there is no duration, as ExecuTorch does.
void add_rate(Json& json, const char* key, std::size_t tokens, std::int64_t begin_ns,
              std::int64_t end_ns) {
  const std::int64_t duration_ms = end_ns / kNsPerMs - begin_ns / kNsPerMs;
  if (duration_ms > 0) {
    json[key] = static_cast<double>(tokens) * static_cast<double>(kMsPerSecond) /
                static_cast<double>(duration_ms);
  }
}

void add_execution(Json& json, const ExecuteTimes& execute) {
  std::int64_t total_ns = 0;
  for (const auto* list : {&execute.prefill_ns, &execute.decode_ns}) {
    total_ns = std::accumulate(list->begin(), list->end(), total_ns);
  }
  json["model_execution_start_ms"] = execute.model_execution.begin_ns / kNsPerMs;
  json["model_execution_end_ms"] = execute.model_execution.end_ns / kNsPerMs;
  json["aggregate_model_execution_time_ms"] = total_ns / kNsPerMs;
}

}  // namespace

std::string observer_json(const LoadTimes& load, const TurnReport& turn, ObserverKeys keys) {
  const Timestamps& times = turn.timestamps;
  const std::int64_t load_end =
      load.text_decoder.has_value() ? load.text_decoder->end_ns : load.start_ns;
  const std::int64_t prefill_end = prefill_end_ns(times);
  Json json;
  if (keys != ObserverKeys::kSeed) {
    add_rate(json, "prefill_token_per_sec", turn.prompt_tokens, times.inference_start_ns,
             prefill_end);
    add_rate(json, "decode_token_per_sec", decoded_tokens(turn), prefill_end,
             times.inference_end_ns);
  }
  json["prompt_tokens"] = turn.prompt_tokens;
  json["generated_tokens"] = decoded_tokens(turn);
  json["model_load_start_ms"] = load.start_ns / kNsPerMs;
  json["model_load_end_ms"] = load_end / kNsPerMs;
  json["inference_start_ms"] = times.inference_start_ns / kNsPerMs;
  json["inference_end_ms"] = times.inference_end_ns / kNsPerMs;
  json["prompt_eval_end_ms"] = prefill_end / kNsPerMs;
  json["first_token_ms"] =
      (times.tokens_ns.empty() ? prefill_end : times.tokens_ns.front()) / kNsPerMs;
  json["aggregate_sampling_time_ms"] = times.sampling_total_ns / kNsPerMs;
  if (keys == ObserverKeys::k202607) {
    add_execution(json, turn.execute);
  }
  json["SCALING_FACTOR_UNITS_PER_SECOND"] = kMsPerSecond;
  return json.dump();
}

}  // namespace vlm
