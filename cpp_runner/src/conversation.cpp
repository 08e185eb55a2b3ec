#include "conversation.h"

#include <algorithm>
#include <string>

#include "memory_usage.h"
#include "prompt.h"

namespace vlm {
namespace {

constexpr std::int64_t kNoToken = -1;

}  // namespace

Conversation::Conversation(const Request& request, Components& components,
                           const Encoding& logits)
    : request_(request),
      components_(components),
      decoder_(*components.decoder),
      embedding_(*components.token_embedding),
      logits_encoding_(logits),
      sampler_(request.sampling, decoder_.signature().vocab_size,
               decoder_.signature().logits_type, logits) {
  if (request.mode == Mode::kLookahead) {
    const std::uint64_t seed = request.sampling.has_value() ? request.sampling->seed : 0;
    lookahead_.emplace(request.lookahead, decoder_.decode_ar_len(), seed);
    decoder_.arrange_decode_rows(lookahead_->rows().offsets(), lookahead_->rows().attends());
  }
}

void Conversation::reset() {
  decoder_.reset();
  sampler_.reset();
  pending_.clear();
  if (lookahead_.has_value()) {
    lookahead_->reset();
  }
}

Status Conversation::run_turn(const TurnRequest& request,
                              const std::vector<std::vector<float>>& pixels, TurnReport& turn,
                              Step& step, LogitsDump* dump) {
  Current current{request, turn, dump};
  step = Step::kCheckInputs;
  turn.prompt_tokens = pending_.size() + request.prompt_token_ids.size();
  VLM_RETURN_IF_FAILED(check_room(turn.prompt_tokens, request));
  if (request_.record_logits != LogitsRecord::kNone) {
    turn.logits = RecordedLogits{logits_encoding_.scale, logits_encoding_.zero_point, {}};
  }
  const std::size_t expected_tokens = std::min(token_limit(), decoder_.max_seq_len());
  turn.generated_token_ids.reserve(expected_tokens);
  turn.timestamps.tokens_ns.reserve(expected_tokens);
  turn.execute.decode_ns.reserve(expected_tokens);

  turn.timestamps.inference_start_ns = now_ns();
  step = Step::kEncodeImages;
  VLM_RETURN_IF_FAILED(encode_images(pixels, turn));
  step = Step::kPrefill;
  VLM_RETURN_IF_FAILED(prefill(current));
  step = Step::kDecode;
  if (request.teacher_forced_token_ids.has_value()) {
    VLM_RETURN_IF_FAILED(decode_forced(current));
    remember_end(request.teacher_forced_token_ids->back());
  } else {
    VLM_RETURN_IF_FAILED(lookahead_.has_value() ? decode_lookahead(current) : decode(current));
    remember_end(turn.generated_token_ids.back());
  }
  turn.timestamps.inference_end_ns = now_ns();
  return {};
}

// Refuses what cannot end well before any time is spent on it.
Status Conversation::check_room(std::size_t new_tokens, const TurnRequest& request) const {
  const std::size_t room = decoder_.capacity() - decoder_.cached_tokens();
  if (new_tokens > room) {
    return Failure{ExitCode::kPromptTooLong,
                   "prompt: it has " + std::to_string(new_tokens) + " tokens, at most " +
                       std::to_string(room) + " fit into a context of " +
                       std::to_string(decoder_.signature().context_length) + " (positions for " +
                       std::to_string(decoder_.max_seq_len()) + ", cached already: " +
                       std::to_string(decoder_.cached_tokens()) + ")"};
  }
  std::size_t reply = request_.fixed_tokens.value_or(1);
  const char* name = "fixed_tokens";
  if (request.teacher_forced_token_ids.has_value()) {
    reply = request.teacher_forced_token_ids->size();
    name = "teacher_forced_token_ids";
  }
  // The last token of a reply is not cached.
  if (reply - 1 > room - new_tokens) {
    return Failure{ExitCode::kPromptTooLong,
                   std::string(name) + ": a reply of " + std::to_string(reply) +
                       " tokens behind the prompt's, at most " +
                       std::to_string(room - new_tokens + 1) + " fit"};
  }
  return {};
}

Status Conversation::encode_images(const std::vector<std::vector<float>>& pixels,
                                   TurnReport& turn) {
  if (pixels.empty()) {
    image_tokens_.clear();
    return {};
  }
  VisionEncoder& encoder = *components_.vision_encoder;
  turn.image_tokens = pixels.size() * encoder.tokens_per_image();
  const std::size_t image_size = encoder.tokens_per_image() * encoder.dim();
  image_tokens_.resize(pixels.size() * image_size);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    Interval interval;
    interval.begin_ns = now_ns();
    VLM_RETURN_IF_FAILED(encoder.encode(pixels[i], image_tokens_.data() + i * image_size));
    interval.end_ns = now_ns();
    turn.timestamps.images.push_back(interval);
    turn.execute.vision_encoder_ns.push_back(encoder.execution().duration_ns());
  }
  return {};
}

