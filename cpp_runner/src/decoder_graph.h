// One graph of the text decoder and the buffers bound to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "attention_mask.h"
#include "decoder_signature.h"
#include "graph.h"
#include "kv_cache.h"
#include "outcome.h"
#include "pte_file.h"

namespace vlm {

class DecoderGraph {
 public:
  // Loads and checks the method; a contract mismatch names the tensor.
  static Outcome<std::unique_ptr<DecoderGraph>> load(const PteFile& file, const char* method);

  const DecoderSignature& signature() const { return signature_; }

  // Makes the buffers and hands their addresses, and the cache's, to the graph: once.
  Status bind(KvCache& cache);

  // Runs on hidden_states(), with `filled` tokens in the cache. Rows behind the last valid one
  // need no mask of their own: causality hides them from the rows before.
  Status run(std::size_t filled);

  float* hidden_states() { return hidden_states_.data(); }  // (1, ar_len, dim)
  const std::uint8_t* logits_row(std::size_t row) const;    // (vocab_size) of logits_type
  const std::uint8_t* new_key(std::size_t layer) const {
    return new_keys_[layer].data();
  }  // (n_kv_heads, head_dim, ar_len)
  const std::uint8_t* new_value(std::size_t layer) const {
    return new_values_[layer].data();
  }  // (n_kv_heads, ar_len, head_dim)

 private:
  DecoderGraph(std::unique_ptr<Graph> graph, const DecoderSignature& signature);
  void set_positions(std::size_t first);

  std::unique_ptr<Graph> graph_;
  DecoderSignature signature_;
  AttentionMask mask_;
  std::vector<float> hidden_states_;                   // (1, ar_len, dim)
  std::vector<std::uint8_t> positions_;                // (1, ar_len) of position_type
  std::vector<std::uint8_t> logits_;                   // (1, ar_len, vocab_size) of logits_type
  std::vector<std::vector<std::uint8_t>> new_keys_;    // n_layers x (n_kv_heads, head_dim, ar_len)
  std::vector<std::vector<std::uint8_t>> new_values_;  // n_layers x (n_kv_heads, ar_len, head_dim)
};

}  // namespace vlm
