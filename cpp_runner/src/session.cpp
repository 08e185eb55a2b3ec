#include "session.h"

#include <memory>
#include <string>
#include <vector>

#include "clock.h"
#include "conversation.h"
#include "cpu_state.h"
#include "libraries.h"
#include "logits_dump.h"
#include "memory_usage.h"
#include "prompt.h"
#include "tensor_memory.h"

namespace vlm {
namespace {

class Session {
 public:
  explicit Session(Report& report)
      : request_(*report.settings), report_(report), memory_(request_.allow_shared_memory) {}

  Status run();

 private:
  Status load();
  Status check_inputs();
  Status check_turn(const TurnRequest& turn, const std::string& name);
  Status read_pixels();
  Status run_iterations();
  Status run_iteration(Conversation& conversation, IterationReport& iteration, LogitsDump* dump);

  const Request& request_;
  Report& report_;
  // Declared before the components, which work in it.
  TensorMemory memory_;
  Components components_;
  Encoding logits_encoding_;
  std::vector<std::vector<std::vector<float>>> pixels_;  // per turn, per image: (1, 3, H, W)
};

Status Session::run() {
  VLM_RETURN_IF_FAILED(load());
  VLM_RETURN_IF_FAILED(check_inputs());
  VLM_RETURN_IF_FAILED(run_iterations());
  report_.peak_rss_bytes = read_memory_usage().peak_resident_bytes;
  report_.step = Step::kExit;
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
  LoadTimes& times = report_.load;
  if (request_.has_images()) {
    report_.step = Step::kLoadVisionEncoder;
    VLM_RETURN_IF_FAILED(load_component(components_.vision_encoder, times.vision_encoder, [&] {
      return VisionEncoder::load(request_.vision_encoder_pte, memory_);
    }));
  }
  report_.step = Step::kLoadTokEmbedding;
  VLM_RETURN_IF_FAILED(load_component(components_.token_embedding, times.tok_embedding, [&] {
    return TokenEmbedding::load(request_.tok_embedding_pte, request_.mode, memory_);
  }));
  report_.step = Step::kLoadTextDecoder;
  VLM_RETURN_IF_FAILED(load_component(components_.decoder, times.text_decoder,
                                      [&] { return Decoder::load(request_, memory_); }));
  const Decoder& decoder = *components_.decoder;
  report_.memory_is_shared = memory_.is_shared();
  report_.memory_reason = memory_.reason();
  report_.context_length = decoder.signature().context_length;
  report_.max_seq_len = decoder.max_seq_len();
  report_.prefill_ar_len = decoder.prefill_ar_len();
  report_.decode_ar_len = decoder.decode_ar_len();
  report_.rss_after_load_bytes = read_memory_usage().resident_bytes;
  return {};
}

Status check_width(const char* component, std::size_t dim, std::size_t expected) {
  if (dim == expected) {
    return {};
  }
  return Failure{ExitCode::kContractMismatch,
                 std::string("components: widths differ: ") + component + " " +
                     std::to_string(dim) + ", text_decoder " + std::to_string(expected)};
}

Status Session::check_inputs() {
  report_.step = Step::kCheckInputs;
  Decoder& decoder = *components_.decoder;
  const std::size_t dim = decoder.signature().dim;
  VLM_RETURN_IF_FAILED(check_width("tok_embedding", components_.token_embedding->dim(), dim));
  if (components_.vision_encoder != nullptr) {
    VLM_RETURN_IF_FAILED(check_width("vision_encoder", components_.vision_encoder->dim(), dim));
  }
  VLM_RETURN_IF_FAILED(components_.token_embedding->bind_decode_output(decoder.decode_rows(),
                                                                       decoder.decode_ar_len()));
  VLM_RETURN_IF_FAILED(
      check_token_ids("stop_token_ids", request_.stop_token_ids, decoder.signature().vocab_size));
  for (std::size_t i = 0; i < request_.turns.size(); ++i) {
    VLM_RETURN_IF_FAILED(check_turn(request_.turns[i], "turns[" + std::to_string(i) + "]"));
  }
  if (request_.record_logits != LogitsRecord::kNone || request_.sampling.has_value()) {
    const auto encoding = decoder.read_logits_encoding();
    if (!encoding.ok()) {
      return encoding.failure();
    }
    logits_encoding_ = encoding.value();
  }
  return read_pixels();
}

Status Session::check_turn(const TurnRequest& turn, const std::string& name) {
  const std::size_t vocab_size = components_.decoder->signature().vocab_size;
  VLM_RETURN_IF_FAILED(
      check_token_ids(name + ".prompt_token_ids", turn.prompt_token_ids, vocab_size));
  if (turn.teacher_forced_token_ids.has_value()) {
    VLM_RETURN_IF_FAILED(check_token_ids(name + ".teacher_forced_token_ids",
                                         *turn.teacher_forced_token_ids, vocab_size));
  }
  const std::size_t tokens_per_image =
      components_.vision_encoder != nullptr ? components_.vision_encoder->tokens_per_image() : 0;
  return check_placeholders(name, turn.prompt_token_ids, request_.image_token_id,
                            turn.images.size(), tokens_per_image);
}

Status Session::read_pixels() {
  for (const TurnRequest& turn : request_.turns) {
    pixels_.emplace_back();
    for (const ImageFile& image : turn.images) {
      auto pixels = components_.vision_encoder->read_pixels(image);
      if (!pixels.ok()) {
        return pixels.failure();
      }
      pixels_.back().push_back(pixels.take());
    }
  }
  return {};
}

Status Session::run_iterations() {
  std::unique_ptr<LogitsDump> dump;
  if (request_.record_logits == LogitsRecord::kFull) {
    auto created = LogitsDump::create(request_.logits_path);
    if (!created.ok()) {
      return created.failure();
    }
    dump = created.take();
  }
  report_.cpu_affinity = read_cpu_affinity();
  report_.cpu_frequency_khz = read_cpu_frequency_khz(report_.cpu_affinity);
  Conversation conversation(request_, components_, logits_encoding_);
  for (std::size_t i = 0; i < request_.warmup + request_.repeat; ++i) {
    IterationReport& iteration = report_.iterations.emplace_back();
    iteration.warmup = i < request_.warmup;
    VLM_RETURN_IF_FAILED(
        run_iteration(conversation, iteration, iteration.warmup ? nullptr : dump.get()));
  }
  return dump != nullptr ? dump->close() : Status();
}

Status Session::run_iteration(Conversation& conversation, IterationReport& iteration,
                              LogitsDump* dump) {
  conversation.reset();
  for (std::size_t i = 0; i < request_.turns.size(); ++i) {
    TurnReport& turn = iteration.turns.emplace_back();
    VLM_RETURN_IF_FAILED(conversation.run_turn(request_.turns[i], pixels_[i], turn,
                                               report_.step, dump));
    report_.rss_after_prefill_bytes = conversation.rss_after_prefill_bytes();
  }
  return {};
}

}  // namespace

Status run_request(Report& report) {
  Session session(report);
  const Status status = session.run();
  // While they are loaded, and of a run that failed, too: its versions may be why.
  report.libraries = read_libraries();
  return status;
}

}  // namespace vlm
