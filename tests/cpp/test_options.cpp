#include "options.h"

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
  };
  for (const auto& line : lines) {
    const auto options = parse(line);
    BOOST_REQUIRE(!options.ok());
    BOOST_REQUIRE(options.failure().code == vlm::ExitCode::kUsage);
  }
}
