#include "request.h"

#include <string>
#include <utility>
#include <vector>

#include "check.h"

namespace {

const char* const kGood = R"({"schema_version": 1, "mode": "hybrid",
  "vision_encoder_pte": "v.pte", "tok_embedding_pte": "t.pte", "text_decoder_pte": "d.pte",
  "prompt_token_ids": [1, 2, 3], "image_token_id": 2,
  "images": [{"path": "p.bin", "shape": [1, 3, 8, 9]}],
  "stop_token_ids": [0], "max_new_tokens": 5, "record_logits": true})";

std::string with(const std::string& old_text, const std::string& new_text) {
  std::string text = kGood;
  const std::size_t at = text.find(old_text);
  return at == std::string::npos ? "" : text.replace(at, old_text.size(), new_text);
}

}  // namespace

TEST(request_good_is_read_whole) {
  const auto request = vlm::parse_request(kGood);
  CHECK(request.ok());
  CHECK(request.value().mode == vlm::Mode::kHybrid);
  CHECK(request.value().prompt_token_ids.size() == 3);
  CHECK(request.value().images[0].shape[3] == 9);
  CHECK(request.value().max_new_tokens == 5);
  CHECK(request.value().record_logits);
}

TEST(request_bad_values_are_refused_by_name) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {with("\"schema_version\": 1", "\"schema_version\": 2"), "schema_version"},
      {with("\"hybrid\"", "\"lookahead\""), "'mode'"},
      {with("\"hybrid\"", "3"), "'mode'"},
      {with("\"v.pte\"", "\"\""), "vision_encoder_pte"},
      {with("\"v.pte\"", "\"a\\u0000b\""), "NUL"},
      {with("[1, 2, 3]", "[]"), "prompt_token_ids"},
      {with("[1, 2, 3]", "[1, -2, 3]"), "prompt_token_ids[1]"},
      {with("[1, 2, 3]", "[1, 2.0, 3]"), "prompt_token_ids[1]"},
      {with("[1, 2, 3]", "[1, 18446744073709551615]"), "prompt_token_ids[1]"},
      {with("[1, 2, 3]", "[1, 2147483648]"), "prompt_token_ids[1]"},
      {with("[1, 2, 3]", "\"abc\""), "prompt_token_ids"},
      {with("[1, 3, 8, 9]", "[1, 4, 8, 9]"), "images[0].shape"},
      {with("[1, 3, 8, 9]", "[3, 8, 9]"), "images[0].shape"},
      {with("\"path\": \"p.bin\", ", ""), "images[0]"},
      {with("\"max_new_tokens\": 5", "\"max_new_tokens\": 0"), "max_new_tokens"},
      {with("\"record_logits\": true", "\"record_logits\": 1"), "record_logits"},
      {with("\"image_token_id\": 2,", ""), "'image_token_id' is missing"},
      {with("\"mode\"", "\"mood\": 1, \"mode\""), "unknown key 'mood'"},
      {"[1]", "JSON object"},
      {"{\"schema_version\": 1", "not valid JSON"},
      {"", "not valid JSON"},
      {std::string("\xff\xfe\x00", 3), "not valid JSON"},
  };
  for (const auto& [text, expected] : cases) {
    const auto request = vlm::parse_request(text);
    CHECK(!request.ok());
    CHECK(request.failure().code == vlm::ExitCode::kBadRequest);
    CHECK(request.failure().message.find(expected) != std::string::npos);
  }
}

TEST(request_deeply_nested_is_refused) {
  CHECK(!vlm::parse_request(std::string(100000, '[')).ok());
}

TEST(read_file_missing_says_why) {
  const auto content = vlm::read_file("/nonexistent/request.json", "request");
  CHECK(!content.ok());
  CHECK(content.failure().code == vlm::ExitCode::kFileUnreadable);
  CHECK(content.failure().message.find("No such file") != std::string::npos);
}

TEST(read_file_folder_is_unreadable) {
  const auto content = vlm::read_file("/", "request");
  CHECK(!content.ok());
  CHECK(content.failure().code == vlm::ExitCode::kFileUnreadable);
}
