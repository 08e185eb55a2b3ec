#include "options.h"

#include <string_view>

namespace vlm {
namespace {

Failure usage_failure(const std::string& problem) {
  return {ExitCode::kUsage, "command line: " + problem + " (" + kUsage + ")"};
}

}  // namespace

Outcome<Options> parse_options(int argc, const char* const* argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
    const std::size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    std::string* target = name == "--request"  ? &options.request_path
                          : name == "--report" ? &options.report_path
                                               : nullptr;
    if (target == nullptr) {
      return usage_failure("unknown argument '" + std::string(argument) + "'");
    }
    if (!target->empty()) {
      return usage_failure(std::string(name) + " given twice");
    }
    if (equals != std::string_view::npos) {
      *target = argument.substr(equals + 1);
    } else if (i + 1 < argc) {
      *target = argv[++i];
    }
    if (target->empty()) {
      return usage_failure(std::string(name) + " needs a value");
    }
  }
  if (options.request_path.empty() || options.report_path.empty()) {
    return usage_failure(std::string(options.request_path.empty() ? "--request" : "--report") +
                         " is missing");
  }
  return options;
}

}  // namespace vlm
