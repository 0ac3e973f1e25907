// What a histogram's or an exponential histogram's point of a client says, as a pane: how much was counted since the
// point before. Pure.
#pragma once

#include "policy/panes.hpp"

#include <optional>
#include <vector>

namespace dbnet::policy {

struct CountedPoint {
    std::int64_t start = 0; // since when it counts; another start is another beginning
    std::uint64_t count = 0;
    double sum = 0;
    std::optional<double> min, max;

    // Explicit buckets: counts are one more than bounds. Both empty: nothing but count and sum was sent.
    std::vector<double> bounds;
    std::vector<std::uint64_t> counts;

    // Exponential buckets.
    bool is_exponential = false;
    std::int32_t scale = 0, positive_offset = 0, negative_offset = 0;
    std::uint64_t zero_count = 0;
    std::vector<std::uint64_t> positive, negative;
};

// `before`: the point before of a cumulative series; nullptr for a point that counts by itself (delta temporality, or
// one that began anew). A point that counts less than the one before, anywhere, began anew too. Values are spread
// evenly over an explicit bucket, as Prometheus' histogram_quantile() has it; `with_values`: they are wanted.
Pane growth(const CountedPoint *before, const CountedPoint &point, bool with_values);

} // namespace dbnet::policy
