// The text decoder: its KV cache, read by the decode graph and, but in kv mode, a prefill graph.
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
#include "report.h"
#include "request.h"
#include "requantize.h"
#include "tensor_memory.h"

namespace vlm {

class Decoder {
 public:
  // `memory` must outlive the decoder.
  static Outcome<std::unique_ptr<Decoder>> load(const Request& request, TensorMemory& memory);

  const DecoderSignature& signature() const { return decode_->signature(); }
  std::size_t prefill_ar_len() const;  // tokens per prefill step: 1 in kv mode
  std::size_t decode_ar_len() const { return signature().ar_len; }
  std::size_t max_seq_len() const { return max_seq_len_; }

  // Tokens that may be cached: one less than positions may be used, since the last token of a
  // reply is never read; with a wide decode graph fewer.
  std::size_t capacity() const;
  std::size_t cached_tokens() const { return cache_->filled(); }

  // Forgets all tokens.
  void reset();

  // Appends rows to the cached tokens and returns the last one's logits, (vocab_size). They
  // must fit into capacity(). Adds to prefill steps, execute times and requantized_entries.
  Outcome<const std::uint8_t*> prefill(const std::vector<float>& rows,  // (n_tokens, dim)
                                       TurnReport& turn);

  // Runs the decode graph on decode_rows() without caching anything. The cache must not be full.
  Status run_decode(TurnReport& turn);
  const std::uint8_t* logits_row(std::size_t row) const { return decode_->logits_row(row); }

  // Caches tokens of the last run_decode(), in this order.
  void keep_first();
  void keep(const std::vector<std::size_t>& rows);

  float* decode_rows() { return decode_->hidden_states(); }  // (1, decode_ar_len, dim)

  // Row 0 must attend to itself alone; see DecoderGraph::arrange_rows().
  void arrange_decode_rows(const std::vector<std::size_t>& offsets,
                           const std::vector<bool>& attends) {
    decode_->arrange_rows(offsets, attends);
  }

  // Scale and zero point of the logits; (1, 0) if they are float32.
  Outcome<Encoding> read_logits_encoding() const;

  // Of cache, masks and positions, since load().
  std::size_t bytes_touched() const;

 private:
  Decoder() = default;
  Status load_prefill();
  Status read_limits();
  void allocate_caches(TensorMemory& memory);
  Status run(DecoderGraph& graph, std::vector<std::int64_t>& execute_ns, TurnReport& turn);

  // Lays the cache out for the prefill graph; false if it cannot see all cached tokens.
  bool enter_prefill(TurnReport& turn);
  void store_prefill(std::size_t count, bool is_last, TurnReport& turn);
  Status prefill_wide(const std::vector<float>& rows, std::size_t& done, TurnReport& turn);
  Status prefill_narrow(const std::vector<float>& rows, std::size_t& done, TurnReport& turn);

  std::unique_ptr<PteFile> file_;
  std::unique_ptr<KvCache> cache_;
  // Its own, where it is encoded otherwise than the decode graph's; else null.
  std::unique_ptr<KvCache> prefill_cache_;
  std::unique_ptr<DecoderGraph> decode_;
  std::unique_ptr<DecoderGraph> prefill_;  // null in kv mode
  CacheEncodings encodings_;
  std::size_t max_seq_len_ = 0;
};

}  // namespace vlm
