// report.json: what happened, written whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "clock.h"
#include "libraries.h"
#include "outcome.h"
#include "request.h"
#include "sampler.h"

namespace vlm {

// Where a run was when it ended; the report's error.step.
enum class Step {
  kReadRequest,
  kLoadVisionEncoder,
  kLoadTokEmbedding,
  kLoadTextDecoder,
  kCheckInputs,
  kEncodeImages,
  kPrefill,
  kDecode,
  kExit,  // all is told: only the libraries' own destructors are left
};
const char* step_name(Step step);

enum class StopReason {
  kNone,
  kStopToken,
  kMaxNewTokens,
  kFixedTokens,
  kTeacherForced,
  kContextFull
};

struct LoadTimes {
  std::int64_t start_ns = 0;               // of the process
  std::optional<Interval> vision_encoder;  // none: no turn has an image, so it is not loaded
  std::optional<Interval> tok_embedding;
  std::optional<Interval> text_decoder;
};

struct Timestamps {
  std::int64_t inference_start_ns = 0;
  std::vector<Interval> images;
  std::optional<Interval> prefill;  // embedding of the prompt to the first token
  std::vector<Interval> prefill_steps;
  std::vector<std::int64_t> tokens_ns;  // one per generated token
  std::int64_t inference_end_ns = 0;
  std::int64_t sampling_total_ns = 0;
};

// Time inside Method::execute, one entry per call.
struct ExecuteTimes {
  std::vector<std::int64_t> vision_encoder_ns;
  std::vector<std::int64_t> prefill_ns;  // of the text decoder's graphs
  std::vector<std::int64_t> decode_ns;   // of the text decoder's decode graph
  Interval model_execution;              // first begin to last end of the text decoder
};

struct LookaheadCounts {
  std::size_t proposed = 0;  // tokens of n-grams that were verified
  std::size_t accepted = 0;  // those that became part of the reply
};

// Two best raw logits per generated token, and how to read them.
struct RecordedLogits {
  double scale = 1.0;
  std::int64_t zero_point = 0;
  std::vector<BestTwo> top;
};

struct TurnReport {
  std::size_t prompt_tokens = 0;
  std::size_t image_tokens = 0;
  std::vector<std::int64_t> generated_token_ids;
  StopReason stop_reason = StopReason::kNone;
  Timestamps timestamps;
  ExecuteTimes execute;
  std::size_t decode_steps = 0;
  std::optional<LookaheadCounts> lookahead;
  std::size_t requantized_entries = 0;  // scalar K or V values
  std::optional<RecordedLogits> logits;
};

struct IterationReport {
  bool warmup = false;
  std::vector<TurnReport> turns;
};

struct Report {
  Step step = Step::kReadRequest;
  std::optional<Failure> error;
  std::optional<Request> settings;  // none until the request was read
  bool memory_is_shared = false;
  std::string memory_reason;
  std::size_t context_length = 0;
  std::size_t max_seq_len = 0;
  std::size_t prefill_ar_len = 0;
  std::size_t decode_ar_len = 0;
  LoadTimes load;
  std::vector<IterationReport> iterations;
  std::int64_t rss_after_load_bytes = 0;
  std::int64_t rss_after_prefill_bytes = 0;
  std::int64_t peak_rss_bytes = 0;
  std::vector<int> cpu_affinity;
  std::vector<std::int64_t> cpu_frequency_khz;
  Libraries libraries;
};

// The file's content, with a newline at the end.
std::string report_json(const Report& report);

// Writes to a temporary name beside `path`, syncs, renames.
Status write_report(const std::string& path, const std::string& content);

}  // namespace vlm
