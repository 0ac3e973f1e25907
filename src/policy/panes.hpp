// What a policy measures: panes of one second each, by group, and the value of a window over them. Pure. Seconds count
// from 2000-01-01 UTC, as PostgreSQL's times do.
#pragma once

#include "policy/state_machine.hpp"
#include "telemetry/panes/exponential_histogram.hpp"

#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::policy {

using Second = std::int64_t;

enum class Aggregate : std::uint8_t { rate, error_rate, count, average, min, max, sum, last, quantile, absent };

struct Measure {
    Aggregate aggregate = Aggregate::count;
    double quantile = 0; // from 0 to 1, of Aggregate::quantile
    double unit = 1;     // what is 1 in the sketches, in the unit of the value
};

// rate, error_rate, …, p50, p99.9; nullopt: no such aggregate.
std::optional<Measure> measure_of(std::string_view text);

struct Pane {
    std::int64_t count = 0, errors = 0;
    double increase = 0; // what rate counts: items, or how much a counter has grown
    double sum = 0, min = std::numeric_limits<double>::infinity(), max = -std::numeric_limits<double>::infinity();
    double last = 0;
    Time last_at = 0;
    telemetry::ExponentialHistogram values; // empty, unless a quantile is asked for

    void add(const Pane &other);
};

// The panes of one group. Those of whole minutes are added up once, so that a day's window costs what its minutes do.
class Series {
public:
    void add(Second second, const Pane &pane);
    void forget(Second second);
    void forget_before(Second second);
    void forget_from(Second second);
    bool empty() const noexcept { return panes_.empty(); }
    // Whether it has a pane of this second or one before; panes may lie ahead of the window.
    bool has_begun(Second last) const noexcept { return !panes_.empty() && panes_.begin()->first <= last; }

    // The value over the seconds from `first` to `last`, and how many items are behind it. A rate or count of nothing
    // is 0; other values of nothing are none.
    Observation observe(const Measure &measure, Second first, Second last) const;

private:
    std::map<Second, Pane> panes_;
    mutable std::map<Second, Pane> minutes_; // by their first second; made when they are asked for
};

// All groups of a policy, by the text of their grouping.
class Panes {
public:
    Series &of(const std::string &group) { return groups_[group]; }
    const std::map<std::string, Series> &groups() const noexcept { return groups_; }
    void forget(Second second);
    void forget_before(Second second); // also groups that have nothing any more
    void forget_from(Second second);
    void clear() noexcept { groups_.clear(); }
    bool empty() const noexcept { return groups_.empty(); }

private:
    std::map<std::string, Series> groups_;
};

// The seconds of a window that ends at `now`: the one that is running is the last.
struct Span {
    Second first, last;
};
Span window_at(Time now, Time length) noexcept;

} // namespace dbnet::policy
