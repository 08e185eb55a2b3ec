// What the text decoder's methods take and give, checked before anything is run.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "outcome.h"
#include "tensor_spec.h"

namespace vlm {

// Sizes of one decoder graph, all read from its tensors.
//   inputs:  hidden states (1, ar_len, dim) float32
//            mask (1, 1, ar_len, context_length) or (1, ar_len, context_length)
//            positions (1, ar_len) or (ar_len)
//            K caches (1, n_kv_heads, head_dim, context_length - ar_len), one per layer
//            V caches (1, n_kv_heads, context_length - ar_len, head_dim), one per layer
//   outputs: logits (1, ar_len, vocab_size)
//            new K (1, n_kv_heads, head_dim, ar_len), one per layer
//            new V (1, n_kv_heads, ar_len, head_dim), one per layer
struct DecoderSignature {
  std::size_t ar_len = 0;          // tokens per call
  std::size_t context_length = 0;  // tokens of cache and call together
  std::size_t dim = 0;
  std::size_t n_layers = 0;
  std::size_t n_kv_heads = 0;
  std::size_t head_dim = 0;
  std::size_t vocab_size = 0;
  ElementType mask_type = ElementType::kOther;
  ElementType position_type = ElementType::kOther;
  ElementType cache_type = ElementType::kOther;
  ElementType logits_type = ElementType::kOther;

  std::size_t cache_columns() const { return context_length - ar_len; }
};

// The signature of `method`, or a contract mismatch that names the tensor.
Outcome<DecoderSignature> read_decoder_signature(const std::string& method,
                                                 const std::vector<TensorSpec>& inputs,
                                                 const std::vector<TensorSpec>& outputs);

// Whether both graphs can share one KV cache.
Status check_signatures_agree(const DecoderSignature& prefill, const DecoderSignature& decode);

}  // namespace vlm
