#include "report.h"

#include <string>

#include "check.h"

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

vlm::Report finished_report() {
  vlm::Report report;
  report.mode = vlm::Mode::kKv;
  report.step = vlm::Step::kDone;
  report.prompt_tokens = 10;
  report.generated_token_ids = {4, 5, 6};
  report.stop_reason = vlm::StopReason::kStopToken;
  report.timestamps.inference_start_ns = 1'000'000'000;
  report.timestamps.prefill = vlm::Interval{1'000'000'000, 1'100'000'000};
  report.timestamps.tokens_ns = {1'100'000'000, 1'200'000'000, 1'300'000'000};
  report.timestamps.inference_end_ns = 1'300'000'000;
  return report;
}

}  // namespace

TEST(report_without_error_says_ok) {
  const std::string json = vlm::report_json(finished_report());
  CHECK(contains(json, "\"status\":\"ok\",\"error\":null"));
  CHECK(contains(json, "\"generated_token_ids\":[4,5,6],\"stop_reason\":\"stop_token\""));
  CHECK(contains(json, "\"logits\":null"));
  CHECK(json.back() == '\n');
}

TEST(report_with_error_names_code_and_step) {
  vlm::Report report;
  report.step = vlm::Step::kLoadTextDecoder;
  report.error = vlm::Failure{vlm::ExitCode::kLoadFailed, "text_decoder: no"};
  const std::string json = vlm::report_json(report);
  CHECK(contains(json, "\"status\":\"error\""));
  CHECK(contains(json, "\"exit_code\":68,\"name\":\"load_failed\",\"message\":\"text_decoder: no\","
                       "\"step\":\"load_text_decoder\""));
}

TEST(report_message_that_is_not_utf8_still_gives_json) {
  vlm::Report report;
  report.error = vlm::Failure{vlm::ExitCode::kFileUnreadable, "cannot read '\xff'"};
  CHECK(contains(vlm::report_json(report), "cannot read '"));
}

TEST(report_logits_keep_integers_and_floats) {
  vlm::Report report = finished_report();
  report.logits = vlm::RecordedLogits{0.5, 3, {{{4, 60000.0}, {9, 0.25}}}};
  CHECK(contains(vlm::report_json(report),
                 "\"logits\":{\"scale\":0.5,\"zero_point\":3,\"top\":[[[4,60000],[9,0.25]]]}"));
}

TEST(observer_leaves_out_first_token_and_uses_ms) {
  const std::string json = vlm::observer_json(finished_report());
  CHECK(contains(json, "{\"prefill_token_per_sec\":100.0,\"decode_token_per_sec\":10.0,"
                       "\"prompt_tokens\":10,\"generated_tokens\":2,"));
  CHECK(contains(json, "\"inference_end_ms\":1300,"));
  CHECK(contains(json, "\"SCALING_FACTOR_UNITS_PER_SECOND\":1000}"));
}

TEST(observer_without_duration_leaves_out_rates) {
  vlm::Report report;
  CHECK(!contains(vlm::observer_json(report), "token_per_sec"));
}

TEST(write_report_into_missing_folder_fails) {
  const vlm::Status status = vlm::write_report("/nonexistent/folder/report.json", "{}");
  CHECK(!status.ok());
  CHECK(status.failure().code == vlm::ExitCode::kOutputNotWritable);
}
