#include "libraries.h"

#include <string>

#include <boost/test/unit_test.hpp>

BOOST_AUTO_TEST_CASE(libraries_are_those_of_this_process_with_their_build_ids) {
  const vlm::Libraries libraries = vlm::read_libraries();
  const auto libc = libraries.find("libc.so.6");
  BOOST_REQUIRE(libc != libraries.end());
  BOOST_REQUIRE_EQUAL(libc->second.size(), 40u);  // a SHA-1
  BOOST_REQUIRE(libc->second.find_first_not_of("0123456789abcdef") == std::string::npos);
}
