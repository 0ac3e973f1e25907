// Exponential histograms (see exponential_histogram.hpp). Pure C++.
#include "telemetry/exponential_histogram.hpp"

#include <algorithm>
#include <cmath>

#include "pg/no_postgres.hpp"

namespace dbnet::telemetry {
namespace {

constexpr char version = 1;

// Number of the bucket of a positive finite value.
int32_t index_of(double magnitude, int scale) noexcept {
    if (scale > 0) {
        const double exact = std::ldexp(std::log2(magnitude), scale);
        return static_cast<int32_t>(std::ceil(exact)) - 1;
    }
    int exponent = 0; // magnitude = fraction * 2^exponent, fraction from 0.5 to 1
    const double fraction = std::frexp(magnitude, &exponent);
    const int32_t index = fraction == 0.5 ? exponent - 2 : exponent - 1; // upper bounds are inclusive
    return index >> -scale;
}

// How many times pairs must be joined until indexes from first to last fit.
int steps_to_fit(int64_t first, int64_t last) noexcept {
    int steps = 0;
    while (last - first >= ExponentialHistogram::most_buckets) {
        first >>= 1;
        last >>= 1;
        ++steps;
    }
    return steps;
}

void append(std::string &bytes, uint64_t number) {
    for (; number >= 0x80; number >>= 7)
        bytes += static_cast<char>(number | 0x80);
    bytes += static_cast<char>(number);
}

void append_signed(std::string &bytes, int64_t number) {
    append(bytes, static_cast<uint64_t>(number) << 1 ^ static_cast<uint64_t>(number >> 63));
}

bool take(std::string_view &bytes, uint64_t &number) noexcept {
    number = 0;
    for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
        const auto byte = static_cast<uint8_t>(bytes.front());
        bytes.remove_prefix(1);
        if (shift == 63 && byte > 1)
            return false;
        number |= static_cast<uint64_t>(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

bool take_signed(std::string_view &bytes, int64_t &number) noexcept {
    uint64_t folded = 0;
    if (!take(bytes, folded))
        return false;
    number = static_cast<int64_t>(folded >> 1 ^ (~(folded & 1) + 1));
    return true;
}

} // namespace

void ExponentialHistogram::add(double value, uint64_t times) {
    if (!std::isfinite(value) || times == 0)
        return;
    if (value == 0)
        zero_count_ += times;
    else
        add_magnitude(value > 0 ? positive_ : negative_, std::fabs(value), times);
}

void ExponentialHistogram::add_magnitude(Side &side, double magnitude, uint64_t times) {
    int32_t index = index_of(magnitude, scale_);
    if (side.counts.empty()) {
        side.offset = index;
        side.counts.push_back(0);
    } else if (index < side.offset || index >= side.offset + static_cast<int32_t>(side.counts.size())) {
        const int64_t first = std::min<int64_t>(index, side.offset);
        const int64_t last =
            std::max<int64_t>(index, int64_t{side.offset} + static_cast<int64_t>(side.counts.size()) - 1);
        if (const int steps = steps_to_fit(first, last); steps > 0) {
            lower_scale(steps);
            index >>= steps;
        }
        extend(side, index, index);
    }
    side.counts[static_cast<size_t>(index - side.offset)] += times;
    side.total += times;
}

// Makes room for indexes from first to last.
void ExponentialHistogram::extend(Side &side, int32_t first, int32_t last) {
    if (first < side.offset) {
        side.counts.insert(side.counts.begin(), static_cast<size_t>(side.offset - first), 0);
        side.offset = first;
    }
    if (const auto needed = static_cast<size_t>(last - side.offset) + 1; needed > side.counts.size())
        side.counts.resize(needed);
}

void ExponentialHistogram::lower_scale(int steps) {
    lower_scale(positive_, steps);
    lower_scale(negative_, steps);
    scale_ -= steps;
}

void ExponentialHistogram::lower_scale(Side &side, int steps) {
    if (side.counts.empty())
        return;
    const int32_t offset = side.offset >> steps;
    for (size_t place = 0; place < side.counts.size(); ++place) {
        const auto target = static_cast<size_t>(((side.offset + static_cast<int32_t>(place)) >> steps) - offset);
        const uint64_t count = side.counts[place];
        side.counts[place] = 0;
        side.counts[target] += count;
    }
    side.counts.resize(
        static_cast<size_t>(((side.offset + static_cast<int32_t>(side.counts.size()) - 1) >> steps) - offset + 1));
    side.offset = offset;
}

void ExponentialHistogram::merge(const ExponentialHistogram &other) {
    int scale = std::min(scale_, other.scale_);
    const auto steps_of = [&](const Side &mine, const Side &theirs) {
        if (mine.counts.empty() || theirs.counts.empty())
            return 0;
        const int a = scale_ - scale, b = other.scale_ - scale;
        const int64_t first = std::min(mine.offset >> a, theirs.offset >> b);
        const int64_t last = std::max((mine.offset + static_cast<int32_t>(mine.counts.size()) - 1) >> a,
                                      (theirs.offset + static_cast<int32_t>(theirs.counts.size()) - 1) >> b);
        return steps_to_fit(first, last);
    };
    scale -= std::max(steps_of(positive_, other.positive_), steps_of(negative_, other.negative_));
    if (scale < scale_)
        lower_scale(scale_ - scale);
    zero_count_ += other.zero_count_;
    merge(positive_, other.positive_, other.scale_ - scale_);
    merge(negative_, other.negative_, other.scale_ - scale_);
}

void ExponentialHistogram::merge(Side &side, const Side &other, int steps) {
    if (other.counts.empty())
        return;
    const int32_t first = other.offset >> steps;
    const int32_t last = (other.offset + static_cast<int32_t>(other.counts.size()) - 1) >> steps;
    if (side.counts.empty())
        side.offset = first;
    extend(side, first, last);
    for (size_t place = 0; place < other.counts.size(); ++place)
        side.counts[static_cast<size_t>(((other.offset + static_cast<int32_t>(place)) >> steps) - side.offset)] +=
            other.counts[place];
    side.total += other.total;
}

double ExponentialHistogram::middle(int32_t index) const noexcept {
    return std::exp2(std::ldexp(index + 0.5, -scale_));
}

std::optional<double> ExponentialHistogram::quantile(double share) const noexcept {
    const uint64_t all = count();
    if (all == 0)
        return std::nullopt;
    // Of the values in order, the one at this place, counted from 0.
    uint64_t place = static_cast<uint64_t>(std::llround(std::clamp(share, 0.0, 1.0) * static_cast<double>(all - 1)));
    place = std::min(place, all - 1);
    for (size_t bucket = negative_.counts.size(); bucket-- > 0; place -= negative_.counts[bucket])
        if (place < negative_.counts[bucket])
            return -middle(negative_.offset + static_cast<int32_t>(bucket));
    if (place < zero_count_)
        return 0.0;
    place -= zero_count_;
    for (size_t bucket = 0; bucket < positive_.counts.size(); place -= positive_.counts[bucket++])
        if (place < positive_.counts[bucket])
            return middle(positive_.offset + static_cast<int32_t>(bucket));
    return std::nullopt; // not reached
}

void ExponentialHistogram::append_to(std::string &bytes) const {
    bytes += version;
    append_signed(bytes, scale_);
    append(bytes, zero_count_);
    for (const Side *side : {&positive_, &negative_}) {
        append(bytes, side->counts.size());
        if (side->counts.empty())
            continue;
        append_signed(bytes, side->offset);
        for (const uint64_t count : side->counts)
            append(bytes, count);
    }
}

std::optional<ExponentialHistogram> ExponentialHistogram::parse(std::string_view bytes) {
    ExponentialHistogram parsed;
    int64_t scale = 0;
    if (bytes.empty() || bytes.front() != version)
        return std::nullopt;
    bytes.remove_prefix(1);
    if (!take_signed(bytes, scale) || scale > highest_scale || scale < lowest_scale || !take(bytes, parsed.zero_count_))
        return std::nullopt;
    parsed.scale_ = static_cast<int32_t>(scale);
    uint64_t all = parsed.zero_count_;
    for (Side *side : {&parsed.positive_, &parsed.negative_}) {
        uint64_t size = 0;
        int64_t offset = 0;
        if (!take(bytes, size) || size > most_buckets)
            return std::nullopt;
        if (size == 0)
            continue;
        // Magnitudes of doubles: 2^-1074 to 2^1024.
        const int64_t bound = scale >= 0 ? int64_t{1075} << scale : 1075;
        if (!take_signed(bytes, offset) || offset < -bound || offset > bound)
            return std::nullopt;
        side->offset = static_cast<int32_t>(offset);
        side->counts.resize(size);
        for (uint64_t &count : side->counts) {
            if (!take(bytes, count) || count > INT64_MAX || (all += count) > INT64_MAX)
                return std::nullopt;
            side->total += count;
        }
    }
    return bytes.empty() ? std::optional(std::move(parsed)) : std::nullopt;
}

} // namespace dbnet::telemetry
