#include "options.h"

#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

namespace {

vlm::Outcome<vlm::Options> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "vlm_runner");
  return vlm::parse_options(static_cast<int>(arguments.size()), arguments.data());
}

}  // namespace

BOOST_AUTO_TEST_CASE(options_both_spellings_are_read) {
  const auto options = parse({"--request", "a.json", "--report=b.json"});
  BOOST_REQUIRE(options.ok());
  BOOST_REQUIRE(options.value().request_path == "a.json");
  BOOST_REQUIRE(options.value().report_path == "b.json");
}

BOOST_AUTO_TEST_CASE(options_wrong_lines_are_usage_failures) {
  const std::vector<std::vector<const char*>> lines = {
      {},
      {"--request", "a"},
      {"--report", "a"},
      {"--request", "a", "--report"},
      {"--request", "a", "--report="},
      {"--request", "a", "--report", "b", "--prompt", "c"},
      {"--request", "a", "--request", "b", "--report", "c"},
      {"a.json"},
      {"--request", "a", "--report", "a"},
      {"--request", "a", "--report", "b", "--repeat", "0"},
      {"--request", "a", "--report", "b", "--repeat", "3x"},
      {"--request", "a", "--report", "b", "--repeat", "99999999999999999999"},
      {"--request", "a", "--report", "b", "--warmup", "-1"},
      {"--request", "a", "--report", "b", "--fixed-tokens=0"},
      {"--request", "a", "--report", "b", "--observer", "2025"},
  };
  for (const auto& line : lines) {
    const auto options = parse(line);
    BOOST_REQUIRE(!options.ok());
    BOOST_REQUIRE(options.failure().code == vlm::ExitCode::kUsage);
  }
}

BOOST_AUTO_TEST_CASE(options_take_the_place_of_the_requests) {
  vlm::Request request;
  request.warmup = 7;
  request.fixed_tokens = 3;
  const auto none = parse({"--request", "a", "--report", "b"});
  vlm::apply_options(none.value(), request);
  BOOST_REQUIRE(request.warmup == 7 && request.repeat == 1 && request.fixed_tokens == 3u);
  const auto all = parse({"--request", "a", "--report", "b", "--warmup", "0", "--repeat=5",
                          "--fixed-tokens", "64", "--observer", "seed"});
  BOOST_REQUIRE(all.ok());
  vlm::apply_options(all.value(), request);
  BOOST_REQUIRE(request.warmup == 0 && request.repeat == 5 && request.fixed_tokens == 64u);
  BOOST_REQUIRE(all.value().observer == vlm::ObserverKeys::kSeed);
}

BOOST_AUTO_TEST_CASE(options_failure_names_what_is_allowed) {
  const auto options = parse({"--request", "a", "--report", "b", "--repeat", "0"});
  const std::string& message = options.failure().message;
  BOOST_REQUIRE(message.find("--repeat is '0', expected 1 to 1000000") != std::string::npos);
}
