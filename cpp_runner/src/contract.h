// Names that the PTEs and the runner agree on: methods, metadata, order of tensors.
// They are those of ExecuTorch's own Qualcomm LLM export, so bundles of either origin run.
#pragma once

#include <cstddef>
#include <string>

namespace vlm::contract {

// Vision encoder: pixels (1, 3, H, W) float32 -> image tokens (1, T, dim) float32.
inline constexpr const char* kVisionEncoderMethod = "forward";

// Token embedding: ids (1, AR) int32 -> embeddings (1, AR, dim) float32.
inline constexpr const char* kEmbeddingDecodeMethod = "tok_embedding_kv_forward";
inline constexpr const char* kEmbeddingPrefillMethod = "tok_embedding_prefill_forward";

// Text decoder: see decoder_signature.h for shapes.
inline constexpr const char* kDecodeMethod = "kv_forward";
inline constexpr const char* kPrefillMethod = "prefill_forward";

// Order of the decoder's inputs: these three, then K caches of all layers, then V caches.
inline constexpr std::size_t kHiddenStatesInput = 0;
inline constexpr std::size_t kMaskInput = 1;
inline constexpr std::size_t kPositionsInput = 2;
inline constexpr std::size_t kFirstCacheInput = 3;
// Order of its outputs: logits, then new K of all layers, then new V.
inline constexpr std::size_t kLogitsOutput = 0;
inline constexpr std::size_t kFirstCacheOutput = 1;

// Positions that a prompt and its replies may use; absent: all of the context.
inline constexpr const char* kMaxSeqLen = "get_max_seq_len";

// Encoding of quantised logits: real = (raw - zero_point) * scale.
inline constexpr const char* kLogitsScale = "get_logits_scale";
inline constexpr const char* kLogitsZeroPoint = "get_logits_zero_point";

// Present only when the prefill graph's KV outputs and the decode graph's KV inputs are
// encoded differently: get_{k,v}_{scale,zero_point}_{output,input}_{layer}.
inline std::string cache_encoding_method(char kind, const char* field, const char* side,
                                         std::size_t layer) {
  return std::string("get_") + kind + "_" + field + "_" + side + "_" + std::to_string(layer);
}
inline constexpr const char* kScaleField = "scale";
inline constexpr const char* kZeroPointField = "zero_point";
inline constexpr const char* kPrefillOutputSide = "output";
inline constexpr const char* kDecodeInputSide = "input";

}  // namespace vlm::contract
