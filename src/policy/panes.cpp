// Values over windows of panes (see panes.hpp).
#include "policy/panes.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "pg/no_postgres.hpp"

namespace dbnet::policy {
namespace {

constexpr std::pair<std::string_view, Aggregate> aggregates[] = {
    {"rate", Aggregate::rate},    {"error_rate", Aggregate::error_rate},
    {"count", Aggregate::count},  {"average", Aggregate::average},
    {"min", Aggregate::min},      {"max", Aggregate::max},
    {"sum", Aggregate::sum},      {"last", Aggregate::last},
    {"absent", Aggregate::absent}};

constexpr Second minute = 60;

constexpr Second minute_of(Second second) noexcept {
    return second - (second % minute + minute) % minute;
}

constexpr Second floor_of(Time time) noexcept {
    return time / second - (time % second < 0 ? 1 : 0);
}

} // namespace

std::optional<Measure> measure_of(std::string_view text) {
    for (const auto &[name, aggregate] : aggregates)
        if (text == name)
            return Measure{aggregate};
    double percent = 0;
    if (!text.starts_with('p'))
        return std::nullopt;
    const auto [end, failure] = std::from_chars(text.data() + 1, text.data() + text.size(), percent);
    if (failure != std::errc() || end != text.data() + text.size() || !(percent > 0 && percent < 100))
        return std::nullopt;
    return Measure{Aggregate::quantile, percent / 100};
}

void Pane::add(const Pane &other) {
    count += other.count;
    errors += other.errors;
    increase += other.increase;
    sum += other.sum;
    min = std::min(min, other.min);
    max = std::max(max, other.max);
    if (other.values.count() > 0)
        values.merge(other.values);
    if (other.last_at >= last_at) {
        last = other.last;
        last_at = other.last_at;
    }
}

void Series::add(Second second, const Pane &pane) {
    panes_[second].add(pane);
    minutes_.erase(minute_of(second));
}

void Series::forget(Second second) {
    panes_.erase(second);
    minutes_.erase(minute_of(second));
}

void Series::forget_before(Second second) {
    panes_.erase(panes_.begin(), panes_.lower_bound(second));
    minutes_.erase(minutes_.begin(), minutes_.lower_bound(second));
}

void Series::forget_from(Second second) {
    panes_.erase(panes_.lower_bound(second), panes_.end());
    minutes_.erase(minutes_.lower_bound(minute_of(second)), minutes_.end());
}

Observation Series::observe(const Measure &measure, Second first, Second last) const {
    Pane all;
    for (auto pane = panes_.lower_bound(first); pane != panes_.end() && pane->first <= last;) {
        const Second start = minute_of(pane->first), end = start + minute;
        if (start < first || end - 1 > last) {
            all.add(pane->second);
            ++pane;
            continue;
        }
        const auto after = panes_.lower_bound(end);
        const auto [whole, is_new] = minutes_.try_emplace(start);
        for (; is_new && pane != after; ++pane)
            whole->second.add(pane->second);
        all.add(whole->second);
        pane = after;
    }
    Observation observation;
    observation.count = all.count;
    const auto if_any = [&](double value) { return all.count > 0 ? std::optional(value) : std::nullopt; };
    switch (measure.aggregate) {
    case Aggregate::rate:
        observation.value = all.increase / static_cast<double>(last - first + 1);
        break;
    case Aggregate::count:
        observation.value = static_cast<double>(all.count);
        break;
    case Aggregate::error_rate:
        observation.value = if_any(static_cast<double>(all.errors) / static_cast<double>(all.count));
        break;
    case Aggregate::average:
        observation.value = if_any(all.sum / static_cast<double>(all.count));
        break;
    case Aggregate::min:
        observation.value = if_any(all.min);
        break;
    case Aggregate::max:
        observation.value = if_any(all.max);
        break;
    case Aggregate::sum:
        observation.value = if_any(all.sum);
        break;
    case Aggregate::last:
        observation.value = if_any(all.last);
        break;
    case Aggregate::quantile:
        if (all.values.count() > 0)
            observation.value = all.values.quantile(measure.quantile) * measure.unit;
        break;
    case Aggregate::absent:
        break;
    }
    return observation;
}

void Panes::forget(Second second) {
    for (auto &[group, series] : groups_)
        series.forget(second);
}

void Panes::forget_from(Second second) {
    for (auto &[group, series] : groups_)
        series.forget_from(second);
}

void Panes::forget_before(Second second) {
    for (auto entry = groups_.begin(); entry != groups_.end();) {
        entry->second.forget_before(second);
        entry = entry->second.empty() ? groups_.erase(entry) : std::next(entry);
    }
}

Span window_at(Time now, Time length) noexcept {
    const Second last = floor_of(now);
    return {last - std::max<Second>(length / second, 1) + 1, last};
}

} // namespace dbnet::policy
