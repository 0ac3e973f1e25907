// A sketch of a distribution: OpenTelemetry's exponential histogram with base 2^(2^-scale). Bucket i holds what is
// above base^i and at most base^(i+1), so sketches of any scales, and clients' own histogram points, merge exactly.
// Quantiles are off by (base - 1) / 2 at most: 0.14 % at scale 8, where it starts, 1.1 % at scale 5, where 160 buckets
// span a factor of 32, 4.4 % at scale 3, a factor of a million. Pure C++.
#pragma once

#include "telemetry/batch.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::telemetry {

class ExponentialHistogram {
public:
    static constexpr int highest_scale = 8, lowest_scale = -10; // at -10 one or two buckets take every double
    static constexpr size_t most_buckets = 160;                 // of either sign

    // NaN and infinities are not counted.
    void add(double value, uint64_t count = 1);
    void merge(const ExponentialHistogram &other);
    // What a client counted; its threshold for zeros is not kept. False: no point that can be, and nothing was added.
    bool merge(const ExponentialHistogramPoint &point);

    uint64_t count() const noexcept { return count_; }
    int scale() const noexcept { return scale_; }
    // The value with this share (0..1) of the others below it; NaN without values.
    double quantile(double share) const noexcept;

    // The bytes of otel.sketch: one text for one sketch, the same on every machine.
    std::string serialize() const;
    // False: not such bytes; the sketch is as it was.
    bool parse(std::string_view bytes);

private:
    // Counts of neighbouring buckets, neither first nor last zero.
    struct Buckets {
        int32_t offset = 0; // index of the first
        std::vector<uint64_t> counts;

        int32_t end() const noexcept { return offset + static_cast<int32_t>(counts.size()); }
        void halve_scale(); // two buckets become one
        void add(int32_t index, uint64_t count);
    };

    // Of buckets that can hold a double: from the smallest, 2^-1074, to below 2^1024.
    static constexpr int64_t first_index(int scale) {
        return scale >= 0 ? -(int64_t{1075} << scale) : -(int64_t{1075} >> -scale) - 1;
    }
    static constexpr int64_t last_index(int scale) {
        return scale >= 0 ? (int64_t{1024} << scale) - 1 : int64_t{1023} >> -scale;
    }

    void add(Buckets &buckets, int32_t index, int scale, uint64_t count);
    void make_room(const Buckets &buckets, int64_t first, int64_t last, int scale);
    void set_scale(int scale);
    static bool parse(std::string_view &bytes, int scale, Buckets &buckets, uint64_t &total);

    Buckets positive_, negative_; // negative: of the absolute values
    uint64_t zeros_ = 0, count_ = 0;
    int scale_ = highest_scale;
};

} // namespace dbnet::telemetry
