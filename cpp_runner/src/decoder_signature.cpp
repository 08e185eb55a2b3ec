#include "decoder_signature.h"

#include <initializer_list>

#include "contract.h"

namespace vlm {
namespace {

Failure mismatch(const std::string& method, const std::string& problem) {
  return {ExitCode::kContractMismatch, "text_decoder " + method + ": " + problem};
}

std::string tensor_name(const char* kind, std::size_t index) {
  return std::string(kind) + " " + std::to_string(index);
}

std::size_t dimension(const TensorSpec& spec, std::size_t from_end) {
  return static_cast<std::size_t>(spec.shape[spec.shape.size() - from_end]);
}

bool has_shape(const TensorSpec& spec, std::initializer_list<std::size_t> expected) {
  if (spec.shape.size() != expected.size()) {
    return false;
  }
  std::size_t axis = 0;
  for (const std::size_t size : expected) {
    if (static_cast<std::size_t>(spec.shape[axis++]) != size) {
      return false;
    }
  }
  return true;
}

bool is_one_of(ElementType type, std::initializer_list<ElementType> allowed) {
  for (const ElementType candidate : allowed) {
    if (type == candidate) {
      return true;
    }
  }
  return false;
}

Status check_counts(const std::string& method, std::size_t n_inputs, std::size_t n_outputs) {
  if (n_inputs < contract::kFirstCacheInput + 2 ||
      (n_inputs - contract::kFirstCacheInput) % 2 != 0) {
    return mismatch(method, "has " + std::to_string(n_inputs) +
                                " inputs, expected 3 and a K and a V cache per layer");
  }
  const std::size_t expected = n_inputs - contract::kFirstCacheInput + contract::kFirstCacheOutput;
  if (n_outputs != expected) {
    return mismatch(method, "has " + std::to_string(n_outputs) + " outputs, expected " +
                                std::to_string(expected) + " for its " +
                                std::to_string(n_inputs) + " inputs");
  }
  return {};
}

Status read_leading_inputs(const std::string& method, const std::vector<TensorSpec>& inputs,
                           DecoderSignature& signature) {
  const TensorSpec& mask = inputs[contract::kMaskInput];
  const bool has_mask_rank = mask.shape.size() == 3 || mask.shape.size() == 4;
  if (!has_mask_rank ||
      !is_one_of(mask.type, {ElementType::kU8, ElementType::kU16, ElementType::kF32})) {
    return mismatch(method, "attention mask is " + spec_text(mask) +
                                ", expected [1, 1, AR, CL] of uint8, uint16 or float32");
  }
  signature.mask_type = mask.type;
  signature.ar_len = dimension(mask, 2);
  signature.context_length = dimension(mask, 1);
  const std::size_t mask_cells = signature.ar_len * signature.context_length;
  if (mask_cells == 0 || mask.element_count() != mask_cells ||
      signature.context_length <= signature.ar_len) {
    return mismatch(method, "attention mask is " + spec_text(mask) +
                                ", expected [1, 1, AR, CL] with 0 < AR < CL");
  }
  const TensorSpec& hidden = inputs[contract::kHiddenStatesInput];
  if (hidden.type != ElementType::kF32 || hidden.shape.size() != 3 || hidden.shape[2] < 1 ||
      !has_shape(hidden, {1, signature.ar_len, dimension(hidden, 1)})) {
    return mismatch(method, "hidden states are " + spec_text(hidden) + ", expected float32 [1, " +
                                std::to_string(signature.ar_len) + ", dim]");
  }
  signature.dim = dimension(hidden, 1);
  const TensorSpec& positions = inputs[contract::kPositionsInput];
  if (!is_one_of(positions.type, {ElementType::kI32, ElementType::kI64}) ||
      positions.shape.empty() || positions.shape.size() > 2 ||
      positions.element_count() != signature.ar_len) {
    return mismatch(method, "position ids are " + spec_text(positions) +
                                ", expected int32 or int64 [1, " +
                                std::to_string(signature.ar_len) + "]");
  }
  signature.position_type = positions.type;
  return {};
}

Status read_logits(const std::string& method, const TensorSpec& logits,
                   DecoderSignature& signature) {
  if (!is_one_of(logits.type, {ElementType::kU16, ElementType::kF32}) ||
      logits.shape.size() != 3 || logits.shape[2] < 2 ||
      !has_shape(logits, {1, signature.ar_len, dimension(logits, 1)})) {
    return mismatch(method, "logits are " + spec_text(logits) +
                                ", expected uint16 or float32 [1, " +
                                std::to_string(signature.ar_len) + ", vocabulary]");
  }
  signature.vocab_size = dimension(logits, 1);
  signature.logits_type = logits.type;
  return {};
}

// Reads heads and head size from the first K cache.
Status read_cache_geometry(const std::string& method, const TensorSpec& first,
                           DecoderSignature& signature) {
  if (first.shape.size() != 4 || first.shape[1] < 1 || first.shape[2] < 1 ||
      !is_one_of(first.type, {ElementType::kU8, ElementType::kU16, ElementType::kF32})) {
    return mismatch(method, "first K cache is " + spec_text(first) +
                                ", expected [1, heads, head_dim, CL - AR] of uint8, uint16 or "
                                "float32");
  }
  signature.cache_type = first.type;
  signature.n_kv_heads = dimension(first, 3);
  signature.head_dim = dimension(first, 2);
  return {};
}

// Checks all 2 * n_layers caches of one side against the geometry.
Status check_caches(const std::string& method, const char* kind, const TensorSpec* caches,
                    std::size_t columns, const DecoderSignature& signature) {
  for (std::size_t i = 0; i < 2 * signature.n_layers; ++i) {
    const bool is_key = i < signature.n_layers;
    const std::size_t rows = is_key ? signature.head_dim : columns;
    const std::size_t width = is_key ? columns : signature.head_dim;
    if (caches[i].type != signature.cache_type ||
        !has_shape(caches[i], {1, signature.n_kv_heads, rows, width})) {
      const TensorSpec expected{signature.cache_type,
                                {1, static_cast<std::int64_t>(signature.n_kv_heads),
                                 static_cast<std::int64_t>(rows),
                                 static_cast<std::int64_t>(width)}};
      return mismatch(method, std::string(is_key ? "K " : "V ") +
                                  tensor_name(kind, i % signature.n_layers) + " is " +
                                  spec_text(caches[i]) + ", expected " + spec_text(expected));
    }
  }
  return {};
}

}  // namespace

Outcome<DecoderSignature> read_decoder_signature(const std::string& method,
                                                 const std::vector<TensorSpec>& inputs,
                                                 const std::vector<TensorSpec>& outputs) {
  VLM_RETURN_IF_FAILED(check_counts(method, inputs.size(), outputs.size()));
  DecoderSignature signature;
  signature.n_layers = (inputs.size() - contract::kFirstCacheInput) / 2;
  VLM_RETURN_IF_FAILED(read_leading_inputs(method, inputs, signature));
  VLM_RETURN_IF_FAILED(read_logits(method, outputs[contract::kLogitsOutput], signature));
  const TensorSpec* cache_inputs = inputs.data() + contract::kFirstCacheInput;
  const TensorSpec* cache_outputs = outputs.data() + contract::kFirstCacheOutput;
  VLM_RETURN_IF_FAILED(read_cache_geometry(method, *cache_inputs, signature));
  VLM_RETURN_IF_FAILED(check_caches(method, "cache input of layer", cache_inputs,
                                    signature.cache_columns(), signature));
  VLM_RETURN_IF_FAILED(
      check_caches(method, "output of layer", cache_outputs, signature.ar_len, signature));
  return signature;
}

Status check_signatures_agree(const DecoderSignature& prefill, const DecoderSignature& decode) {
  struct Pair {
    const char* name;
    std::size_t in_prefill;
    std::size_t in_decode;
  };
  const Pair pairs[] = {
      {"context length", prefill.context_length, decode.context_length},
      {"width", prefill.dim, decode.dim},
      {"number of layers", prefill.n_layers, decode.n_layers},
      {"number of KV heads", prefill.n_kv_heads, decode.n_kv_heads},
      {"head size", prefill.head_dim, decode.head_dim},
      {"vocabulary size", prefill.vocab_size, decode.vocab_size},
      {"bytes per cache element", element_size(prefill.cache_type),
       element_size(decode.cache_type)},
      {"bytes per logit", element_size(prefill.logits_type), element_size(decode.logits_type)},
  };
  for (const Pair& pair : pairs) {
    if (pair.in_prefill != pair.in_decode) {
      return mismatch("prefill_forward", std::string(pair.name) + " is " +
                                             std::to_string(pair.in_prefill) +
                                             ", but kv_forward has " +
                                             std::to_string(pair.in_decode));
    }
  }
  return {};
}

}  // namespace vlm
