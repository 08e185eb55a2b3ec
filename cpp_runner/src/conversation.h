// The turns of one iteration: prompts in, replies out, one cache through all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "decoder.h"
#include "logits_dump.h"
#include "lookahead.h"
#include "outcome.h"
#include "report.h"
#include "request.h"
#include "sampler.h"
#include "token_embedding.h"
#include "vision_encoder.h"

namespace vlm {

// The loaded PTEs. `vision_encoder` is null if no turn has an image.
struct Components {
  std::unique_ptr<VisionEncoder> vision_encoder;
  // Declared before token_embedding, which writes into its buffer.
  std::unique_ptr<Decoder> decoder;
  std::unique_ptr<TokenEmbedding> token_embedding;
};

class Conversation {
 public:
  // Everything is borrowed. `logits` is the encoding of the decoder's.
  Conversation(const Request& request, Components& components, const Encoding& logits);

  // Forgets all turns.
  void reset();

  // Runs one turn behind those since the last reset(). `pixels` has one entry per image.
  // Fills `turn` as far as it gets and keeps `step` up to date. `dump` may be null.
  Status run_turn(const TurnRequest& request, const std::vector<std::vector<float>>& pixels,
                  TurnReport& turn, Step& step, LogitsDump* dump);

  std::int64_t rss_after_prefill_bytes() const { return rss_after_prefill_bytes_; }

 private:
  // What the turn that runs now reads and writes.
  struct Current {
    const TurnRequest& request;
    TurnReport& report;
    LogitsDump* dump;
  };

  Status encode_images(const std::vector<std::vector<float>>& pixels, TurnReport& turn);
  Status prefill(Current& turn);
  Status decode(Current& turn);
  Status decode_forced(Current& turn);
  Status decode_lookahead(Current& turn);
  Status verify(Current& turn);
  Status guess_ahead();
  Status step(std::int64_t token, Current& turn);
  Status take_token(const std::uint8_t* row, Current& turn);
  Status record(const std::uint8_t* row, Current& turn);
  // `cached`: tokens in the cache, or about to be.
  StopReason stop_reason_after(const TurnReport& turn, std::size_t cached) const;
  bool is_stop_token(std::int64_t token) const;
  std::size_t token_limit() const;
  Status check_room(std::size_t new_tokens, const TurnRequest& request) const;
  void remember_end(std::int64_t last_token);

  const Request& request_;
  Components& components_;
  Decoder& decoder_;
  TokenEmbedding& embedding_;
  Encoding logits_encoding_;
  Sampler sampler_;
  std::optional<Lookahead> lookahead_;  // in lookahead mode
  std::vector<std::int64_t> pending_;  // end of the last reply, not in the cache yet
  std::vector<float> image_tokens_;    // (image_tokens, dim)
  std::vector<float> logits_row_;      // (vocab_size), for the dump
  std::int64_t rss_after_prefill_bytes_ = 0;  // of the first turn
};

}  // namespace vlm
