#include "crash_report.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "log_tap.h"
#include "request.h"

namespace vlm {
namespace {

struct KnownSignal {
  int number;
  const char* name;
  const char* what;
};

constexpr KnownSignal kSignals[] = {
    {SIGSEGV, "SIGSEGV", "crashed"},    {SIGBUS, "SIGBUS", "crashed"},
    {SIGILL, "SIGILL", "crashed"},      {SIGFPE, "SIGFPE", "crashed"},
    {SIGABRT, "SIGABRT", "aborted"},    {SIGTERM, "SIGTERM", "terminated"},
    {SIGINT, "SIGINT", "interrupted"},  {SIGHUP, "SIGHUP", "hung up"},
};
constexpr std::size_t kSignalCount = sizeof(kSignals) / sizeof(kSignals[0]);
constexpr std::size_t kStackSize = 64 * 1024;

// Everything the handler needs, laid out before: it may neither allocate nor format.
struct Prepared {
  char path[PATH_MAX] = "";
  char temporary_path[PATH_MAX] = "";
  const Report* report = nullptr;
  std::array<struct sigaction, kSignalCount> previous = {};
  alignas(16) char stack[kStackSize] = {};  // its own, for a stack that overflowed
};
Prepared prepared;

// A text of bounded length, built without the heap.
class FixedText {
 public:
  FixedText& add(const char* part) {
    const std::size_t size = std::strlen(part);
    if (size_ + size <= sizeof(text_)) {
      std::memcpy(text_ + size_, part, size);
      size_ += size;
    }
    return *this;
  }
  FixedText& add(int number) {  // 0 to 999
    const char digits[] = {static_cast<char>('0' + number / 100 % 10),
                           static_cast<char>('0' + number / 10 % 10),
                           static_cast<char>('0' + number % 10), '\0'};
    return add(number >= 100 ? digits : number >= 10 ? digits + 1 : digits + 2);
  }
  const char* data() const { return text_; }
  std::size_t size() const { return size_; }

 private:
  char text_[1024];
  std::size_t size_ = 0;
};

void write_partial_report(const KnownSignal& known, const char* step) {
  FixedText text;
  text.add("{\"schema_version\":").add(kSchemaVersion).add(",\"status\":\"partial\",");
  text.add("\"error\":{\"exit_code\":").add(128 + known.number).add(",\"name\":\"");
  text.add(known.what).add("\",\"message\":\"").add(known.what).add(" by signal ");
  text.add(known.number).add(" (").add(known.name).add(") during ").add(step);
  text.add("\",\"step\":\"").add(step).add("\"}}\n");
  const int fd = ::open(prepared.temporary_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) {
    return;
  }
  const bool whole = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  if (whole) {
    ::rename(prepared.temporary_path, prepared.path);
  }
}

void say(const KnownSignal& known, const char* step) {
  FixedText text;
  text.add("vlm_runner: ").add(known.what).add(" by signal ").add(known.number).add(" (");
  text.add(known.name).add(") during ").add(step).add("\n");
  static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
}

void on_signal(int number, siginfo_t* info, void*) {
  std::size_t index = 0;
  while (index + 1 < kSignalCount && kSignals[index].number != number) {
    ++index;
  }
  const char* step = step_name(prepared.report->step);
  write_partial_report(kSignals[index], step);
  LogTap::finish_in_signal_handler();
  say(kSignals[index], step);
  // Whoever had the signal before (the default action, Android's tombstone writer) gets it:
  // a fault by happening again, anything else by being raised again.
  ::sigaction(number, &prepared.previous[index], nullptr);
  const bool is_fault =
      number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE;
  if (!is_fault || info->si_code <= 0) {
    ::raise(number);
  }
}

}  // namespace

void leave_report_on_signal(const std::string& report_path, const Report& report) {
  const std::string temporary = report_path + ".crash";
  if (temporary.size() >= sizeof(prepared.temporary_path)) {
    return;  // no file system takes such a name, so there will be no report anyway
  }
  std::memcpy(prepared.path, report_path.c_str(), report_path.size() + 1);
  std::memcpy(prepared.temporary_path, temporary.c_str(), temporary.size() + 1);
  prepared.report = &report;
  stack_t stack = {};
  stack.ss_sp = prepared.stack;
  stack.ss_size = sizeof(prepared.stack);
  ::sigaltstack(&stack, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigfillset(&action.sa_mask);
  for (std::size_t i = 0; i < kSignalCount; ++i) {
    ::sigaction(kSignals[i].number, &action, &prepared.previous[i]);
    if ((prepared.previous[i].sa_flags & SA_SIGINFO) == 0 &&
        prepared.previous[i].sa_handler == SIG_IGN) {
      // As under nohup: the run is to go on, so nothing may say that it ended.
      ::sigaction(kSignals[i].number, &prepared.previous[i], nullptr);
    }
  }
}

}  // namespace vlm
