#include "log_tap.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <system_error>

namespace vlm {
namespace {

constexpr std::size_t kMaxLine = 4096;  // signatures lie in the first few hundred bytes
constexpr int kHandlerWaits = 100;      // of 5 ms each

std::atomic<LogTap*> active_tap{nullptr};

void write_all(int fd, const char* data, std::size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(fd, data, size);
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return;  // nobody reads our log any more, which must not end the run
    }
    data += written;
    size -= static_cast<std::size_t>(written);
  }
}

}  // namespace

std::unique_ptr<LogTap> LogTap::start() {
  int ends[2] = {-1, -1};
  if (::pipe(ends) != 0) {
    return nullptr;
  }
  const int real = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  if (real < 0 || ::dup2(ends[1], STDERR_FILENO) < 0) {
    ::close(ends[0]);
    ::close(ends[1]);
    return nullptr;
  }
  ::close(ends[1]);
  ::fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  std::unique_ptr<LogTap> tap(new LogTap(ends[0], real));
  // Signals are the main thread's: the handler waits for this one.
  sigset_t all = {};
  sigset_t before = {};
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    tap->thread_ = std::thread([raw = tap.get()] { raw->hand_on(); });
  } catch (const std::system_error&) {
    ::dup2(real, STDERR_FILENO);
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!tap->thread_.joinable()) {
    return nullptr;
  }
  active_tap = tap.get();
  return tap;
}

LogTap::~LogTap() {
  finish();
  ::close(pipe_fd_);
  ::close(stderr_fd_);
}

const FailureSignature* LogTap::finish() {
  if (thread_.joinable()) {
    active_tap = nullptr;
    ::dup2(stderr_fd_, STDERR_FILENO);  // closes the pipe's only write end
    thread_.join();
  }
  return gravest_ < kSignatureCount ? &kFailureSignatures[gravest_] : nullptr;
}

void LogTap::finish_in_signal_handler() {
  const LogTap* tap = active_tap;
  if (tap == nullptr) {
    return;
  }
  ::dup2(tap->stderr_fd_, STDERR_FILENO);
  for (int i = 0; i < kHandlerWaits && !tap->drained_; ++i) {
    const timespec pause = {0, 5'000'000};
    ::nanosleep(&pause, nullptr);
  }
}

void LogTap::hand_on() {
  char buffer[4096];
  while (true) {
    const ssize_t size = ::read(pipe_fd_, buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) {
      continue;
    }
    if (size <= 0) {
      break;
    }
    write_all(stderr_fd_, buffer, static_cast<std::size_t>(size));
    look_at(buffer, static_cast<std::size_t>(size));
  }
  look_at_line();
  drained_ = true;
}

void LogTap::look_at(const char* text, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    if (text[i] == '\n') {
      look_at_line();
    } else if (line_.size() < kMaxLine) {
      line_.push_back(text[i]);
    }
  }
}

void LogTap::look_at_line() {
  gravest_ = std::min(gravest_, find_signature(line_));
  line_.clear();
}

}  // namespace vlm
