// request.json: what to run, with which inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "outcome.h"

namespace vlm {

inline constexpr int kSchemaVersion = 1;

enum class Mode { kKv, kHybrid };

constexpr const char* mode_name(Mode mode) { return mode == Mode::kKv ? "kv" : "hybrid"; }

struct ImageFile {
  std::string path;                 // raw little-endian float32
  std::vector<std::int64_t> shape;  // [1, 3, H, W]
};

struct Request {
  Mode mode = Mode::kKv;
  std::string vision_encoder_pte;
  std::string tok_embedding_pte;
  std::string text_decoder_pte;
  std::vector<std::int64_t> prompt_token_ids;  // with image_token_id where image tokens go
  std::int64_t image_token_id = 0;
  std::vector<ImageFile> images;
  std::vector<std::int64_t> stop_token_ids;
  std::size_t max_new_tokens = 0;
  bool record_logits = false;
};

// Parses and validates; unknown keys are refused. Fails with bad_request and the key.
Outcome<Request> parse_request(const std::string& text);

// The whole file, or file_unreadable with the reason.
Outcome<std::string> read_file(const std::string& path, const std::string& what);

}  // namespace vlm
