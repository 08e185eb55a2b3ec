#include "request.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>

#include "json_fields.h"

namespace vlm {
namespace {

constexpr std::int64_t kMaxImageSide = 1 << 16;
constexpr std::int64_t kMaxLookahead = 1 << 10;
constexpr double kMinTemperature = 1e-3;
constexpr double kMaxTemperature = 1e3;
constexpr double kMinTopP = 1e-6;
constexpr std::size_t kSha256HexDigits = 64;

Status read_images(const Json& list, const std::string& name, std::vector<ImageFile>& out) {
  if (!list.is_array()) {
    return bad_request("'" + name + "' must be a list");
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string entry_name = name + "[" + std::to_string(i) + "]";
    const Json& entry = list[i];
    VLM_RETURN_IF_FAILED(check_fields(entry, entry_name, {{"path", true}, {"shape", true}}));
    ImageFile image;
    VLM_RETURN_IF_FAILED(read_path(entry["path"], entry_name + ".path", image.path));
    VLM_RETURN_IF_FAILED(
        read_integers(entry["shape"], entry_name + ".shape", 1, kMaxImageSide, image.shape));
    if (image.shape.size() != 4 || image.shape[0] != 1 || image.shape[1] != 3) {
      return bad_request("'" + entry_name + ".shape' must be [1, 3, H, W]");
    }
    out.push_back(std::move(image));
  }
  return {};
}

Status read_turn(const Json& entry, const std::string& name, TurnRequest& turn) {
  VLM_RETURN_IF_FAILED(check_fields(entry, name,
                                    {{"prompt_token_ids", true},
                                     {"images", true},
                                     {"teacher_forced_token_ids", false}}));
  const std::string ids_name = name + ".prompt_token_ids";
  VLM_RETURN_IF_FAILED(
      read_integers(entry["prompt_token_ids"], ids_name, 0, kMaxTokenId, turn.prompt_token_ids));
  if (turn.prompt_token_ids.empty()) {
    return bad_request("'" + ids_name + "' must not be empty");
  }
  VLM_RETURN_IF_FAILED(read_images(entry["images"], name + ".images", turn.images));
  if (entry.contains("teacher_forced_token_ids")) {
    const std::string forced_name = name + ".teacher_forced_token_ids";
    std::vector<std::int64_t> forced;
    VLM_RETURN_IF_FAILED(
        read_integers(entry["teacher_forced_token_ids"], forced_name, 0, kMaxTokenId, forced));
    if (forced.empty()) {
      return bad_request("'" + forced_name + "' must not be empty");
    }
    turn.teacher_forced_token_ids = std::move(forced);
  }
  return {};
}

Status read_turns(const Json& list, std::vector<TurnRequest>& out) {
  if (!list.is_array() || list.empty()) {
    return bad_request("'turns' must be a list of at least one turn");
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    TurnRequest turn;
    VLM_RETURN_IF_FAILED(read_turn(list[i], "turns[" + std::to_string(i) + "]", turn));
    out.push_back(std::move(turn));
  }
  return {};
}

Status read_mode(const Json& root, Request& request) {
  std::size_t mode = 0;
  VLM_RETURN_IF_FAILED(read_choice(root["mode"], "mode", {"kv", "hybrid", "lookahead"}, mode));
  constexpr Mode kModes[] = {Mode::kKv, Mode::kHybrid, Mode::kLookahead};
  request.mode = kModes[mode];
  const bool is_lookahead = request.mode == Mode::kLookahead;
  if (root.contains("lookahead") != is_lookahead) {
    return bad_request(is_lookahead ? "'lookahead' is missing"
                                    : "'lookahead' is for mode \"lookahead\" only");
  }
  if (!is_lookahead) {
    return {};
  }
  const Json& shape = root["lookahead"];
  VLM_RETURN_IF_FAILED(check_fields(shape, "lookahead",
                                    {{"window", true}, {"ngram", true}, {"gcap", true}}));
  VLM_RETURN_IF_FAILED(read_size(shape["window"], "lookahead.window", 1, kMaxLookahead,
                                 request.lookahead.window));
  VLM_RETURN_IF_FAILED(
      read_size(shape["ngram"], "lookahead.ngram", 2, kMaxLookahead, request.lookahead.ngram));
  return read_size(shape["gcap"], "lookahead.gcap", 1, kMaxLookahead, request.lookahead.gcap);
}

Status read_sampling(const Json& root, Request& request) {
  if (!root.contains("sampling")) {
    return {};
  }
  const Json& entry = root["sampling"];
  VLM_RETURN_IF_FAILED(check_fields(
      entry, "sampling",
      {{"temperature", true}, {"top_k", true}, {"top_p", true}, {"seed", true}}));
  Sampling sampling;
  VLM_RETURN_IF_FAILED(read_number(entry["temperature"], "sampling.temperature", kMinTemperature,
                                   kMaxTemperature, sampling.temperature));
  VLM_RETURN_IF_FAILED(
      read_size(entry["top_k"], "sampling.top_k", 0, kMaxTokenId, sampling.top_k));
  VLM_RETURN_IF_FAILED(
      read_number(entry["top_p"], "sampling.top_p", kMinTopP, 1.0, sampling.top_p));
  std::int64_t seed = 0;
  VLM_RETURN_IF_FAILED(read_integer(entry["seed"], "sampling.seed", 0,
                                    std::numeric_limits<std::int64_t>::max(), seed));
  sampling.seed = static_cast<std::uint64_t>(seed);
  request.sampling = sampling;
  return {};
}

Status read_record_logits(const Json& root, Request& request) {
  if (root.contains("record_logits")) {
    std::size_t record = 0;
    VLM_RETURN_IF_FAILED(
        read_choice(root["record_logits"], "record_logits", {"none", "top2", "full"}, record));
    constexpr LogitsRecord kRecords[] = {LogitsRecord::kNone, LogitsRecord::kTopTwo,
                                         LogitsRecord::kFull};
    request.record_logits = kRecords[record];
  }
  const bool is_full = request.record_logits == LogitsRecord::kFull;
  if (root.contains("logits_path") != is_full) {
    return bad_request(is_full ? "'logits_path' is missing"
                               : "'logits_path' is for record_logits \"full\" only");
  }
  return is_full ? read_path(root["logits_path"], "logits_path", request.logits_path) : Status();
}

Status read_sha256(const Json& root, Request& request) {
  if (!root.contains("files_sha256")) {
    return {};
  }
  const Json& files = root["files_sha256"];
  if (!files.is_object()) {
    return bad_request("'files_sha256' must be an object");
  }
  for (const auto& item : files.items()) {
    const bool is_text = item.value().is_string();
    const std::string digest = is_text ? item.value().get<std::string>() : std::string();
    if (item.key().empty() || digest.size() != kSha256HexDigits ||
        digest.find_first_not_of("0123456789abcdef") != std::string::npos) {
      return bad_request("'files_sha256." + item.key() +
                         "' must be 64 lower-case hexadecimal digits");
    }
    request.files_sha256[item.key()] = digest;
  }
  return {};
}

Status read_amounts(const Json& root, Request& request) {
  VLM_RETURN_IF_FAILED(read_integer(root["image_token_id"], "image_token_id", 0, kMaxTokenId,
                                    request.image_token_id));
  VLM_RETURN_IF_FAILED(read_size(root["max_new_tokens"], "max_new_tokens", 1, kMaxTokenId,
                                 request.max_new_tokens));
  if (root.contains("fixed_tokens")) {
    std::size_t count = 0;
    VLM_RETURN_IF_FAILED(read_size(root["fixed_tokens"], "fixed_tokens", 1, kMaxTokenId, count));
    request.fixed_tokens = count;
  }
  if (root.contains("warmup")) {
    VLM_RETURN_IF_FAILED(read_size(root["warmup"], "warmup", 0, kMaxRuns, request.warmup));
  }
  if (root.contains("repeat")) {
    VLM_RETURN_IF_FAILED(read_size(root["repeat"], "repeat", 1, kMaxRuns, request.repeat));
  }
  if (root.contains("shared_memory")) {
    std::size_t choice = 0;
    VLM_RETURN_IF_FAILED(
        read_choice(root["shared_memory"], "shared_memory", {"auto", "off"}, choice));
    request.allow_shared_memory = choice == 0;
  }
  return {};
}

Status check_document(const Json& root) {
  VLM_RETURN_IF_FAILED(check_fields(root, "",
                                    {{"schema_version", true},
                                     {"mode", true},
                                     {"lookahead", false},
                                     {"vision_encoder_pte", true},
                                     {"tok_embedding_pte", true},
                                     {"text_decoder_pte", true},
                                     {"turns", true},
                                     {"image_token_id", true},
                                     {"stop_token_ids", true},
                                     {"max_new_tokens", true},
                                     {"fixed_tokens", false},
                                     {"sampling", false},
                                     {"warmup", false},
                                     {"repeat", false},
                                     {"record_logits", false},
                                     {"logits_path", false},
                                     {"files_sha256", false},
                                     {"shared_memory", false}}));
  if (root["schema_version"] != kSchemaVersion) {
    return bad_request("'schema_version' must be " + std::to_string(kSchemaVersion));
  }
  return {};
}

}  // namespace

Outcome<Request> parse_request(const std::string& text) {
  const Json root = Json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) {
    return bad_request("not valid JSON");
  }
  VLM_RETURN_IF_FAILED(check_document(root));
  Request request;
  VLM_RETURN_IF_FAILED(read_mode(root, request));
  VLM_RETURN_IF_FAILED(
      read_path(root["vision_encoder_pte"], "vision_encoder_pte", request.vision_encoder_pte));
  VLM_RETURN_IF_FAILED(
      read_path(root["tok_embedding_pte"], "tok_embedding_pte", request.tok_embedding_pte));
  VLM_RETURN_IF_FAILED(
      read_path(root["text_decoder_pte"], "text_decoder_pte", request.text_decoder_pte));
  VLM_RETURN_IF_FAILED(read_amounts(root, request));
  VLM_RETURN_IF_FAILED(read_turns(root["turns"], request.turns));
  VLM_RETURN_IF_FAILED(read_integers(root["stop_token_ids"], "stop_token_ids", 0, kMaxTokenId,
                                     request.stop_token_ids));
  VLM_RETURN_IF_FAILED(read_sampling(root, request));
  VLM_RETURN_IF_FAILED(read_record_logits(root, request));
  VLM_RETURN_IF_FAILED(read_sha256(root, request));
  return request;
}

Outcome<std::string> read_file(const std::string& path, const std::string& what) {
  struct CloseFile {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rb"));
  std::string content;
  if (file != nullptr) {
    char chunk[1 << 16];
    std::size_t got = 0;
    while ((got = std::fread(chunk, 1, sizeof(chunk), file.get())) > 0) {
      content.append(chunk, got);
    }
  }
  if (file == nullptr || std::ferror(file.get()) != 0) {
    return Failure{ExitCode::kFileUnreadable,
                   what + ": cannot read '" + path + "': " + std::strerror(errno)};
  }
  return content;
}

}  // namespace vlm
