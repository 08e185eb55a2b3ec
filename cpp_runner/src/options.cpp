#include "options.h"

#include <charconv>
#include <map>
#include <string_view>

namespace vlm {
namespace {

using Arguments = std::map<std::string_view, std::string>;

constexpr std::string_view kNames[] = {"--request", "--report",       "--warmup",
                                       "--repeat",  "--fixed-tokens", "--observer"};

Failure usage_failure(const std::string& problem) {
  return {ExitCode::kUsage, one_line("command line: " + problem + " (" + kUsage + ")")};
}

bool is_known(std::string_view name) {
  for (const std::string_view known : kNames) {
    if (name == known) {
      return true;
    }
  }
  return false;
}

Status split(int argc, const char* const* argv, Arguments& values) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const std::size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    if (!is_known(name)) {
      return usage_failure("unknown argument '" + std::string(argument) + "'");
    }
    std::string value;
    if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
    } else if (i + 1 < argc) {
      value = argv[++i];
    }
    if (value.empty()) {
      return usage_failure(std::string(name) + " needs a value");
    }
    if (!values.emplace(name, value).second) {
      return usage_failure(std::string(name) + " given twice");
    }
  }
  return {};
}

Status read_path(const Arguments& values, const char* name, std::string& path) {
  const auto found = values.find(name);
  if (found == values.end()) {
    return usage_failure(std::string(name) + " is missing");
  }
  path = found->second;
  return {};
}

Status read_count(const Arguments& values, const char* name, std::int64_t low, std::int64_t high,
                  std::optional<std::size_t>& count) {
  const auto found = values.find(name);
  if (found == values.end()) {
    return {};
  }
  const std::string& text = found->second;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < low || number > high) {
    return usage_failure(std::string(name) + " is '" + text + "', expected " +
                         std::to_string(low) + " to " + std::to_string(high));
  }
  count = static_cast<std::size_t>(number);
  return {};
}

Status read_observer(const Arguments& values, ObserverKeys& keys) {
  const auto found = values.find("--observer");
  if (found == values.end()) {
    return {};
  }
  for (const ObserverKeys known :
       {ObserverKeys::k202607, ObserverKeys::k202603, ObserverKeys::kSeed}) {
    if (found->second == observer_keys_name(known)) {
      keys = known;
      return {};
    }
  }
  return usage_failure("--observer is '" + found->second + "', expected 2026-07, 2026-03 or seed");
}

bool asks_for_help(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      return true;
    }
  }
  return false;
}

}  // namespace

Outcome<Options> parse_options(int argc, const char* const* argv) {
  Options options;
  options.help = asks_for_help(argc, argv);
  if (options.help) {
    return options;
  }
  Arguments values;
  VLM_RETURN_IF_FAILED(split(argc, argv, values));
  VLM_RETURN_IF_FAILED(read_path(values, "--request", options.request_path));
  VLM_RETURN_IF_FAILED(read_path(values, "--report", options.report_path));
  if (options.request_path == options.report_path) {
    // An older report is removed before the request is read.
    return usage_failure("--request and --report are the same file");
  }
  VLM_RETURN_IF_FAILED(read_count(values, "--warmup", 0, kMaxRuns, options.warmup));
  VLM_RETURN_IF_FAILED(read_count(values, "--repeat", 1, kMaxRuns, options.repeat));
  VLM_RETURN_IF_FAILED(
      read_count(values, "--fixed-tokens", 1, kMaxTokenId, options.fixed_tokens));
  VLM_RETURN_IF_FAILED(read_observer(values, options.observer));
  return options;
}

void apply_options(const Options& options, Request& request) {
  request.warmup = options.warmup.value_or(request.warmup);
  request.repeat = options.repeat.value_or(request.repeat);
  if (options.fixed_tokens.has_value()) {
    request.fixed_tokens = options.fixed_tokens;
  }
}

}  // namespace vlm
