// What the gateway counts, and the text of /metrics. Since the start of the worker's process. Pure C++.
#pragma once

#include "durations.hpp"
#include "telemetry/batch.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::gateway {

// Counts of durations by upper bound.
class DurationHistogram {
public:
    void add(double seconds) noexcept { add(duration_bucket(seconds), 1, seconds); }
    // `count` of this bucket (see duration_bucket()), that make `sum` together.
    void add(size_t bucket, uint64_t count, double sum) noexcept {
        counts_[bucket] += count;
        sum_ += sum;
    }

private:
    friend class MetricsText;

    std::array<uint64_t, duration_bounds.size() + 1> counts_{};
    double sum_ = 0;
};

struct SignalCounters {
    std::map<int, uint64_t> requests;    // by status
    uint64_t accepted = 0, rejected = 0; // spans, data points, log records
    uint64_t received_bytes = 0;         // bodies as sent
};

struct GatewayCounters {
    std::array<SignalCounters, 3> signals; // by telemetry::Signal
    std::map<int, uint64_t> other_requests;
    DurationHistogram commit; // decoding, writing and committing of what is answered together
    uint64_t failed_transactions = 0;
};

// Writes the exposition format of Prometheus (text, version 0.0.4): a family's HELP and TYPE, then its samples.
class MetricsText {
public:
    void family(std::string_view name, std::string_view type, std::string_view help);
    // labels: {"name", "value", …}
    void sample(std::initializer_list<std::string_view> labels, double value) { sample({}, labels, value); }
    void histogram(std::initializer_list<std::string_view> labels, const DurationHistogram &histogram);

    const std::string &text() const noexcept { return text_; }

    static constexpr const char *media_type = "text/plain; version=0.0.4; charset=utf-8";

private:
    void sample(std::string_view suffix, std::vector<std::string_view> labels, double value);

    std::string name_;
    std::string text_;
};

// The families of the gateway itself.
void write_metrics(const GatewayCounters &counters, size_t connections, size_t in_flight_bytes, MetricsText &text);

} // namespace dbnet::gateway
