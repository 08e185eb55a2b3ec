#include "decoder.h"

#include <algorithm>

#include "contract.h"

namespace vlm {
namespace {

std::size_t next_power_of_two(std::size_t number) {
  std::size_t power = 1;
  while (power < number) {
    power *= 2;
  }
  return power;
}

Status check_decode_width(const DecoderSignature& signature, const Request& request) {
  const bool is_lookahead = request.mode == Mode::kLookahead;
  const std::size_t expected =
      is_lookahead ? next_power_of_two(request.lookahead.rows()) : std::size_t{1};
  if (signature.ar_len == expected) {
    return {};
  }
  return Failure{ExitCode::kContractMismatch,
                 std::string("text_decoder ") + contract::kDecodeMethod + ": takes " +
                     std::to_string(signature.ar_len) + " tokens a call, expected " +
                     std::to_string(expected) + " in mode " + mode_name(request.mode)};
}

void store_first(KvCache& cache, const DecoderGraph& graph, std::size_t count) {
  for (std::size_t layer = 0; layer < graph.signature().n_layers; ++layer) {
    cache.store(layer, graph.new_key(layer), graph.new_value(layer), graph.signature().ar_len,
                count);
  }
  cache.advance(count);
}

}  // namespace

Outcome<std::unique_ptr<Decoder>> Decoder::load(const Request& request, TensorMemory& memory) {
  auto file = PteFile::open("text_decoder", request.text_decoder_pte);
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
  VLM_RETURN_IF_FAILED(check_decode_width(decoder->signature(), request));
  VLM_RETURN_IF_FAILED(decoder->read_limits());
  if (request.mode != Mode::kKv) {
    VLM_RETURN_IF_FAILED(decoder->load_prefill());
  }
  decoder->allocate_caches(memory);
  VLM_RETURN_IF_FAILED(decoder->decode_->bind(*decoder->cache_, memory));
  if (decoder->prefill_ != nullptr) {
    KvCache& cache =
        decoder->prefill_cache_ != nullptr ? *decoder->prefill_cache_ : *decoder->cache_;
    VLM_RETURN_IF_FAILED(decoder->prefill_->bind(cache, memory));
  }
  return decoder;
}

Status Decoder::read_limits() {
  max_seq_len_ = signature().context_length;
  if (!file_->has_method(contract::kMaxSeqLen)) {
    return {};
  }
  const auto limit = file_->read_integer(contract::kMaxSeqLen);
  if (!limit.ok()) {
    return limit.failure();
  }
  if (limit.value() < 2 || static_cast<std::size_t>(limit.value()) > max_seq_len_) {
    return Failure{ExitCode::kContractMismatch,
                   std::string("text_decoder: ") + contract::kMaxSeqLen + " is " +
                       std::to_string(limit.value()) + ", expected 2 to the context's " +
                       std::to_string(max_seq_len_)};
  }
  max_seq_len_ = static_cast<std::size_t>(limit.value());
  return {};
}

Status Decoder::load_prefill() {
  auto prefill = DecoderGraph::load(*file_, contract::kPrefillMethod);
  if (!prefill.ok()) {
    return prefill.failure();
  }
  prefill_ = prefill.take();
  VLM_RETURN_IF_FAILED(check_signatures_agree(prefill_->signature(), signature()));
  auto encodings = read_cache_encodings(*file_, signature().n_layers, signature().cache_type);
  if (!encodings.ok()) {
    return encodings.failure();
  }
  encodings_ = encodings.take();
  return {};
}

void Decoder::allocate_caches(TensorMemory& memory) {
  const std::size_t decode_columns = signature().cache_columns();
  KvGeometry geometry{signature().n_layers, signature().n_kv_heads, signature().head_dim,
                      element_size(signature().cache_type), decode_columns};
  if (prefill_ == nullptr) {
    cache_ = std::make_unique<KvCache>(geometry, decode_columns, memory);
    return;
  }
  const std::size_t prefill_columns = prefill_->signature().cache_columns();
  if (encodings_differ(encodings_)) {
    cache_ = std::make_unique<KvCache>(geometry, decode_columns, memory);
    geometry.max_columns = prefill_columns;
    prefill_cache_ = std::make_unique<KvCache>(geometry, prefill_columns, memory);
    return;
  }
  geometry.max_columns = std::max(decode_columns, prefill_columns);
  cache_ = std::make_unique<KvCache>(geometry, decode_columns, memory);
}

std::size_t Decoder::prefill_ar_len() const {
  return prefill_ != nullptr ? prefill_->signature().ar_len : 1;
}

std::size_t Decoder::capacity() const {
  return std::min(signature().cache_columns(), max_seq_len_ - 1);
}

void Decoder::reset() {
  cache_->clear();
  decode_->reset();
  if (prefill_ != nullptr) {
    prefill_->reset();
  }
  if (prefill_cache_ != nullptr) {
    prefill_cache_->clear();
  }
}

std::size_t Decoder::bytes_touched() const {
  std::size_t bytes = cache_->bytes_touched() + decode_->bytes_touched();
  bytes += prefill_ != nullptr ? prefill_->bytes_touched() : 0;
  return bytes + (prefill_cache_ != nullptr ? prefill_cache_->bytes_touched() : 0);
}

Status Decoder::run(DecoderGraph& graph, std::vector<std::int64_t>& execute_ns,
                    TurnReport& turn) {
  VLM_RETURN_IF_FAILED(graph.run(cache_->filled()));
  const Interval& execution = graph.execution();
  Interval& whole = turn.execute.model_execution;
  whole = {whole.begin_ns == 0 ? execution.begin_ns : whole.begin_ns, execution.end_ns};
  execute_ns.push_back(execution.duration_ns());
  return {};
}

bool Decoder::enter_prefill(TurnReport& turn) {
  const std::size_t columns = prefill_->signature().cache_columns();
  const std::size_t filled = cache_->filled();
  if (filled > columns) {
    return false;
  }
  if (prefill_cache_ == nullptr) {
    cache_->set_columns(columns);
  } else if (prefill_cache_->filled() < filled) {
    // What was decoded since the last prefill, in the prefill graph's encoding.
    const std::size_t begin = prefill_cache_->filled();
    prefill_cache_->copy_missing(*cache_, filled);
    turn.requantized_entries += requantize_entries(*prefill_cache_, encodings_,
                                                   Direction::kDecodeToPrefill, begin, filled);
  }
  return true;
}

void Decoder::store_prefill(std::size_t count, bool is_last, TurnReport& turn) {
  const std::size_t begin = cache_->filled();
  const std::size_t columns = prefill_->signature().cache_columns();
  if (prefill_cache_ == nullptr) {
    if (is_last) {
      // These entries go where decode reads them: its rows have room for them.
      cache_->set_columns(signature().cache_columns());
    }
    store_first(*cache_, *prefill_, count);
    return;
  }
  store_first(*prefill_cache_, *prefill_, std::min(count, columns - begin));
  store_first(*cache_, *prefill_, count);
  turn.requantized_entries += requantize_entries(
      *cache_, encodings_, Direction::kPrefillToDecode, begin, begin + count);
}

Status Decoder::prefill_wide(const std::vector<float>& rows, std::size_t& done,
                             TurnReport& turn) {
  const std::size_t dim = signature().dim;
  const std::size_t ar_len = prefill_->signature().ar_len;
  const std::size_t columns = prefill_->signature().cache_columns();
  const std::size_t n_tokens = rows.size() / dim;
  bool is_last = !enter_prefill(turn);
  while (!is_last) {
    const std::int64_t begin_ns = now_ns();
    const std::size_t count = std::min(ar_len, n_tokens - done);
    float* padding =
        std::copy_n(rows.data() + done * dim, count * dim, prefill_->hidden_states());
    std::fill_n(padding, (ar_len - count) * dim, 0.0f);
    VLM_RETURN_IF_FAILED(run(*prefill_, turn.execute.prefill_ns, turn));
    done += count;
    is_last = done == n_tokens || cache_->filled() + count > columns;
    store_prefill(count, is_last, turn);
    turn.timestamps.prefill_steps.push_back({begin_ns, now_ns()});
  }
  return {};
}

Status Decoder::prefill_narrow(const std::vector<float>& rows, std::size_t& done,
                               TurnReport& turn) {
  const std::size_t dim = signature().dim;
  while (done < rows.size() / dim) {
    const std::int64_t begin_ns = now_ns();
    std::copy_n(rows.data() + done * dim, dim, decode_->hidden_states());
    VLM_RETURN_IF_FAILED(run(*decode_, turn.execute.prefill_ns, turn));
    store_first(*cache_, *decode_, 1);
    ++done;
    turn.timestamps.prefill_steps.push_back({begin_ns, now_ns()});
  }
  return {};
}

Outcome<const std::uint8_t*> Decoder::prefill(const std::vector<float>& rows, TurnReport& turn) {
  std::size_t done = 0;
  if (prefill_ != nullptr) {
    VLM_RETURN_IF_FAILED(prefill_wide(rows, done, turn));
  }
  const std::size_t done_wide = done;
  // All of it in kv mode; else what lies beyond the columns that the prefill graph can see.
  VLM_RETURN_IF_FAILED(prefill_narrow(rows, done, turn));
  return done > done_wide ? decode_->logits_row(0)
                          : prefill_->logits_row((done - 1) % prefill_->signature().ar_len);
}

Status Decoder::run_decode(TurnReport& turn) {
  return run(*decode_, turn.execute.decode_ns, turn);
}

void Decoder::keep_first() { store_first(*cache_, *decode_, 1); }

void Decoder::keep(const std::vector<std::size_t>& rows) {
  for (std::size_t layer = 0; layer < signature().n_layers; ++layer) {
    cache_->store_selected(layer, decode_->new_key(layer), decode_->new_value(layer),
                           signature().ar_len, rows);
  }
  cache_->advance(rows.size());
}

Outcome<Encoding> Decoder::read_logits_encoding() const {
  if (signature().logits_type == ElementType::kF32) {
    return Encoding{};
  }
  const auto scale = file_->read_scale(contract::kLogitsScale);
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
