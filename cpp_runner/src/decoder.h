// The text decoder: one KV cache, read by the decode graph and, in hybrid mode, a prefill graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cache_encodings.h"
#include "clock.h"
#include "decoder_graph.h"
#include "decoder_signature.h"
#include "kv_cache.h"
#include "outcome.h"
#include "pte_file.h"
#include "request.h"
#include "requantize.h"

namespace vlm {

class Decoder {
 public:
  static Outcome<std::unique_ptr<Decoder>> load(const std::string& path, Mode mode);

  const DecoderSignature& signature() const { return decode_->signature(); }
  std::size_t prefill_ar_len() const;  // tokens per prefill step: 1 in kv mode

  // The longest prompt: all of it must fit into the decode graph's cache, and the last
  // prefill step must find its predecessors in the prefill graph's.
  std::size_t max_prompt_tokens() const;

  // Runs the prompt and returns the last token's logits, (vocab_size). One interval per step
  // is added to `steps`.
  Outcome<const std::uint8_t*> prefill(const std::vector<float>& rows,  // (n_tokens, dim)
                                       std::vector<Interval>& steps);

  // Runs the token whose embedding is in token_row() and returns its logits, (vocab_size).
  // The cache must not be full.
  Outcome<const std::uint8_t*> step();

  float* token_row() { return decode_->hidden_states(); }  // (1, 1, dim)
  bool cache_full() const { return cache_->full(); }
  std::size_t requantized_entries() const { return requantized_entries_; }
  Interval execution() const { return execution_; }
  std::int64_t execution_total_ns() const { return execution_total_ns_; }

  // Scale and zero point of the logits; (1, 0) if they are float32.
  Outcome<Encoding> read_logits_encoding() const;

 private:
  Decoder() = default;
  Status run(DecoderGraph& graph);
  void store(const DecoderGraph& graph, std::size_t count);

  std::unique_ptr<PteFile> file_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<DecoderGraph> decode_;
  std::unique_ptr<DecoderGraph> prefill_;  // null in kv mode
  CacheEncodings encodings_;
  std::size_t requantized_entries_ = 0;
  Interval execution_;
  std::int64_t execution_total_ns_ = 0;
};

}  // namespace vlm
