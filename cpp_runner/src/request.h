// request.json: what to run, with which inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "outcome.h"

namespace vlm {

inline constexpr int kSchemaVersion = 2;
// Token ids are int32 in the embedding graph.
inline constexpr std::int64_t kMaxTokenId = std::numeric_limits<std::int32_t>::max();
inline constexpr std::int64_t kMaxRuns = 1'000'000;

enum class Mode { kKv, kHybrid, kLookahead };

constexpr const char* mode_name(Mode mode) {
  switch (mode) {
    case Mode::kKv:
      return "kv";
    case Mode::kHybrid:
      return "hybrid";
    case Mode::kLookahead:
      return "lookahead";
  }
  return "unknown";
}

// How the decode graph's rows are shared between new n-grams and their verification.
struct LookaheadShape {
  std::size_t window = 0;  // W: columns that grow n-grams
  std::size_t ngram = 0;   // N: tokens of an n-gram, its key included
  std::size_t gcap = 0;    // G: n-grams kept per key, and verified per step

  std::size_t rows() const { return (window + gcap) * (ngram - 1); }
};

struct Sampling {
  double temperature = 1.0;  // above 0
  std::size_t top_k = 0;     // 0: all tokens
  double top_p = 1.0;        // above 0, at most 1
  std::uint64_t seed = 0;
};

enum class LogitsRecord { kNone, kTopTwo, kFull };

constexpr const char* logits_record_name(LogitsRecord record) {
  switch (record) {
    case LogitsRecord::kNone:
      return "none";
    case LogitsRecord::kTopTwo:
      return "top2";
    case LogitsRecord::kFull:
      return "full";
  }
  return "unknown";
}

struct ImageFile {
  std::string path;                 // raw little-endian float32
  std::vector<std::int64_t> shape;  // [1, 3, H, W]
};

struct TurnRequest {
  std::vector<std::int64_t> prompt_token_ids;  // with image_token_id where image tokens go
  std::vector<ImageFile> images;               // pictures and tiles, in order of placeholders
  std::optional<std::vector<std::int64_t>> teacher_forced_token_ids;
};

struct Request {
  Mode mode = Mode::kKv;
  LookaheadShape lookahead;  // in lookahead mode only
  std::string vision_encoder_pte;
  std::string tok_embedding_pte;
  std::string text_decoder_pte;
  std::vector<TurnRequest> turns;
  std::int64_t image_token_id = 0;
  std::vector<std::int64_t> stop_token_ids;
  std::size_t max_new_tokens = 0;  // per turn
  std::optional<std::size_t> fixed_tokens;
  std::optional<Sampling> sampling;  // none: greedy
  std::size_t warmup = 0;
  std::size_t repeat = 1;
  LogitsRecord record_logits = LogitsRecord::kNone;
  std::string logits_path;                          // with kFull only
  std::map<std::string, std::string> files_sha256;  // path to 64 lower-case hex digits
  bool allow_shared_memory = true;

  bool has_images() const {
    for (const TurnRequest& turn : turns) {
      if (!turn.images.empty()) {
        return true;
      }
    }
    return false;
  }
};

// Parses and validates; unknown keys are refused. Fails with bad_request and the key.
Outcome<Request> parse_request(const std::string& text);

// The whole file, or file_unreadable with the reason.
Outcome<std::string> read_file(const std::string& path, const std::string& what);

}  // namespace vlm
