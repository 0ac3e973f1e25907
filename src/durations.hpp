// Upper bounds by which durations are counted, in shared memory and for /metrics. Pure C++; any process.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

namespace dbnet {

inline constexpr std::array<double, 14> duration_bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                        0.25,  0.5,    1,     2.5,  5,     10,   30}; // seconds

// 0 … duration_bounds.size(): the last is of what is above all bounds.
inline size_t duration_bucket(double seconds) noexcept {
    return static_cast<size_t>(std::lower_bound(duration_bounds.begin(), duration_bounds.end(), seconds) -
                               duration_bounds.begin());
}

} // namespace dbnet
