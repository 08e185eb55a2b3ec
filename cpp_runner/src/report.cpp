#include "report.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <nlohmann/json.hpp>

// What the build did not tell is null in the report.
#ifndef VLM_COMPILER
#define VLM_COMPILER ""
#endif
#ifndef VLM_BUILD_TYPE
#define VLM_BUILD_TYPE ""
#endif
#ifndef VLM_ABI
#define VLM_ABI ""
#endif
#ifndef VLM_FLAGS
#define VLM_FLAGS ""
#endif
#ifndef VLM_EXECUTORCH_VERSION
#define VLM_EXECUTORCH_VERSION ""
#endif

namespace vlm {
namespace {

using Json = nlohmann::ordered_json;

Json interval_json(const Interval& interval) {
  return Json::array({interval.begin_ns, interval.end_ns});
}

Json interval_json(const std::optional<Interval>& interval) {
  return interval.has_value() ? interval_json(*interval) : Json(nullptr);
}

Json intervals_json(const std::vector<Interval>& intervals) {
  Json list = Json::array();
  for (const Interval& interval : intervals) {
    list.push_back(interval_json(interval));
  }
  return list;
}

Json load_json(const LoadTimes& load) {
  Json json;
  json["start"] = load.start_ns;
  json["vision_encoder"] = interval_json(load.vision_encoder);
  json["tok_embedding"] = interval_json(load.tok_embedding);
  json["text_decoder"] = interval_json(load.text_decoder);
  return json;
}

Json timestamps_json(const Timestamps& timestamps) {
  Json json;
  json["inference_start"] = timestamps.inference_start_ns;
  json["images"] = intervals_json(timestamps.images);
  json["prefill"] = interval_json(timestamps.prefill);
  json["prefill_steps"] = intervals_json(timestamps.prefill_steps);
  json["tokens"] = timestamps.tokens_ns;
  json["inference_end"] = timestamps.inference_end_ns;
  return json;
}

Json execute_json(const ExecuteTimes& execute) {
  Json json;
  json["vision_encoder"] = execute.vision_encoder_ns;
  json["prefill"] = execute.prefill_ns;
  json["decode"] = execute.decode_ns;
  return json;
}

Json settings_json(const Report& report) {
  if (!report.settings.has_value()) {
    return nullptr;
  }
  const Request& request = *report.settings;
  Json json;
  json["mode"] = mode_name(request.mode);
  json["lookahead"] = nullptr;
  if (request.mode == Mode::kLookahead) {
    json["lookahead"] = {{"window", request.lookahead.window},
                         {"ngram", request.lookahead.ngram},
                         {"gcap", request.lookahead.gcap}};
  }
  json["sampling"] = nullptr;
  if (request.sampling.has_value()) {
    json["sampling"] = {{"temperature", request.sampling->temperature},
                        {"top_k", request.sampling->top_k},
                        {"top_p", request.sampling->top_p},
                        {"seed", request.sampling->seed}};
  }
  json["warmup"] = request.warmup;
  json["repeat"] = request.repeat;
  json["fixed_tokens"] =
      request.fixed_tokens.has_value() ? Json(*request.fixed_tokens) : Json(nullptr);
  json["max_new_tokens"] = request.max_new_tokens;
  json["record_logits"] = logits_record_name(request.record_logits);
  json["shared_memory"] = report.memory_is_shared ? "rpc" : "ordinary";
  json["shared_memory_reason"] = report.memory_reason;
  return json;
}

// Floats stay floats, quantised values integers.
Json candidate_json(const Candidate& candidate) {
  const auto integer = static_cast<std::int64_t>(candidate.raw);
  const bool is_integer = static_cast<double>(integer) == candidate.raw;
  return Json::array({candidate.id, is_integer ? Json(integer) : Json(candidate.raw)});
}

Json logits_json(const std::optional<RecordedLogits>& logits) {
  if (!logits.has_value()) {
    return nullptr;
  }
  Json top = Json::array();
  for (const BestTwo& best : logits->top) {
    top.push_back(Json::array({candidate_json(best.first), candidate_json(best.second)}));
  }
  Json json;
  json["scale"] = logits->scale;
  json["zero_point"] = logits->zero_point;
  json["top"] = std::move(top);
  return json;
}

Json error_json(const Report& report) {
  if (!report.error.has_value()) {
    return nullptr;
  }
  Json json;
  json["exit_code"] = static_cast<int>(report.error->code);
  json["name"] = exit_code_name(report.error->code);
  json["message"] = report.error->message;
  json["step"] = step_name(report.step);
  return json;
}

Json stop_reason_json(StopReason reason) {
  switch (reason) {
    case StopReason::kStopToken:
      return "stop_token";
    case StopReason::kMaxNewTokens:
      return "max_new_tokens";
    case StopReason::kFixedTokens:
      return "fixed_tokens";
    case StopReason::kTeacherForced:
      return "teacher_forced";
    case StopReason::kContextFull:
      return "context_full";
    case StopReason::kNone:
      break;
  }
  return nullptr;
}

Json turn_json(const TurnReport& turn) {
  Json json;
  json["prompt_tokens"] = turn.prompt_tokens;
  json["image_tokens"] = turn.image_tokens;
  json["generated_token_ids"] = turn.generated_token_ids;
  json["stop_reason"] = stop_reason_json(turn.stop_reason);
  json["timestamps_ns"] = timestamps_json(turn.timestamps);
  json["execute_ns"] = execute_json(turn.execute);
  json["decode_steps"] = turn.decode_steps;
  json["lookahead"] = nullptr;
  if (turn.lookahead.has_value()) {
    json["lookahead"] = {{"proposed", turn.lookahead->proposed},
                         {"accepted", turn.lookahead->accepted}};
  }
  json["requantized_entries"] = turn.requantized_entries;
  json["logits"] = logits_json(turn.logits);
  return json;
}

Json iterations_json(const std::vector<IterationReport>& iterations) {
  Json list = Json::array();
  for (const IterationReport& iteration : iterations) {
    Json turns = Json::array();
    for (const TurnReport& turn : iteration.turns) {
      turns.push_back(turn_json(turn));
    }
    Json json;
    json["warmup"] = iteration.warmup;
    json["turns"] = std::move(turns);
    list.push_back(std::move(json));
  }
  return list;
}

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json libraries_json(const Libraries& libraries) {
  Json json = Json::object();
  for (const auto& [name, version] : libraries) {
    json[name] = text_or_null(version);
  }
  return json;
}

Json build_json() {
  Json json;
  json["compiler"] = text_or_null(VLM_COMPILER);
  json["build_type"] = text_or_null(VLM_BUILD_TYPE);
  json["abi"] = text_or_null(VLM_ABI);
  json["flags"] = text_or_null(VLM_FLAGS);
  json["executorch_version"] = text_or_null(VLM_EXECUTORCH_VERSION);
  return json;
}

// Paths in messages need not be UTF-8; JSON must be.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Failure not_writable(const std::string& path) {
  return {ExitCode::kOutputNotWritable,
          "report: cannot write '" + path + "': " + std::strerror(errno)};
}

bool write_all(int file, const std::string& content) {
  std::size_t written = 0;
  while (written < content.size()) {
    const ssize_t count = ::write(file, content.data() + written, content.size() - written);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      return false;
    }
    written += static_cast<std::size_t>(count);
  }
  return true;
}

}  // namespace