Status Conversation::prefill(Current& turn) {
  Interval interval;
  interval.begin_ns = now_ns();
  std::vector<std::int64_t> ids = pending_;
  pending_.clear();
  const std::size_t first = ids.size();
  const std::vector<std::int64_t>& prompt = turn.request.prompt_token_ids;
  ids.insert(ids.end(), prompt.begin(), prompt.end());
  const std::size_t dim = decoder_.signature().dim;
  std::vector<float> rows(ids.size() * dim);
  VLM_RETURN_IF_FAILED(embedding_.embed_prompt(ids, first, request_.image_token_id, rows.data()));
  // What a reply ended with is text, even if it has the placeholder's id.
  merge_image_tokens(prompt, request_.image_token_id, image_tokens_, dim,
                     rows.data() + first * dim);
  if (lookahead_.has_value()) {
    lookahead_->add_text(ids, request_.image_token_id);
  }
  const auto logits = decoder_.prefill(rows, turn.report);
  if (!logits.ok()) {
    return logits.failure();
  }
  VLM_RETURN_IF_FAILED(take_token(logits.value(), turn));
  interval.end_ns = turn.report.timestamps.tokens_ns.back();
  turn.report.timestamps.prefill = interval;
  if (rss_after_prefill_bytes_ == 0) {  // once: reading it takes longer than a decode step
    rss_after_prefill_bytes_ = read_memory_usage().resident_bytes;
  }
  return {};
}

Status Conversation::record(const std::uint8_t* row, Current& turn) {
  const DecoderSignature& signature = decoder_.signature();
  if (request_.record_logits == LogitsRecord::kNone) {
    return {};
  }
  const auto best = best_two(row, signature.vocab_size, signature.logits_type);
  if (!best.ok()) {
    return best.failure();
  }
  turn.report.logits->top.push_back(best.value());
  if (turn.dump == nullptr) {
    return {};
  }
  logits_row_.resize(signature.vocab_size);
  VLM_RETURN_IF_FAILED(dequantize_logits(row, signature.vocab_size, signature.logits_type,
                                         logits_encoding_, logits_row_.data()));
  return turn.dump->append(logits_row_);
}

Status Conversation::take_token(const std::uint8_t* row, Current& turn) {
  const std::int64_t begin_ns = now_ns();
  const DecoderSignature& signature = decoder_.signature();
  VLM_RETURN_IF_FAILED(record(row, turn));
  // Under teacher forcing the model's own choice is reported, never a draw.
  const auto token = turn.request.teacher_forced_token_ids.has_value()
                         ? argmax(row, signature.vocab_size, signature.logits_type)
                         : sampler_.choose(row);
  if (!token.ok()) {
    return token.failure();
  }
  const std::int64_t end_ns = now_ns();
  turn.report.generated_token_ids.push_back(token.value());
  turn.report.timestamps.tokens_ns.push_back(end_ns);
  turn.report.timestamps.sampling_total_ns += end_ns - begin_ns;
  return {};
}

bool Conversation::is_stop_token(std::int64_t token) const {
  const auto& stops = request_.stop_token_ids;
  return std::find(stops.begin(), stops.end(), token) != stops.end();
}

std::size_t Conversation::token_limit() const {
  return request_.fixed_tokens.value_or(request_.max_new_tokens);
}

