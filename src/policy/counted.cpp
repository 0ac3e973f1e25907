// Growth of histograms (see counted.hpp).
#include "policy/counted.hpp"

#include "telemetry/batch.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "pg/no_postgres.hpp"

namespace dbnet::policy {
namespace {

using Counts = std::vector<std::uint64_t>;

constexpr std::uint64_t most_parts = 32;               // of a bucket whose values are spread
constexpr int coarsest_scale = -10, finest_scale = 20; // beyond, nothing that a client sends makes sense
constexpr std::int64_t farthest = 65536;               // buckets between those of two points

// False: something of `now` is less than before.
bool subtract(Counts &now, const Counts &before) {
    for (std::size_t index = 0; index < before.size(); ++index) {
        if (before[index] == 0)
            continue;
        if (index >= now.size() || now[index] < before[index])
            return false;
        now[index] -= before[index];
    }
    return true;
}

// Buckets as they are at a coarser scale, and from another offset on.
Counts rescaled(const Counts &counts, std::int32_t offset, int halvings, std::int64_t first) {
    Counts result;
    for (std::size_t index = 0; index < counts.size(); ++index) {
        const auto place = static_cast<std::size_t>(((offset + static_cast<std::int64_t>(index)) >> halvings) - first);
        if (place >= result.size())
            result.resize(place + 1);
        result[place] += counts[index];
    }
    return result;
}

// Both sides at the coarser of both scales, from the lower of both offsets on.
bool subtract(Counts &now, std::int32_t &offset, const Counts &before, std::int32_t offset_before, int halvings,
              int halvings_before) {
    if (before.empty()) {
        now = rescaled(now, offset, halvings, offset >> halvings);
        offset >>= halvings;
        return true;
    }
    const std::int64_t from = offset >> halvings, from_before = offset_before >> halvings_before;
    if (std::abs(from - from_before) > farthest) // memory is for what lies in between, too
        return false;
    const std::int64_t first = std::min(from, from_before);
    now = rescaled(now, offset, halvings, first);
    offset = static_cast<std::int32_t>(first);
    return subtract(now, rescaled(before, offset_before, halvings_before, first));
}

// nullopt: the point began anew.
std::optional<CountedPoint> difference(const CountedPoint &before, const CountedPoint &point) {
    if (before.start != point.start || before.count > point.count || before.is_exponential != point.is_exponential ||
        before.bounds != point.bounds)
        return std::nullopt;
    CountedPoint grown = point;
    grown.count -= before.count;
    grown.sum -= before.sum;
    grown.min.reset(); // of all that was ever counted
    grown.max.reset();
    if (!point.is_exponential)
        return subtract(grown.counts, before.counts) ? std::optional(grown) : std::nullopt;
    const auto is_strange = [](int scale) { return scale < coarsest_scale || scale > finest_scale; };
    if (before.zero_count > point.zero_count || is_strange(before.scale) || is_strange(point.scale))
        return std::nullopt;
    grown.zero_count -= before.zero_count;
    grown.scale = std::min(before.scale, point.scale);
    const int halvings = point.scale - grown.scale, halvings_before = before.scale - grown.scale;
    const bool is_grown = subtract(grown.positive, grown.positive_offset, before.positive, before.positive_offset,
                                   halvings, halvings_before) &&
                          subtract(grown.negative, grown.negative_offset, before.negative, before.negative_offset,
                                   halvings, halvings_before);
    return is_grown ? std::optional(grown) : std::nullopt;
}

// The ends of an explicit bucket. One that is open ends at what was seen, else where its neighbour does.
void add_bucket(telemetry::ExponentialHistogram &values, const CountedPoint &point, std::size_t index) {
    const auto &bounds = point.bounds;
    const std::uint64_t count = point.counts[index];
    double low = index > 0 ? bounds[index - 1] : point.min.value_or(std::min(0.0, bounds.front()));
    double high = index < bounds.size() ? bounds[index] : point.max.value_or(bounds.back());
    if (point.min)
        low = std::clamp(*point.min, std::min(low, high), high);
    if (point.max)
        high = std::clamp(*point.max, low, std::max(low, high));
    const std::uint64_t parts = std::min(count, most_parts);
    for (std::uint64_t part = 0, before = 0; part < parts; ++part) {
        const auto share = [&](double place) {
            return (static_cast<double>(part) + place) / static_cast<double>(parts);
        };
        const auto until = static_cast<std::uint64_t>(share(1) * static_cast<double>(count));
        values.add(low + (high - low) * share(0.5), until - before);
        before = until;
    }
}

telemetry::List<std::uint64_t> list_of(const Counts &counts) {
    return {counts.data(), static_cast<std::uint32_t>(counts.size())};
}

void add_values(telemetry::ExponentialHistogram &values, const CountedPoint &point) {
    if (point.is_exponential) {
        telemetry::ExponentialHistogramPoint buckets{};
        buckets.count = point.count;
        buckets.zero_count = point.zero_count;
        buckets.scale = point.scale;
        buckets.positive_offset = point.positive_offset;
        buckets.negative_offset = point.negative_offset;
        buckets.positive_counts = list_of(point.positive);
        buckets.negative_counts = list_of(point.negative);
        values.merge(buckets);
    } else if (!point.bounds.empty() && point.counts.size() == point.bounds.size() + 1) {
        for (std::size_t index = 0; index < point.counts.size(); ++index)
            if (point.counts[index] > 0)
                add_bucket(values, point, index);
    }
}

} // namespace

Pane growth(const CountedPoint *before, const CountedPoint &point, bool with_values) {
    std::optional<CountedPoint> grown;
    if (before != nullptr)
        grown = difference(*before, point);
    if (!grown)
        grown = point;
    Pane pane;
    pane.count = static_cast<std::int64_t>(std::min<std::uint64_t>(grown->count, INT64_MAX));
    pane.increase = static_cast<double>(grown->count);
    pane.sum = grown->sum;
    if (grown->count == 0)
        return pane;
    pane.last = grown->sum / static_cast<double>(grown->count);
    telemetry::ExponentialHistogram values;
    if (with_values || !grown->min || !grown->max)
        add_values(values, *grown);
    if (grown->min || values.count() > 0)
        pane.min = grown->min ? *grown->min : values.quantile(0);
    if (grown->max || values.count() > 0)
        pane.max = grown->max ? *grown->max : values.quantile(1);
    if (with_values)
        pane.values = std::move(values);
    return pane;
}

} // namespace dbnet::policy
