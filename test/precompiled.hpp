// As src/precompiled.hpp, for unit tests and fuzz targets.
#ifndef DBNET_TEST_PRECOMPILED_HPP
#define DBNET_TEST_PRECOMPILED_HPP

#include "../src/precompiled.hpp"

#include <gtest/gtest.h>

#endif