StopReason Conversation::stop_reason_after(const TurnReport& turn, std::size_t cached) const {
  const bool is_fixed = request_.fixed_tokens.has_value();
  if (!is_fixed && is_stop_token(turn.generated_token_ids.back())) {
    return StopReason::kStopToken;
  }
  if (turn.generated_token_ids.size() >= token_limit()) {
    return is_fixed ? StopReason::kFixedTokens : StopReason::kMaxNewTokens;
  }
  return cached >= decoder_.capacity() ? StopReason::kContextFull : StopReason::kNone;
}

// Runs one token and appends what the model says after it.
Status Conversation::step(std::int64_t token, Current& turn) {
  VLM_RETURN_IF_FAILED(embedding_.embed_token(token));
  VLM_RETURN_IF_FAILED(decoder_.run_decode(turn.report));
  decoder_.keep_first();
  ++turn.report.decode_steps;
  return take_token(decoder_.logits_row(0), turn);
}

Status Conversation::decode(Current& turn) {
  while (true) {
    turn.report.stop_reason = stop_reason_after(turn.report, decoder_.cached_tokens());
    if (turn.report.stop_reason != StopReason::kNone) {
      return {};
    }
    VLM_RETURN_IF_FAILED(step(turn.report.generated_token_ids.back(), turn));
  }
}

Status Conversation::decode_lookahead(Current& turn) {
  turn.report.lookahead = LookaheadCounts{};
  lookahead_->add_text({turn.report.generated_token_ids.back()}, kNoToken);
  while (true) {
    turn.report.stop_reason = stop_reason_after(turn.report, decoder_.cached_tokens());
    if (turn.report.stop_reason != StopReason::kNone) {
      return {};
    }
    lookahead_->fill_rows(turn.report.generated_token_ids.back(), embedding_.token_ids());
    turn.report.lookahead->proposed += lookahead_->proposed_tokens();
    VLM_RETURN_IF_FAILED(embedding_.embed_tokens());
    VLM_RETURN_IF_FAILED(decoder_.run_decode(turn.report));
    ++turn.report.decode_steps;
    VLM_RETURN_IF_FAILED(verify(turn));
  }
}

// Takes the token behind the input, and as long as a candidate foresaw it, the one behind that.
Status Conversation::verify(Current& turn) {
  std::vector<std::size_t> kept = {0};  // the input token's row
  std::vector<std::int64_t> taken;
  while (true) {
    VLM_RETURN_IF_FAILED(take_token(decoder_.logits_row(kept.back()), turn));
    taken.push_back(turn.report.generated_token_ids.back());
    const std::size_t cached = decoder_.cached_tokens() + kept.size();
    std::size_t row = 0;
    if (stop_reason_after(turn.report, cached) != StopReason::kNone ||
        !lookahead_->find_candidate(taken, row)) {
      break;
    }
    kept.push_back(row);
  }
  decoder_.keep(kept);
  turn.report.lookahead->accepted += kept.size() - 1;
  VLM_RETURN_IF_FAILED(guess_ahead());
  lookahead_->add_text(taken, kNoToken);
  return {};
}

Status Conversation::guess_ahead() {
  const DecoderSignature& signature = decoder_.signature();
  std::vector<std::int64_t> best;
  for (std::size_t column = 0; column < request_.lookahead.window; ++column) {
    const std::size_t row = lookahead_->rows().window_row(request_.lookahead.ngram - 2, column);
    const auto token =
        argmax(decoder_.logits_row(row), signature.vocab_size, signature.logits_type);
    if (!token.ok()) {
      return token.failure();
    }
    best.push_back(token.value());
  }
  lookahead_->advance_window(best);
  return {};
}

Status Conversation::decode_forced(Current& turn) {
  const std::vector<std::int64_t>& forced = *turn.request.teacher_forced_token_ids;
  for (std::size_t i = 0; i + 1 < forced.size(); ++i) {
    VLM_RETURN_IF_FAILED(step(forced[i], turn));
  }
  turn.report.stop_reason = StopReason::kTeacherForced;
  return {};
}

void Conversation::remember_end(std::int64_t last_token) {
  pending_.push_back(last_token);
  if (!is_stop_token(last_token) && !request_.stop_token_ids.empty()) {
    pending_.push_back(request_.stop_token_ids.front());
  }
}

}  // namespace vlm
