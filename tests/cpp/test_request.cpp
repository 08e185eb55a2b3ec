#include "request.h"

#include <string>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace {

const char* const kGood = R"({"schema_version": 2, "mode": "hybrid",
  "vision_encoder_pte": "v.pte", "tok_embedding_pte": "t.pte", "text_decoder_pte": "d.pte",
  "turns": [{"prompt_token_ids": [1, 2, 3], "images": [{"path": "p.bin", "shape": [1, 3, 8, 9]}]},
            {"prompt_token_ids": [4], "images": [], "teacher_forced_token_ids": [5, 6]}],
  "image_token_id": 2, "stop_token_ids": [0], "max_new_tokens": 5, "fixed_tokens": 7,
  "sampling": {"temperature": 0.5, "top_k": 40, "top_p": 0.9, "seed": 3},
  "warmup": 1, "repeat": 2, "record_logits": "full", "logits_path": "l.bin",
  "files_sha256":
    {"v.pte": "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"},
  "shared_memory": "off"})";

std::string with(const std::string& old_text, const std::string& new_text) {
  std::string text = kGood;
  const std::size_t at = text.find(old_text);
  return at == std::string::npos ? "" : text.replace(at, old_text.size(), new_text);
}

}  // namespace

BOOST_AUTO_TEST_CASE(request_good_is_read_whole) {
  const auto parsed = vlm::parse_request(kGood);
  BOOST_REQUIRE(parsed.ok());
  const vlm::Request& request = parsed.value();
  BOOST_REQUIRE(request.mode == vlm::Mode::kHybrid);
  BOOST_REQUIRE(request.turns.size() == 2);
  BOOST_REQUIRE(request.turns[0].prompt_token_ids.size() == 3);
  BOOST_REQUIRE(request.turns[0].images[0].shape[3] == 9);
  BOOST_REQUIRE(!request.turns[0].teacher_forced_token_ids.has_value());
  BOOST_REQUIRE(request.turns[1].teacher_forced_token_ids->at(1) == 6);
  BOOST_REQUIRE(request.max_new_tokens == 5);
  BOOST_REQUIRE(request.fixed_tokens == 7);
  BOOST_REQUIRE(request.sampling->top_k == 40);
  BOOST_REQUIRE(request.sampling->top_p == 0.9);
  BOOST_REQUIRE(request.warmup == 1);
  BOOST_REQUIRE(request.repeat == 2);
  BOOST_REQUIRE(request.record_logits == vlm::LogitsRecord::kFull);
  BOOST_REQUIRE(request.logits_path == "l.bin");
  BOOST_REQUIRE(request.files_sha256.count("v.pte") == 1);
  BOOST_REQUIRE(!request.allow_shared_memory);
}

BOOST_AUTO_TEST_CASE(request_lookahead_needs_its_shape_and_only_it) {
  const char* const shape = "\"mode\": \"lookahead\", \"lookahead\": "
                            "{\"window\": 3, \"ngram\": 4, \"gcap\": 2}";
  const auto request = vlm::parse_request(with("\"mode\": \"hybrid\"", shape));
  BOOST_REQUIRE(request.ok());
  BOOST_REQUIRE(request.value().lookahead.rows() == 15);
  BOOST_REQUIRE(!vlm::parse_request(with("\"hybrid\"", "\"lookahead\"")).ok());
  BOOST_REQUIRE(!vlm::parse_request(with("\"warmup\": 1", "\"lookahead\": {}")).ok());
}

BOOST_AUTO_TEST_CASE(request_without_options_has_their_defaults) {
  const auto request = vlm::parse_request(R"({"schema_version": 2, "mode": "kv",
    "vision_encoder_pte": "v", "tok_embedding_pte": "t", "text_decoder_pte": "d",
    "turns": [{"prompt_token_ids": [1], "images": []}],
    "image_token_id": 2, "stop_token_ids": [], "max_new_tokens": 5})");
  BOOST_REQUIRE(request.ok());
  BOOST_REQUIRE(!request.value().sampling.has_value());
  BOOST_REQUIRE(!request.value().fixed_tokens.has_value());
  BOOST_REQUIRE(request.value().warmup == 0);
  BOOST_REQUIRE(request.value().repeat == 1);
  BOOST_REQUIRE(request.value().record_logits == vlm::LogitsRecord::kNone);
  BOOST_REQUIRE(request.value().allow_shared_memory);
  BOOST_REQUIRE(!request.value().has_images());
}

