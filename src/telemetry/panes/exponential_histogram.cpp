// Counting, merging and quantiles; see the header. The bytes are in exponential_histogram_bytes.cpp. Any process.
#include "telemetry/panes/exponential_histogram.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

namespace dbnet::telemetry {
namespace {

constexpr int highest = ExponentialHistogram::highest_scale;
constexpr uint32_t steps = 1 << highest; // buckets between two powers of two
constexpr int mantissa_bits = 52;
constexpr int guess_bits = highest + 1;

// Where in a power of two the mantissa lies: by its first bits, give or take one, then by comparing with the boundary.
struct Table {
    std::array<uint64_t, steps + 1> boundary; // the first mantissa above 2^(i / steps)
    std::array<uint16_t, 1 << guess_bits> guess;

    Table() {
        for (uint32_t i = 0; i < steps; ++i)
            boundary[i] = static_cast<uint64_t>(
                std::ceil(std::ldexp(std::exp2l(static_cast<long double>(i) / steps) - 1, mantissa_bits)));
        boundary[steps] = uint64_t{1} << mantissa_bits;
        uint32_t step = 0;
        for (uint32_t i = 0; i < guess.size(); ++i) {
            while (boundary[step + 1] <= uint64_t{i} << (mantissa_bits - guess_bits))
                ++step;
            guess[i] = static_cast<uint16_t>(step);
        }
    }
};

// Index at the highest scale of a finite value above 0.
int32_t index_of(double value) {
    static const Table table;
    int shift = 0;
    if (value < std::numeric_limits<double>::min()) { // subnormal
        value = std::ldexp(value, mantissa_bits + 2);
        shift = mantissa_bits + 2;
    }
    const auto bits = std::bit_cast<uint64_t>(value);
    const uint64_t mantissa = bits & ((uint64_t{1} << mantissa_bits) - 1);
    const int exponent = static_cast<int>(bits >> mantissa_bits) - 1023 - shift;
    uint32_t step = table.guess[mantissa >> (mantissa_bits - guess_bits)];
    step += mantissa >= table.boundary[step + 1];
    // A power of two is the last of the bucket below.
    return exponent * static_cast<int32_t>(steps) + static_cast<int32_t>(step) - (mantissa == 0);
}

uint64_t sum(uint64_t a, uint64_t b) noexcept { // a client may have counted anything
    return a + b < a ? UINT64_MAX : a + b;
}

} // namespace

void ExponentialHistogram::Buckets::halve_scale() {
    if (counts.empty())
        return;
    const int32_t first = offset >> 1;
    for (size_t at = 0; at < counts.size(); ++at) {
        const auto to = static_cast<size_t>(((offset + static_cast<int32_t>(at)) >> 1) - first);
        const uint64_t count = counts[at];
        counts[at] = 0;
        counts[to] = sum(counts[to], count);
    }
    counts.resize(static_cast<size_t>(((end() - 1) >> 1) - first) + 1);
    offset = first;
}

void ExponentialHistogram::Buckets::add(int32_t index, uint64_t count) {
    if (counts.empty()) {
        offset = index;
        counts.push_back(count);
        return;
    }
    if (index < offset) {
        counts.insert(counts.begin(), static_cast<size_t>(offset - index), 0);
        offset = index;
    } else if (index >= end()) {
        counts.resize(static_cast<size_t>(index - offset) + 1);
    }
    uint64_t &bucket = counts[static_cast<size_t>(index - offset)];
    bucket = sum(bucket, count);
}

void ExponentialHistogram::set_scale(int scale) {
    for (; scale_ > scale; --scale_) {
        positive_.halve_scale();
        negative_.halve_scale();
    }
}

// Lowers the scale until buckets `first` to `last` at `scale` fit beside what is there.
void ExponentialHistogram::make_room(const Buckets &buckets, int64_t first, int64_t last, int scale) {
    set_scale(std::min(scale_, scale));
    int64_t low = first >> (scale - scale_), high = last >> (scale - scale_);
    if (!buckets.counts.empty()) {
        low = std::min<int64_t>(low, buckets.offset);
        high = std::max<int64_t>(high, buckets.end() - 1);
    }
    int lowered = scale_;
    for (; high - low >= static_cast<int64_t>(most_buckets) && lowered > lowest_scale; --lowered) {
        low >>= 1;
        high >>= 1;
    }
    set_scale(lowered);
}

void ExponentialHistogram::add(Buckets &buckets, int32_t index, int scale, uint64_t count) {
    int32_t at = index >> (scale - scale_);
    if (buckets.counts.empty() || at < buckets.offset || at >= buckets.end()) {
        make_room(buckets, index, index, scale);
        at = index >> (scale - scale_);
    }
    buckets.add(at, count);
}

void ExponentialHistogram::add(double value, uint64_t count) {
    if (!std::isfinite(value) || count == 0)
        return;
    count_ = sum(count_, count);
    if (value > 0)
        add(positive_, index_of(value), highest_scale, count);
    else if (value < 0)
        add(negative_, index_of(-value), highest_scale, count);
    else
        zeros_ = sum(zeros_, count);
}

void ExponentialHistogram::merge(const ExponentialHistogram &other) {
    const ExponentialHistogram added = other; // it may be this one
    const auto merge = [&](Buckets &to, const Buckets &from) {
        if (from.counts.empty())
            return;
        make_room(to, from.offset, from.end() - 1, added.scale_);
        for (size_t at = 0; at < from.counts.size(); ++at)
            if (from.counts[at] > 0)
                to.add((from.offset + static_cast<int32_t>(at)) >> (added.scale_ - scale_), from.counts[at]);
    };
    set_scale(std::min(scale_, added.scale_));
    merge(positive_, added.positive_);
    merge(negative_, added.negative_);
    zeros_ = sum(zeros_, added.zeros_);
    count_ = sum(count_, added.count_);
}

bool ExponentialHistogram::merge(const ExponentialHistogramPoint &point) {
    constexpr int finest = 20; // the highest that OpenTelemetry's libraries use
    if (point.scale < lowest_scale || point.scale > finest)
        return false;
    // First and last bucket that hold something; none beyond what a double can be.
    struct Range {
        const List<uint64_t> &counts;
        int64_t offset, first = INT64_MAX, last = INT64_MIN;
    } ranges[] = {{point.positive_counts, point.positive_offset}, {point.negative_counts, point.negative_offset}};
    for (Range &range : ranges) {
        for (uint32_t at = 0; at < range.counts.count; ++at)
            if (range.counts.data[at] > 0) {
                range.first = std::min(range.first, range.offset + at);
                range.last = range.offset + at;
            }
        if (range.last >= range.first &&
            (range.first < first_index(point.scale) || range.last > last_index(point.scale)))
            return false;
    }
    for (Range &range : ranges) {
        if (range.last < range.first)
            continue;
        Buckets &buckets = &range == ranges ? positive_ : negative_;
        make_room(buckets, range.first, range.last, point.scale);
        for (int64_t index = range.first; index <= range.last; ++index)
            if (const uint64_t count = range.counts.data[index - range.offset]; count > 0) {
                buckets.add(static_cast<int32_t>(index >> (point.scale - scale_)), count);
                count_ = sum(count_, count);
            }
    }
    zeros_ = sum(zeros_, point.zero_count);
    count_ = sum(count_, point.zero_count);
    return true;
}

double ExponentialHistogram::quantile(double share) const noexcept {
    if (count_ == 0 || std::isnan(share))
        return std::numeric_limits<double>::quiet_NaN();
    const double rank = std::clamp(share, 0.0, 1.0) * static_cast<double>(count_);
    double before = 0;
    const auto bucket_value = [&](int32_t index, double part) {
        const double exponent = std::ldexp(index + part, -scale_);
        return std::min(std::exp2(exponent), std::numeric_limits<double>::max());
    };
    for (size_t at = negative_.counts.size(); at-- > 0;) {
        const auto count = static_cast<double>(negative_.counts[at]);
        if (count > 0 && before + count >= rank)
            return -bucket_value(negative_.offset + static_cast<int32_t>(at), 1 - (rank - before) / count);
        before += count;
    }
    before += static_cast<double>(zeros_);
    if (zeros_ > 0 && before >= rank)
        return 0;
    double last = 0;
    for (size_t at = 0; at < positive_.counts.size(); ++at) {
        const auto count = static_cast<double>(positive_.counts[at]);
        const int32_t index = positive_.offset + static_cast<int32_t>(at);
        if (count > 0 && before + count >= rank)
            return bucket_value(index, (rank - before) / count);
        before += count;
        last = bucket_value(index, 1);
    }
    return last; // rounding left the rank beyond the last
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
