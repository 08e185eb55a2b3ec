// Reads along what the libraries below us print to stderr: it is the only place where QNN
// says why it failed, its delegate returns no more than "Internal".
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>

#include "exit_codes.h"

namespace vlm {

// While it lives, file descriptor 2 is a pipe; a thread hands on what comes through it and
// looks for known failures line by line. At most one may exist at a time.
class LogTap {
 public:
  // Null where the system has no pipe or thread left: the run goes on without.
  static std::unique_ptr<LogTap> start();
  ~LogTap();
  LogTap(const LogTap&) = delete;
  LogTap& operator=(const LogTap&) = delete;

  // Ends the tap: everything printed so far has reached the real stderr. Returns the
  // gravest known failure that was printed, or null.
  const FailureSignature* finish();

  // The same for a signal handler, which has no use for the answer: waits at most half a
  // second, and calls nothing but async-signal-safe functions.
  static void finish_in_signal_handler();

 private:
  LogTap(int pipe_fd, int stderr_fd) : pipe_fd_(pipe_fd), stderr_fd_(stderr_fd) {}
  void hand_on();
  void look_at(const char* text, std::size_t size);
  void look_at_line();

  const int pipe_fd_;    // read end
  const int stderr_fd_;  // the real one
  std::string line_;     // the unfinished last line
  std::size_t gravest_ = kSignatureCount;
  std::atomic<bool> drained_{false};
  std::thread thread_;
};

}  // namespace vlm
