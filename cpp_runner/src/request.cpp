#include "request.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>

#include <nlohmann/json.hpp>

namespace vlm {
namespace {

using Json = nlohmann::json;

constexpr const char* kKeys[] = {"schema_version",    "mode",
                                 "vision_encoder_pte", "tok_embedding_pte",
                                 "text_decoder_pte",   "prompt_token_ids",
                                 "image_token_id",     "images",
                                 "stop_token_ids",     "max_new_tokens",
                                 "record_logits"};
// Token ids are int32 in the embedding graph.
constexpr std::int64_t kMaxTokenId = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMaxImageSide = 1 << 16;

Failure bad_request(const std::string& problem) {
  return {ExitCode::kBadRequest, "request: " + problem};
}

Status check_keys(const Json& root) {
  for (const auto& item : root.items()) {
    bool known = false;
    for (const char* key : kKeys) {
      known = known || item.key() == key;
    }
    if (!known) {
      return bad_request("unknown key '" + item.key() + "'");
    }
  }
  for (const char* key : kKeys) {
    const bool optional = std::strcmp(key, "record_logits") == 0;
    if (!optional && !root.contains(key)) {
      return bad_request(std::string("'") + key + "' is missing");
    }
  }
  return {};
}

Outcome<std::int64_t> read_integer(const Json& value, const std::string& name, std::int64_t low,
                                   std::int64_t high) {
  // An unsigned number above int64's range would wrap to a negative one.
  const bool in_range =
      value.is_number_integer() &&
      (!value.is_number_unsigned() ||
       value.get<std::uint64_t>() <= static_cast<std::uint64_t>(high)) &&
      value.get<std::int64_t>() >= low && value.get<std::int64_t>() <= high;
  if (!in_range) {
    return bad_request("'" + name + "' must be an integer from " + std::to_string(low) + " to " +
                       std::to_string(high));
  }
  return value.get<std::int64_t>();
}

Status read_integers(const Json& list, const std::string& name, std::int64_t low,
                     std::int64_t high, std::vector<std::int64_t>& out) {
  if (!list.is_array()) {
    return bad_request("'" + name + "' must be a list of integers");
  }
  out.reserve(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto number =
        read_integer(list[i], name + "[" + std::to_string(i) + "]", low, high);
    if (!number.ok()) {
      return number.failure();
    }
    out.push_back(number.value());
  }
  return {};
}

Status read_path(const Json& value, const std::string& name, std::string& out) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
    return bad_request("'" + name + "' must be a non-empty path");
  }
  out = value.get<std::string>();
  if (out.find('\0') != std::string::npos) {
    return bad_request("'" + name + "' contains a NUL character");
  }
  return {};
}

Status read_images(const Json& list, std::vector<ImageFile>& out) {
  if (!list.is_array()) {
    return bad_request("'images' must be a list");
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string name = "images[" + std::to_string(i) + "]";
    const Json& entry = list[i];
    if (!entry.is_object() || entry.size() != 2 || !entry.contains("path") ||
        !entry.contains("shape")) {
      return bad_request("'" + name + "' must have exactly 'path' and 'shape'");
    }
    ImageFile image;
    VLM_RETURN_IF_FAILED(read_path(entry["path"], name + ".path", image.path));
    VLM_RETURN_IF_FAILED(
        read_integers(entry["shape"], name + ".shape", 1, kMaxImageSide, image.shape));
    if (image.shape.size() != 4 || image.shape[0] != 1 || image.shape[1] != 3) {
      return bad_request("'" + name + ".shape' must be [1, 3, H, W]");
    }
    out.push_back(std::move(image));
  }
  return {};
}

Status read_scalars(const Json& root, Request& request) {
  const auto version = read_integer(root["schema_version"], "schema_version", kSchemaVersion,
                                    kSchemaVersion);
  if (!version.ok()) {
    return bad_request("'schema_version' must be " + std::to_string(kSchemaVersion));
  }
  if (root["mode"] == mode_name(Mode::kKv)) {
    request.mode = Mode::kKv;
  } else if (root["mode"] == mode_name(Mode::kHybrid)) {
    request.mode = Mode::kHybrid;
  } else {
    return bad_request("'mode' must be \"kv\" or \"hybrid\"");
  }
  const auto image_token = read_integer(root["image_token_id"], "image_token_id", 0, kMaxTokenId);
  if (!image_token.ok()) {
    return image_token.failure();
  }
  request.image_token_id = image_token.value();
  const auto limit = read_integer(root["max_new_tokens"], "max_new_tokens", 1, kMaxTokenId);
  if (!limit.ok()) {
    return limit.failure();
  }
  request.max_new_tokens = static_cast<std::size_t>(limit.value());
  if (root.contains("record_logits")) {
    if (!root["record_logits"].is_boolean()) {
      return bad_request("'record_logits' must be true or false");
    }
    request.record_logits = root["record_logits"].get<bool>();
  }
  return {};
}

}  // namespace

Outcome<Request> parse_request(const std::string& text) {
  const Json root = Json::parse(text, /*cb=*/nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded()) {
    return bad_request("not valid JSON");
  }
  if (!root.is_object()) {
    return bad_request("must be a JSON object");
  }
  VLM_RETURN_IF_FAILED(check_keys(root));
  Request request;
  VLM_RETURN_IF_FAILED(read_scalars(root, request));
  VLM_RETURN_IF_FAILED(
      read_path(root["vision_encoder_pte"], "vision_encoder_pte", request.vision_encoder_pte));
  VLM_RETURN_IF_FAILED(
      read_path(root["tok_embedding_pte"], "tok_embedding_pte", request.tok_embedding_pte));
  VLM_RETURN_IF_FAILED(
      read_path(root["text_decoder_pte"], "text_decoder_pte", request.text_decoder_pte));
  VLM_RETURN_IF_FAILED(read_integers(root["prompt_token_ids"], "prompt_token_ids", 0,
                                     kMaxTokenId, request.prompt_token_ids));
  if (request.prompt_token_ids.empty()) {
    return bad_request("'prompt_token_ids' must not be empty");
  }
  VLM_RETURN_IF_FAILED(read_integers(root["stop_token_ids"], "stop_token_ids", 0, kMaxTokenId,
                                     request.stop_token_ids));
  VLM_RETURN_IF_FAILED(read_images(root["images"], request.images));
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
