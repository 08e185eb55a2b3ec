// A test is a function; TEST registers it, CHECK ends it at the first failure.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

namespace vlm_test {

struct TestCase {
  const char* name;
  void (*run)();
};

inline std::vector<TestCase>& all_tests() {
  static std::vector<TestCase> tests;
  return tests;
}

inline bool& current_failed() {
  static bool failed = false;
  return failed;
}

struct Registration {
  Registration(const char* name, void (*run)()) { all_tests().push_back({name, run}); }
};

inline void report_failure(const char* file, int line, const char* condition) {
  current_failed() = true;
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, condition);
}

}  // namespace vlm_test

#define TEST(name)                                                      \
  static void name();                                                   \
  static const vlm_test::Registration name##_registration(#name, name); \
  static void name()

#define CHECK(condition)                                        \
  do {                                                          \
    if (!(condition)) {                                         \
      vlm_test::report_failure(__FILE__, __LINE__, #condition); \
      return;                                                   \
    }                                                           \
  } while (false)
