#include "report.h"

#include <string>

#include <boost/test/unit_test.hpp>

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

vlm::Report finished_report() {
  vlm::Report report;
  report.settings = vlm::Request();
  report.step = vlm::Step::kExit;
  vlm::TurnReport turn;
  turn.prompt_tokens = 10;
  turn.generated_token_ids = {4, 5, 6};
  turn.stop_reason = vlm::StopReason::kStopToken;
  turn.timestamps.inference_start_ns = 1'000'000'000;
  turn.timestamps.prefill = vlm::Interval{1'000'000'000, 1'100'000'000};
  turn.timestamps.tokens_ns = {1'100'000'000, 1'200'000'000, 1'300'000'000};
  turn.timestamps.inference_end_ns = 1'300'000'000;
  turn.execute.prefill_ns = {3'000'000};
  turn.execute.decode_ns = {1'000'000, 2'000'000};
  turn.decode_steps = 2;
  report.iterations = {{false, {turn}}};
  return report;
}

}  // namespace

BOOST_AUTO_TEST_CASE(report_without_error_says_ok) {
  const std::string json = vlm::report_json(finished_report());
  BOOST_REQUIRE(contains(json, "\"status\":\"ok\",\"error\":null"));
  BOOST_REQUIRE(contains(json, "\"iterations\":[{\"warmup\":false,\"turns\":[{"));
  BOOST_REQUIRE(contains(json, "\"generated_token_ids\":[4,5,6],\"stop_reason\":\"stop_token\""));
  BOOST_REQUIRE(contains(json, "\"prefill\":[3000000],\"decode\":[1000000,2000000]"));
  BOOST_REQUIRE(contains(json, "\"lookahead\":null,\"requantized_entries\":0,\"logits\":null"));
  BOOST_REQUIRE(contains(json, "\"vision_encoder\":null"));
  BOOST_REQUIRE(json.back() == '\n');
}

BOOST_AUTO_TEST_CASE(report_settings_are_the_requests) {
  vlm::Report report = finished_report();
  report.settings->mode = vlm::Mode::kLookahead;
  report.settings->lookahead = {4, 3, 2};
  report.settings->sampling = vlm::Sampling{0.5, 7, 0.25, 11};
  report.settings->max_new_tokens = 9;
  report.memory_reason = "why";
  BOOST_REQUIRE(contains(
      vlm::report_json(report),
      "\"settings\":{\"mode\":\"lookahead\",\"lookahead\":{\"window\":4,\"ngram\":3,\"gcap\":2},"
      "\"sampling\":{\"temperature\":0.5,\"top_k\":7,\"top_p\":0.25,\"seed\":11},\"warmup\":0,"
      "\"repeat\":1,\"fixed_tokens\":null,\"max_new_tokens\":9,\"record_logits\":\"none\","
      "\"shared_memory\":\"ordinary\",\"shared_memory_reason\":\"why\"}"));
}

BOOST_AUTO_TEST_CASE(report_with_error_names_code_and_step) {
  vlm::Report report;
  report.step = vlm::Step::kLoadTextDecoder;
  report.error = vlm::Failure{vlm::ExitCode::kLoadFailed, "text_decoder: no"};
  const std::string json = vlm::report_json(report);
  BOOST_REQUIRE(contains(json, "\"status\":\"error\""));
  BOOST_REQUIRE(contains(json, "\"exit_code\":68,\"name\":\"load_failed\",\"message\":\"text_decoder: no\","
                       "\"step\":\"load_text_decoder\""));
}

BOOST_AUTO_TEST_CASE(report_message_that_is_not_utf8_still_gives_json) {
  vlm::Report report;
  report.error = vlm::Failure{vlm::ExitCode::kFileUnreadable, "cannot read '\xff'"};
  BOOST_REQUIRE(contains(vlm::report_json(report), "cannot read '"));
}

BOOST_AUTO_TEST_CASE(report_logits_keep_integers_and_floats) {
  vlm::Report report = finished_report();
  report.iterations[0].turns[0].logits = vlm::RecordedLogits{0.5, 3, {{{4, 60000.0}, {9, 0.25}}}};
  BOOST_REQUIRE(contains(vlm::report_json(report),
                 "\"logits\":{\"scale\":0.5,\"zero_point\":3,\"top\":[[[4,60000],[9,0.25]]]}"));
}

BOOST_AUTO_TEST_CASE(report_libraries_without_version_are_null) {
  vlm::Report report = finished_report();
  report.libraries = {{"libQnnHtp.so", "v2.49.40.1"}, {"libmade.so", ""}};
  BOOST_REQUIRE(contains(vlm::report_json(report),
                         "\"libraries\":{\"libQnnHtp.so\":\"v2.49.40.1\",\"libmade.so\":null}"));
}

BOOST_AUTO_TEST_CASE(report_build_names_compiler_and_version_or_says_null) {
  const std::string json = vlm::report_json(finished_report());
  const std::string build = json.substr(json.find("\"build\":"));
  BOOST_REQUIRE(!contains(build, "\"\""));
  BOOST_REQUIRE(!contains(build, "unknown"));
  BOOST_REQUIRE(!contains(build, "\"compiler\":null"));
}

BOOST_AUTO_TEST_CASE(write_report_into_missing_folder_fails) {
  const vlm::Status status = vlm::write_report("/nonexistent/folder/report.json", "{}");
  BOOST_REQUIRE(!status.ok());
  BOOST_REQUIRE(status.failure().code == vlm::ExitCode::kOutputNotWritable);
}
