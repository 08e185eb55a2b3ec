#include "decoder.h"

#include <algorithm>

#include "contract.h"

namespace vlm {

Outcome<std::unique_ptr<Decoder>> Decoder::load(const std::string& path, Mode mode) {
  auto file = PteFile::open("text_decoder", path);
  if (!file.ok()) {
    return file.failure();
  }
  std::unique_ptr<Decoder> decoder(new Decoder());
  decoder->file_ = file.take();
  auto decode = DecoderGraph::load(*decoder->file_, contract::kDecodeMethod);
  if (!decode.ok()) {
    return decode.failure();
  }
  decoder->decode_ = decode.take();
  const DecoderSignature& signature = decoder->decode_->signature();
  if (signature.ar_len != 1) {
    return Failure{ExitCode::kContractMismatch,
                   std::string("text_decoder ") + contract::kDecodeMethod + ": takes " +
                       std::to_string(signature.ar_len) + " tokens a call, expected 1"};
  }
  std::size_t first_columns = signature.cache_columns();
  if (mode == Mode::kHybrid) {
    auto prefill = DecoderGraph::load(*decoder->file_, contract::kPrefillMethod);
    if (!prefill.ok()) {
      return prefill.failure();
    }
    decoder->prefill_ = prefill.take();
    VLM_RETURN_IF_FAILED(check_signatures_agree(decoder->prefill_->signature(), signature));
    auto encodings =
        read_cache_encodings(*decoder->file_, signature.n_layers, signature.cache_type);
    if (!encodings.ok()) {
      return encodings.failure();
    }
    decoder->encodings_ = encodings.take();
    first_columns = decoder->prefill_->signature().cache_columns();
  }
  const KvGeometry geometry{signature.n_layers, signature.n_kv_heads, signature.head_dim,
                            element_size(signature.cache_type), signature.cache_columns()};
  decoder->cache_ = std::make_unique<KvCache>(geometry, first_columns);
  VLM_RETURN_IF_FAILED(decoder->decode_->bind(*decoder->cache_));
  if (decoder->prefill_ != nullptr) {
    VLM_RETURN_IF_FAILED(decoder->prefill_->bind(*decoder->cache_));
  }
  return decoder;
}

std::size_t Decoder::prefill_ar_len() const {
  return prefill_ != nullptr ? prefill_->signature().ar_len : 1;
}

std::size_t Decoder::max_prompt_tokens() const {
  const std::size_t room = signature().cache_columns();
  if (prefill_ == nullptr) {
    return room;
  }
  const DecoderSignature& prefill = prefill_->signature();
  const std::size_t steps = prefill.cache_columns() / prefill.ar_len + 1;
  return std::min(room, steps * prefill.ar_len);
}

Status Decoder::run(DecoderGraph& graph) {
  Interval interval;
  interval.begin_ns = now_ns();
  VLM_RETURN_IF_FAILED(graph.run(cache_->filled()));
  interval.end_ns = now_ns();
  if (execution_total_ns_ == 0) {
    execution_.begin_ns = interval.begin_ns;
  }
  execution_.end_ns = interval.end_ns;
  execution_total_ns_ += interval.end_ns - interval.begin_ns;
  return {};
}

void Decoder::store(const DecoderGraph& graph, std::size_t count) {
  for (std::size_t layer = 0; layer < signature().n_layers; ++layer) {
    cache_->store(layer, graph.new_key(layer), graph.new_value(layer),
                  graph.signature().ar_len, count);
  }
  cache_->advance(count);
}

Outcome<const std::uint8_t*> Decoder::prefill(const std::vector<float>& rows,
                                              std::vector<Interval>& steps) {
  DecoderGraph& graph = prefill_ != nullptr ? *prefill_ : *decode_;
  const std::size_t dim = signature().dim;
  const std::size_t ar_len = graph.signature().ar_len;
  const std::size_t n_tokens = rows.size() / dim;
  for (std::size_t begin = 0; begin < n_tokens; begin += ar_len) {
    const std::int64_t begin_ns = now_ns();
    const std::size_t count = std::min(ar_len, n_tokens - begin);
    float* padding = std::copy_n(rows.data() + begin * dim, count * dim, graph.hidden_states());
    std::fill_n(padding, (ar_len - count) * dim, 0.0f);
    VLM_RETURN_IF_FAILED(run(graph));
    const bool is_last = begin + count == n_tokens;
    if (is_last && prefill_ != nullptr) {
      // The last step's entries go where decode reads them: the wider rows always have room.
      cache_->set_columns(signature().cache_columns());
    }
    store(graph, count);
    if (is_last && prefill_ != nullptr) {
      // Not earlier: until here the prefill graph read the cache, in its own encoding.
      requantized_entries_ += requantize_cache(*cache_, encodings_);
    }
    steps.push_back({begin_ns, now_ns()});
  }
  const std::size_t last_row = (n_tokens - 1) % ar_len;
  return graph.logits_row(last_row);
}

Outcome<const std::uint8_t*> Decoder::step() {
  VLM_RETURN_IF_FAILED(run(*decode_));
  store(*decode_, 1);
  return decode_->logits_row(0);
}

Outcome<Encoding> Decoder::read_logits_encoding() const {
  if (signature().logits_type == ElementType::kF32) {
    return Encoding{};
  }
  const auto scale = file_->read_number(contract::kLogitsScale);
  if (!scale.ok()) {
    return scale.failure();
  }
  const auto zero_point = file_->read_integer(contract::kLogitsZeroPoint);
  if (!zero_point.ok()) {
    return zero_point.failure();
  }
  return Encoding{scale.value(), zero_point.value()};
}

}  // namespace vlm
