#include "check.h"

int main() {
  int failures = 0;
  for (const vlm_test::TestCase& test : vlm_test::all_tests()) {
    vlm_test::current_failed() = false;
    test.run();
    const bool failed = vlm_test::current_failed();
    failures += failed ? 1 : 0;
    std::printf("%s %s\n", failed ? "FAILED" : "ok", test.name);
  }
  std::printf("%zu tests, %d failed\n", vlm_test::all_tests().size(), failures);
  return failures == 0 ? 0 : 1;
}
