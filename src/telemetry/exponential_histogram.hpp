// Sketch of a distribution: OpenTelemetry's exponential histogram. Buckets are bounded by powers of 2^(2^-scale); when
// the values would need more than most_buckets on one side of zero, pairs of buckets become one and scale goes down by
// one. So the error of a quantile is at most half a bucket: 0.2 % for values within a factor of 2, 2.2 % within 1000.
// Pure C++.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::telemetry {

class ExponentialHistogram {
public:
    static constexpr int most_buckets = 160;
    static constexpr int highest_scale = 20, lowest_scale = -11; // at the lowest two buckets hold every double

    // NaN and infinities do not count.
    void add(double value, uint64_t times = 1);
    void merge(const ExponentialHistogram &other);

    uint64_t count() const noexcept { return zero_count_ + positive_.total + negative_.total; }
    // `share` from 0 to 1; the middle of the bucket that holds it. Nothing: there are no values.
    std::optional<double> quantile(double share) const noexcept;
    int scale() const noexcept { return scale_; }

    // Version, scale, zero count, both sides: offset and counts; numbers of variable length.
    void append_to(std::string &bytes) const;
    // Nothing: not what append_to() writes.
    static std::optional<ExponentialHistogram> parse(std::string_view bytes);

private:
    // Magnitudes of one sign. counts[i] are those in (base^(offset+i), base^(offset+i+1)].
    struct Side {
        int32_t offset = 0;
        uint64_t total = 0;
        std::vector<uint64_t> counts;
    };

    void add_magnitude(Side &side, double magnitude, uint64_t times);
    void extend(Side &side, int32_t first, int32_t last);
    void lower_scale(int steps);
    static void lower_scale(Side &side, int steps);
    void merge(Side &side, const Side &other, int steps);
    double middle(int32_t index) const noexcept;

    int32_t scale_ = highest_scale;
    uint64_t zero_count_ = 0;
    Side positive_, negative_;
};

} // namespace dbnet::telemetry