const char* step_name(Step step) {
  switch (step) {
    case Step::kReadRequest:
      return "read_request";
    case Step::kLoadVisionEncoder:
      return "load_vision_encoder";
    case Step::kLoadTokEmbedding:
      return "load_tok_embedding";
    case Step::kLoadTextDecoder:
      return "load_text_decoder";
    case Step::kCheckInputs:
      return "check_inputs";
    case Step::kEncodeImages:
      return "encode_images";
    case Step::kPrefill:
      return "prefill";
    case Step::kDecode:
      return "decode";
    case Step::kExit:
      return "exit";
  }
  return "unknown";
}

std::string report_json(const Report& report) {
  Json json;
  json["schema_version"] = kSchemaVersion;
  json["status"] = report.error.has_value() ? "error" : "ok";
  json["error"] = error_json(report);
  json["settings"] = settings_json(report);
  json["context_length"] = report.context_length;
  json["max_seq_len"] = report.max_seq_len;
  json["prefill_ar_len"] = report.prefill_ar_len;
  json["decode_ar_len"] = report.decode_ar_len;
  json["load_ns"] = load_json(report.load);
  json["iterations"] = iterations_json(report.iterations);
  json["memory"]["rss_after_load_bytes"] = report.rss_after_load_bytes;
  json["memory"]["rss_after_prefill_bytes"] = report.rss_after_prefill_bytes;
  json["memory"]["peak_rss_bytes"] = report.peak_rss_bytes;
  json["cpu"]["affinity"] = report.cpu_affinity;
  json["cpu"]["frequency_khz"] = report.cpu_frequency_khz;
  json["libraries"] = libraries_json(report.libraries);
  json["build"] = build_json();
  return dump(json) + "\n";
}

Status write_report(const std::string& path, const std::string& content) {
  const std::string temporary = path + ".part";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) {
    return not_writable(path);
  }
  const bool written = write_all(file, content) && ::fsync(file) == 0;
  const Failure failure = not_writable(path);
  if ((::close(file) != 0) || !written) {
    ::unlink(temporary.c_str());
    return written ? not_writable(path) : failure;
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    const Failure rename_failure = not_writable(path);
    ::unlink(temporary.c_str());
    return rename_failure;
  }
  return {};
}

}  // namespace vlm
