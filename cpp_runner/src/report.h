// report.json: what happened, written whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "clock.h"
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
  kDone,
};
const char* step_name(Step step);

enum class StopReason { kNone, kStopToken, kMaxNewTokens, kContextFull };

struct Timestamps {
  std::int64_t start_ns = 0;
  std::optional<Interval> load_vision_encoder;
  std::optional<Interval> load_tok_embedding;
  std::optional<Interval> load_text_decoder;
  std::int64_t inference_start_ns = 0;
  std::vector<Interval> images;
  std::optional<Interval> prefill;  // embedding of the prompt to the first token
  std::vector<Interval> prefill_steps;
  std::vector<std::int64_t> tokens_ns;  // one per generated token
  std::int64_t inference_end_ns = 0;
  // Of the decoder's methods, summed over prefill and decode.
  Interval model_execution;
  std::int64_t model_execution_total_ns = 0;
  std::int64_t sampling_total_ns = 0;
};

// Two best raw logits per generated token, and how to read them.
struct RecordedLogits {
  double scale = 1.0;
  std::int64_t zero_point = 0;
  std::vector<BestTwo> top;
};

struct Report {
  Step step = Step::kReadRequest;
  std::optional<Failure> error;
  std::optional<Mode> mode;
  std::size_t prompt_tokens = 0;
  std::size_t image_tokens = 0;
  std::vector<std::int64_t> generated_token_ids;
  StopReason stop_reason = StopReason::kNone;
  std::size_t context_length = 0;
  std::size_t prefill_ar_len = 0;
  Timestamps timestamps;
  std::int64_t rss_after_load_bytes = 0;
  std::int64_t rss_after_prefill_bytes = 0;
  std::int64_t peak_rss_bytes = 0;
  std::size_t requantized_entries = 0;  // scalar K or V values
  std::optional<RecordedLogits> logits;
};

// The file's content, with a newline at the end.
std::string report_json(const Report& report);

// The JSON of ExecuTorch's "PyTorchObserver" line: same keys, in milliseconds. As there,
// generated_tokens leaves out the first one, which prefill produced.
std::string observer_json(const Report& report);

// Writes to a temporary name beside `path`, syncs, renames.
Status write_report(const std::string& path, const std::string& content);

}  // namespace vlm
