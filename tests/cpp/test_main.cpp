// The test framework's own part, compiled once.
#define BOOST_TEST_MODULE vlm_runner
#include <boost/test/included/unit_test.hpp>