BOOST_AUTO_TEST_CASE(request_bad_values_are_refused_by_name) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {with("\"schema_version\": 2", "\"schema_version\": 1"), "schema_version"},
      {with("\"hybrid\"", "\"lookahead\""), "'lookahead' is missing"},
      {with("\"hybrid\"", "\"eval\""), "'mode'"},
      {with("\"hybrid\"", "3"), "'mode'"},
      {with("\"v.pte\"", "\"\""), "vision_encoder_pte"},
      {with("\"v.pte\"", "\"a\\u0000b\""), "NUL"},
      {with("[1, 2, 3]", "[]"), "prompt_token_ids"},
      {with("[1, 2, 3]", "[1, -2, 3]"), "turns[0].prompt_token_ids[1]"},
      {with("[1, 2, 3]", "[1, 2.0, 3]"), "turns[0].prompt_token_ids[1]"},
      {with("[1, 2, 3]", "[1, 18446744073709551615]"), "turns[0].prompt_token_ids[1]"},
      {with("[1, 2, 3]", "[1, 2147483648]"), "turns[0].prompt_token_ids[1]"},
      {with("[1, 2, 3]", "\"abc\""), "prompt_token_ids"},
      {with("[1, 3, 8, 9]", "[1, 4, 8, 9]"), "turns[0].images[0].shape"},
      {with("[1, 3, 8, 9]", "[3, 8, 9]"), "turns[0].images[0].shape"},
      {with("\"path\": \"p.bin\", ", ""), "images[0].path"},
      {with("\"max_new_tokens\": 5", "\"max_new_tokens\": 0"), "max_new_tokens"},
      {with("\"record_logits\": \"full\"", "\"record_logits\": true"), "record_logits"},
      {with("\"record_logits\": \"full\"", "\"record_logits\": \"top2\""), "logits_path"},
      {with("\"logits_path\": \"l.bin\",", ""), "logits_path"},
      {with("\"temperature\": 0.5", "\"temperature\": 0"), "sampling.temperature"},
      {with("\"temperature\": 0.5", "\"temperature\": \"x\""), "sampling.temperature"},
      {with("\"top_p\": 0.9", "\"top_p\": 1.5"), "sampling.top_p"},
      {with("\"seed\": 3", "\"seed\": -3"), "sampling.seed"},
      {with("\"repeat\": 2", "\"repeat\": 0"), "repeat"},
      {with("\"fixed_tokens\": 7", "\"fixed_tokens\": null"), "fixed_tokens"},
      {with("[5, 6]", "[]"), "turns[1].teacher_forced_token_ids"},
      {with("\"images\": [],", ""), "'turns[1].images' is missing"},
      {with("00112233", "0011223"), "files_sha256.v.pte"},
      {with("00112233", "0011223G"), "files_sha256.v.pte"},
      {with("\"off\"", "\"on\""), "shared_memory"},
      {with("\"image_token_id\": 2,", ""), "'image_token_id' is missing"},
      {with("\"mode\"", "\"mood\": 1, \"mode\""), "unknown key 'mood'"},
      {"[1]", "JSON object"},
      {"{\"schema_version\": 1", "not valid JSON"},
      {"", "not valid JSON"},
      {std::string("\xff\xfe\x00", 3), "not valid JSON"},
  };
  for (const auto& [text, expected] : cases) {
    const auto request = vlm::parse_request(text);
    BOOST_REQUIRE(!request.ok());
    BOOST_REQUIRE(request.failure().code == vlm::ExitCode::kBadRequest);
    BOOST_REQUIRE(request.failure().message.find(expected) != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(request_deeply_nested_is_refused) {
  BOOST_REQUIRE(!vlm::parse_request(std::string(100000, '[')).ok());
}

BOOST_AUTO_TEST_CASE(read_file_missing_says_why) {
  const auto content = vlm::read_file("/nonexistent/request.json", "request");
  BOOST_REQUIRE(!content.ok());
  BOOST_REQUIRE(content.failure().code == vlm::ExitCode::kFileUnreadable);
  BOOST_REQUIRE(content.failure().message.find("No such file") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(read_file_folder_is_unreadable) {
  const auto content = vlm::read_file("/", "request");
  BOOST_REQUIRE(!content.ok());
  BOOST_REQUIRE(content.failure().code == vlm::ExitCode::kFileUnreadable);
}
