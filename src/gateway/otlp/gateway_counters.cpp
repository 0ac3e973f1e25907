// Counting and Prometheus' text form; see the header.
#include "gateway/otlp/gateway_counters.hpp"

#include "gateway/otlp/otlp_route.hpp"

#include <charconv>

namespace dbnet::gateway {
namespace {

std::string number(double value) {
    char text[32];
    const auto [end, error] = std::to_chars(text, text + sizeof text, value);
    return error == std::errc() ? std::string(text, end) : "NaN";
}

std::string escaped(std::string_view value) {
    std::string text;
    for (const char c : value)
        if (c == '\n')
            text += "\\n";
        else
            (c == '\\' || c == '"') ? (text += '\\') += c : text += c;
    return text;
}

} // namespace

void MetricsText::family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    ((((((text_ += "# HELP ") += name) += ' ') += help) += "\n# TYPE ") += name) += ' ';
    (text_ += type) += '\n';
}

void MetricsText::sample(std::string_view suffix, std::vector<std::string_view> labels, double value) {
    (text_ += name_) += suffix;
    for (size_t i = 0; i + 1 < labels.size(); i += 2)
        ((((text_ += i == 0 ? '{' : ',') += labels[i]) += "=\"") += escaped(labels[i + 1])) += '"';
    if (!labels.empty())
        text_ += '}';
    ((text_ += ' ') += number(value)) += '\n';
}

void MetricsText::histogram(std::initializer_list<std::string_view> labels, const DurationHistogram &histogram) {
    uint64_t count = 0;
    std::vector<std::string_view> with_bound(labels);
    with_bound.insert(with_bound.end(), {"le", {}});
    for (size_t i = 0; i < histogram.counts_.size(); i++) {
        count += histogram.counts_[i];
        const std::string bound = i < duration_bounds.size() ? number(duration_bounds[i]) : "+Inf";
        with_bound.back() = bound;
        sample("_bucket", with_bound, static_cast<double>(count));
    }
    sample("_sum", labels, histogram.sum_);
    sample("_count", labels, static_cast<double>(count));
}

void write_metrics(const GatewayCounters &counters, size_t connections, size_t in_flight_bytes, MetricsText &text) {
    const auto each_signal = [&](const char *name, const char *help, uint64_t SignalCounters::*member) {
        text.family(name, "counter", help);
        for (size_t i = 0; i < counters.signals.size(); i++)
            text.sample({"signal", name_of(static_cast<telemetry::Signal>(i))},
                        static_cast<double>(counters.signals[i].*member));
    };
    text.family("dbnet_gateway_requests_total", "counter", "Requests answered, by signal and HTTP status.");
    for (size_t i = 0; i < counters.signals.size(); i++)
        for (const auto &[status, count] : counters.signals[i].requests)
            text.sample({"signal", name_of(static_cast<telemetry::Signal>(i)), "status", std::to_string(status)},
                        static_cast<double>(count));
    for (const auto &[status, count] : counters.other_requests)
        text.sample({"signal", "", "status", std::to_string(status)}, static_cast<double>(count));
    each_signal("dbnet_gateway_accepted_items_total", "Spans, data points and log records committed.",
                &SignalCounters::accepted);
    each_signal("dbnet_gateway_rejected_items_total",
                "Spans, data points and log records that could not be kept while the rest of their request was.",
                &SignalCounters::rejected);
    each_signal("dbnet_gateway_received_bytes_total", "Bodies of requests, as sent.", &SignalCounters::received_bytes);
    text.family("dbnet_gateway_commit_duration_seconds", "histogram",
                "Time to decode, write and commit what is answered together.");
    text.histogram({}, counters.commit);
    text.family("dbnet_gateway_failed_transactions_total", "counter", "Transactions with telemetry that were aborted.");
    text.sample({}, static_cast<double>(counters.failed_transactions));
    text.family("dbnet_gateway_connections", "gauge", "Connections that are open.");
    text.sample({}, static_cast<double>(connections));
    text.family("dbnet_gateway_in_flight_bytes", "gauge",
                "Bodies of requests that are not answered yet, and answers that are not read yet.");
    text.sample({}, static_cast<double>(in_flight_bytes));
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
