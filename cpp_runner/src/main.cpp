// vlm_runner: runs one request on the three PTEs of a vision-language model.

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include <executorch/runtime/platform/runtime.h>

#include "clock.h"
#include "crash_report.h"
#include "file_check.h"
#include "log_tap.h"
#include "observer.h"
#include "options.h"
#include "report.h"
#include "request.h"
#include "session.h"

namespace {

using vlm::ExitCode;
using vlm::Failure;
using vlm::Status;

int end_with(const Failure& failure) {
  std::fprintf(stderr, "vlm_runner: %s\n", failure.message.c_str());
  return static_cast<int>(failure.code);
}

Status read_and_run(const vlm::Options& options, vlm::Report& report) {
  const auto text = vlm::read_file(options.request_path, "request");
  if (!text.ok()) {
    return text.failure();
  }
  auto request = vlm::parse_request(text.value());
  if (!request.ok()) {
    return request.failure();
  }
  report.settings = request.take();
  vlm::apply_options(options, *report.settings);
  VLM_RETURN_IF_FAILED(vlm::check_files(report.settings->files_sha256));
  return vlm::run_request(report);
}

// The libraries below us do throw: at least when memory runs out.
Status read_and_run_guarded(const vlm::Options& options, vlm::Report& report) {
  try {
    return read_and_run(options, report);
  } catch (const std::bad_alloc&) {
    return Failure{ExitCode::kInternal, "memory: there is not enough of it"};
  } catch (const std::exception& error) {
    return Failure{ExitCode::kInternal, std::string("internal error: ") + error.what()};
  }
}

// A failure told by a library, with what its log line is known to mean.
Failure explained(Failure failure, const vlm::FailureSignature* known) {
  if (known == nullptr || (failure.code != ExitCode::kLoadFailed &&
                           failure.code != ExitCode::kExecutionFailed)) {
    return failure;
  }
  failure.code = known->code;
  failure.message += std::string("; ") + known->explanation;
  return failure;
}

void print_observer_lines(const vlm::Report& report, vlm::ObserverKeys keys) {
  for (const vlm::IterationReport& iteration : report.iterations) {
    for (const vlm::TurnReport& turn : iteration.turns) {
      std::printf("PyTorchObserver %s\n", vlm::observer_json(report.load, turn, keys).c_str());
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t start_ns = vlm::now_ns();
  const auto options = vlm::parse_options(argc, argv);
  if (!options.ok()) {
    return end_with(options.failure());
  }
  if (options.value().help) {
    std::fprintf(stderr, "%s\n", vlm::kUsage);
    return 0;
  }
  // Nobody reading our output any more must not change how the run ends.
  std::signal(SIGPIPE, SIG_IGN);
  // An old report must not be taken for this run's, should this run crash.
  ::unlink(options.value().report_path.c_str());
  executorch::runtime::runtime_init();

  // Never destroyed: libraries may crash in their destructors, behind main.
  static vlm::Report& report = *new vlm::Report;
  report.load.start_ns = start_ns;
  vlm::leave_report_on_signal(options.value().report_path, report);
  auto log_tap = vlm::LogTap::start();
  Status status = read_and_run_guarded(options.value(), report);
  const vlm::FailureSignature* known = log_tap == nullptr ? nullptr : log_tap->finish();
  if (!status.ok()) {
    const Failure failure = explained(status.failure(), known);
    report.error = Failure{failure.code, vlm::one_line(failure.message)};
    status = *report.error;
  }
  const Status written =
      vlm::write_report(options.value().report_path, vlm::report_json(report));
  if (!status.ok()) {
    return end_with(status.failure());
  }
  if (!written.ok()) {
    return end_with(written.failure());
  }
  print_observer_lines(report, options.value().observer);
  return static_cast<int>(ExitCode::kOk);
}
