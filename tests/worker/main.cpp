// Starts the EAL, then runs the tests.
#include <gtest/gtest.h>

#include "eal.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return limpet::with_eal(argv[0], [] { return RUN_ALL_TESTS(); });
}
