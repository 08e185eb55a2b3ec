#include "session.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "clock.h"
#include "decoder.h"
#include "memory_usage.h"
#include "prompt.h"
#include "sampler.h"
#include "token_embedding.h"
#include "vision_encoder.h"

namespace vlm {
namespace {

// The three loaded components of one request.
class Session {
 public:
  Session(const Request& request, Report& report) : request_(request), report_(report) {}

  Status run();

 private:
  Status load();
  Status check_inputs();
  Status encode_images();
  Status prefill();
  Status decode();
  Status take_token(const std::uint8_t* logits);  // (vocab_size)
  StopReason stop_reason_after(std::int64_t token) const;

  const Request& request_;
  Report& report_;
  std::unique_ptr<VisionEncoder> vision_encoder_;
  // Declared before token_embedding_, which writes into its buffer.
  std::unique_ptr<Decoder> decoder_;
  std::unique_ptr<TokenEmbedding> token_embedding_;
  std::vector<std::vector<float>> pixels_;  // n_images x (1, 3, H, W)
  std::vector<float> image_tokens_;         // (image_tokens, dim)
};

Status Session::run() {
  VLM_RETURN_IF_FAILED(load());
  VLM_RETURN_IF_FAILED(check_inputs());
  report_.timestamps.inference_start_ns = now_ns();
  VLM_RETURN_IF_FAILED(encode_images());
  VLM_RETURN_IF_FAILED(prefill());
  VLM_RETURN_IF_FAILED(decode());
  report_.timestamps.inference_end_ns = now_ns();
  report_.timestamps.model_execution = decoder_->execution();
  report_.timestamps.model_execution_total_ns = decoder_->execution_total_ns();
  report_.peak_rss_bytes = read_memory_usage().peak_resident_bytes;
  report_.step = Step::kDone;
  return {};
}

// Loads one component and times it.
template <typename Component, typename Load>
Status load_component(std::unique_ptr<Component>& component, std::optional<Interval>& interval,
                      const Load& load) {
  Interval loading;
  loading.begin_ns = now_ns();
  auto loaded = load();
  loading.end_ns = now_ns();
  if (!loaded.ok()) {
    return loaded.failure();
  }
  component = loaded.take();
  interval = loading;
  return {};
}

Status Session::load() {
  Timestamps& times = report_.timestamps;
  report_.step = Step::kLoadVisionEncoder;
  VLM_RETURN_IF_FAILED(load_component(vision_encoder_, times.load_vision_encoder, [&] {
    return VisionEncoder::load(request_.vision_encoder_pte);
  }));
  report_.step = Step::kLoadTokEmbedding;
  VLM_RETURN_IF_FAILED(load_component(token_embedding_, times.load_tok_embedding, [&] {
    return TokenEmbedding::load(request_.tok_embedding_pte, request_.mode);
  }));
  report_.step = Step::kLoadTextDecoder;
  VLM_RETURN_IF_FAILED(load_component(decoder_, times.load_text_decoder, [&] {
    return Decoder::load(request_.text_decoder_pte, request_.mode);
  }));
  report_.context_length = decoder_->signature().context_length;
  report_.prefill_ar_len = decoder_->prefill_ar_len();
  report_.rss_after_load_bytes = read_memory_usage().resident_bytes;
  return {};
}

Status Session::check_inputs() {
  report_.step = Step::kCheckInputs;
  const DecoderSignature& signature = decoder_->signature();
  if (token_embedding_->dim() != signature.dim || vision_encoder_->dim() != signature.dim) {
    return Failure{ExitCode::kContractMismatch,
                   "components: widths differ: vision_encoder " +
                       std::to_string(vision_encoder_->dim()) + ", tok_embedding " +
                       std::to_string(token_embedding_->dim()) + ", text_decoder " +
                       std::to_string(signature.dim)};
  }
  VLM_RETURN_IF_FAILED(token_embedding_->bind_token_output(decoder_->token_row()));
  VLM_RETURN_IF_FAILED(
      check_token_ids("prompt_token_ids", request_.prompt_token_ids, signature.vocab_size));
  if (request_.prompt_token_ids.size() > decoder_->max_prompt_tokens()) {
    return Failure{ExitCode::kPromptTooLong,
                   "prompt: it has " + std::to_string(request_.prompt_token_ids.size()) +
                       " tokens, at most " + std::to_string(decoder_->max_prompt_tokens()) +
                       " fit into a context of " + std::to_string(signature.context_length)};
  }
  VLM_RETURN_IF_FAILED(check_placeholders(request_.prompt_token_ids, request_.image_token_id,
                                          request_.images.size(),
                                          vision_encoder_->tokens_per_image()));
  for (const ImageFile& image : request_.images) {
    auto pixels = vision_encoder_->read_pixels(image);
    if (!pixels.ok()) {
      return pixels.failure();
    }
    pixels_.push_back(pixels.take());
  }
  report_.prompt_tokens = request_.prompt_token_ids.size();
  report_.image_tokens = request_.images.size() * vision_encoder_->tokens_per_image();
  if (request_.record_logits) {
    const auto encoding = decoder_->read_logits_encoding();
    if (!encoding.ok()) {
      return encoding.failure();
    }
    report_.logits = RecordedLogits{encoding.value().scale, encoding.value().zero_point, {}};
  }
  return {};
}

Status Session::encode_images() {
  report_.step = Step::kEncodeImages;
  const std::size_t image_size = vision_encoder_->tokens_per_image() * vision_encoder_->dim();
  image_tokens_.resize(pixels_.size() * image_size);
  for (std::size_t i = 0; i < pixels_.size(); ++i) {
    Interval interval;
    interval.begin_ns = now_ns();
    VLM_RETURN_IF_FAILED(
        vision_encoder_->encode(pixels_[i], image_tokens_.data() + i * image_size));
    interval.end_ns = now_ns();
    report_.timestamps.images.push_back(interval);
  }
  return {};
}

Status Session::take_token(const std::uint8_t* logits) {
  const std::int64_t begin_ns = now_ns();
  const DecoderSignature& signature = decoder_->signature();
  std::int64_t token = 0;
  if (request_.record_logits) {
    const auto best = best_two(logits, signature.vocab_size, signature.logits_type);
    if (!best.ok()) {
      return best.failure();
    }
    token = best.value().first.id;
    report_.logits->top.push_back(best.value());
  } else {
    const auto best = argmax(logits, signature.vocab_size, signature.logits_type);
    if (!best.ok()) {
      return best.failure();
    }
    token = best.value();
  }
  const std::int64_t end_ns = now_ns();
  report_.generated_token_ids.push_back(token);
  report_.timestamps.tokens_ns.push_back(end_ns);
  report_.timestamps.sampling_total_ns += end_ns - begin_ns;
  return {};
}

Status Session::prefill() {
  report_.step = Step::kPrefill;
  Interval interval;
  interval.begin_ns = now_ns();
  const std::vector<std::int64_t>& ids = request_.prompt_token_ids;
  const std::size_t dim = decoder_->signature().dim;
  std::vector<float> rows(ids.size() * dim);  // (prompt_tokens, dim)
  VLM_RETURN_IF_FAILED(
      token_embedding_->embed_prompt(ids, request_.image_token_id, rows.data()));
  merge_image_tokens(ids, request_.image_token_id, image_tokens_, dim, rows.data());
  const auto logits = decoder_->prefill(rows, report_.timestamps.prefill_steps);
  if (!logits.ok()) {
    return logits.failure();
  }
  VLM_RETURN_IF_FAILED(take_token(logits.value()));
  interval.end_ns = report_.timestamps.tokens_ns.back();
  report_.timestamps.prefill = interval;
  report_.requantized_entries = decoder_->requantized_entries();
  report_.rss_after_prefill_bytes = read_memory_usage().resident_bytes;
  return {};
}

StopReason Session::stop_reason_after(std::int64_t token) const {
  const auto& stops = request_.stop_token_ids;
  if (std::find(stops.begin(), stops.end(), token) != stops.end()) {
    return StopReason::kStopToken;
  }
  if (report_.generated_token_ids.size() >= request_.max_new_tokens) {
    return StopReason::kMaxNewTokens;
  }
  return decoder_->cache_full() ? StopReason::kContextFull : StopReason::kNone;
}

Status Session::decode() {
  report_.step = Step::kDecode;
  while (true) {
    const std::int64_t token = report_.generated_token_ids.back();
    report_.stop_reason = stop_reason_after(token);
    if (report_.stop_reason != StopReason::kNone) {
      return {};
    }
    VLM_RETURN_IF_FAILED(token_embedding_->embed_token(token));
    const auto logits = decoder_->step();
    if (!logits.ok()) {
      return logits.failure();
    }
    VLM_RETURN_IF_FAILED(take_token(logits.value()));
  }
}

}  // namespace

Status run_request(const Request& request, Report& report) {
  report.mode = request.mode;
  Session session(request, report);
  return session.run();
}

}  // namespace vlm
