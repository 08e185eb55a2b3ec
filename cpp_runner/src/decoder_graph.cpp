#include "decoder_graph.h"

#include <cstring>
#include <utility>

#include "contract.h"

namespace vlm {

Outcome<std::unique_ptr<DecoderGraph>> DecoderGraph::load(const PteFile& file,
                                                          const char* method) {
  auto graph = file.load_graph(method);
  if (!graph.ok()) {
    return graph.failure();
  }
  const auto signature =
      read_decoder_signature(method, graph.value()->inputs(), graph.value()->outputs());
  if (!signature.ok()) {
    return signature.failure();
  }
  return std::unique_ptr<DecoderGraph>(new DecoderGraph(graph.take(), signature.value()));
}

DecoderGraph::DecoderGraph(std::unique_ptr<Graph> graph, const DecoderSignature& signature)
    : graph_(std::move(graph)),
      signature_(signature),
      mask_(signature.mask_type, signature.ar_len, signature.context_length),
      hidden_states_(signature.ar_len * signature.dim),
      positions_(signature.ar_len * element_size(signature.position_type)),
      logits_(signature.ar_len * signature.vocab_size * element_size(signature.logits_type)) {
  const std::size_t new_bytes = signature.n_kv_heads * signature.head_dim * signature.ar_len *
                                element_size(signature.cache_type);
  new_keys_.assign(signature.n_layers, std::vector<std::uint8_t>(new_bytes));
  new_values_.assign(signature.n_layers, std::vector<std::uint8_t>(new_bytes));
}

Status DecoderGraph::bind(KvCache& cache) {
  std::vector<void*> inputs(contract::kFirstCacheInput);
  inputs[contract::kHiddenStatesInput] = hidden_states_.data();
  inputs[contract::kMaskInput] = mask_.data();
  inputs[contract::kPositionsInput] = positions_.data();
  std::vector<void*> outputs(contract::kFirstCacheOutput);
  outputs[contract::kLogitsOutput] = logits_.data();
  for (std::size_t layer = 0; layer < signature_.n_layers; ++layer) {
    inputs.push_back(cache.key(layer));
    outputs.push_back(new_keys_[layer].data());
  }
  for (std::size_t layer = 0; layer < signature_.n_layers; ++layer) {
    inputs.push_back(cache.value(layer));
    outputs.push_back(new_values_[layer].data());
  }
  return graph_->bind(inputs, outputs);
}

void DecoderGraph::set_positions(std::size_t first) {
  for (std::size_t i = 0; i < signature_.ar_len; ++i) {
    if (signature_.position_type == ElementType::kI64) {
      const auto position = static_cast<std::int64_t>(first + i);
      std::memcpy(positions_.data() + i * sizeof(position), &position, sizeof(position));
    } else {
      const auto position = static_cast<std::int32_t>(first + i);
      std::memcpy(positions_.data() + i * sizeof(position), &position, sizeof(position));
    }
  }
}

Status DecoderGraph::run(std::size_t filled) {
  mask_.open_until(filled);
  set_positions(filled);
  return graph_->execute();
}

const std::uint8_t* DecoderGraph::logits_row(std::size_t row) const {
  return logits_.data() + row * signature_.vocab_size * element_size(signature_.logits_type);
}

}  // namespace vlm
