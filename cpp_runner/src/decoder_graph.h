// One graph of the text decoder and the buffers bound to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "attention_mask.h"
#include "decoder_signature.h"
#include "graph.h"
#include "kv_cache.h"
#include "outcome.h"
#include "pte_file.h"
#include "tensor_memory.h"

namespace vlm {

class DecoderGraph {
 public:
  // Loads and checks the method; a contract mismatch names the tensor.
  static Outcome<std::unique_ptr<DecoderGraph>> load(const PteFile& file, const char* method);

  const DecoderSignature& signature() const { return signature_; }

  // Makes the buffers and hands their addresses, and the cache's, to the graph: once. The
  // memory must outlive the graph.
  Status bind(KvCache& cache, TensorMemory& memory);

  // Gives rows other positions than one after another: `offsets` (ar_len) from the number of
  // cached tokens on, and what they attend to among themselves, as AttentionMask says.
  void arrange_rows(const std::vector<std::size_t>& offsets, const std::vector<bool>& attends);

  // Runs on hidden_states(), with `filled` tokens in the cache. Rows behind the last valid one
  // need no mask of their own: causality hides them from the rows before.
  Status run(std::size_t filled);

  // Time inside Method::execute of the last run.
  const Interval& execution() const { return graph_->execution(); }

  // Forgets which cache columns are open to attention.
  void reset() { mask_->close(); }

  // Of mask and positions, since bind().
  std::size_t bytes_touched() const { return mask_->bytes_touched() + positions_touched_; }

  float* hidden_states() { return hidden_states_; }         // (1, ar_len, dim)
  const std::uint8_t* logits_row(std::size_t row) const;    // (vocab_size) of logits_type
  const std::uint8_t* new_key(std::size_t layer) const {
    return new_keys_[layer];
  }  // (n_kv_heads, head_dim, ar_len)
  const std::uint8_t* new_value(std::size_t layer) const {
    return new_values_[layer];
  }  // (n_kv_heads, ar_len, head_dim)

 private:
  DecoderGraph(std::unique_ptr<Graph> graph, const DecoderSignature& signature);
  void set_positions(std::size_t first);

  // Buffers are borrowed from the memory that bind() was given.
  std::unique_ptr<Graph> graph_;
  DecoderSignature signature_;
  std::optional<AttentionMask> mask_;
  std::vector<std::size_t> offsets_;       // (ar_len), of positions
  float* hidden_states_ = nullptr;         // (1, ar_len, dim)
  std::uint8_t* positions_ = nullptr;      // (1, ar_len) of position_type
  std::uint8_t* logits_ = nullptr;         // (1, ar_len, vocab_size) of logits_type
  std::vector<std::uint8_t*> new_keys_;    // n_layers x (n_kv_heads, head_dim, ar_len)
  std::vector<std::uint8_t*> new_values_;  // n_layers x (n_kv_heads, ar_len, head_dim)
  std::size_t positions_touched_ = 0;
};

}  // namespace vlm
