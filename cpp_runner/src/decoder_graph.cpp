#include "decoder_graph.h"

#include <cstring>
#include <numeric>
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
    : graph_(std::move(graph)), signature_(signature), offsets_(signature.ar_len) {
  std::iota(offsets_.begin(), offsets_.end(), std::size_t{0});
}

Status DecoderGraph::bind(KvCache& cache, TensorMemory& memory) {
  const std::size_t n_layers = signature_.n_layers;
  std::vector<std::size_t> sizes;
  for (const TensorSpec* spec : {&graph_->inputs()[contract::kHiddenStatesInput],
                                 &graph_->inputs()[contract::kMaskInput],
                                 &graph_->inputs()[contract::kPositionsInput]}) {
    sizes.push_back(spec->byte_count());
  }
  for (const TensorSpec& output : graph_->outputs()) {
    sizes.push_back(output.byte_count());
  }
  const std::vector<std::uint8_t*> pieces = memory.allocate(sizes);
  hidden_states_ = reinterpret_cast<float*>(pieces[0]);
  mask_.emplace(signature_.mask_type, signature_.ar_len, signature_.context_length, pieces[1]);
  positions_ = pieces[2];
  logits_ = pieces[3];
  const auto first_key = pieces.begin() + 4;
  const auto first_value = first_key + static_cast<std::ptrdiff_t>(n_layers);
  new_keys_.assign(first_key, first_value);
  new_values_.assign(first_value, pieces.end());

  std::vector<void*> inputs(contract::kFirstCacheInput);
  inputs[contract::kHiddenStatesInput] = hidden_states_;
  inputs[contract::kMaskInput] = pieces[1];
  inputs[contract::kPositionsInput] = positions_;
  for (std::size_t layer = 0; layer < n_layers; ++layer) {
    inputs.push_back(cache.key(layer));
  }
  for (std::size_t layer = 0; layer < n_layers; ++layer) {
    inputs.push_back(cache.value(layer));
  }
  return graph_->bind(inputs, std::vector<void*>(pieces.begin() + 3, pieces.end()));
}

void DecoderGraph::arrange_rows(const std::vector<std::size_t>& offsets,
                                const std::vector<bool>& attends) {
  offsets_ = offsets;
  mask_->set_current(attends);
}

void DecoderGraph::set_positions(std::size_t first) {
  for (std::size_t i = 0; i < signature_.ar_len; ++i) {
    if (signature_.position_type == ElementType::kI64) {
      const auto position = static_cast<std::int64_t>(first + offsets_[i]);
      std::memcpy(positions_ + i * sizeof(position), &position, sizeof(position));
    } else {
      const auto position = static_cast<std::int32_t>(first + offsets_[i]);
      std::memcpy(positions_ + i * sizeof(position), &position, sizeof(position));
    }
  }
  positions_touched_ += signature_.ar_len * element_size(signature_.position_type);
}

Status DecoderGraph::run(std::size_t filled) {
  mask_->open_until(filled);
  set_positions(filled);
  return graph_->execute();
}

const std::uint8_t* DecoderGraph::logits_row(std::size_t row) const {
  return logits_ + row * signature_.vocab_size * element_size(signature_.logits_type);
}

}  // namespace vlm
