// What is said about items that were not kept; see intake.hpp. Any process that takes telemetry.
#include "telemetry/otlp/intake.hpp"

namespace dbnet::telemetry {
namespace {

constexpr size_t most_reasons = 5;     // told in full; a body of millions of bad items must not fill memory with text
constexpr size_t longest_name = 80;    // of an attribute or item, in bytes
constexpr size_t longest_reason = 600; // in bytes

// At a character's start: a response must be UTF-8, too.
std::string_view clipped(std::string_view text, size_t most) {
    if (text.size() <= most)
        return text;
    while (most > 0 && (text[most] & 0xC0) == 0x80)
        --most;
    return text.substr(0, most);
}

std::string quoted(std::string_view name) {
    const std::string_view start = clipped(name, longest_name);
    return " \"" + std::string(start) + (start.size() < name.size() ? "...\"" : "\"");
}

const char *unit_of(Signal signal) {
    return signal == Signal::traces ? "span" : signal == Signal::metrics ? "data point" : "log record";
}

const char *plural_of(Signal signal) {
    return signal == Signal::traces ? "Spans" : signal == Signal::metrics ? "Metrics" : "Logs";
}

std::string counted(int64_t count, const char *unit) {
    return std::to_string(count) + " " + unit + (count == 1 ? "" : "s");
}

} // namespace

bool Intake::refuse(std::string_view reason) {
    if (reasons_.size() < most_reasons)
        reason_ = reason;
    return false;
}

bool Intake::within(std::string_view part, std::string_view name) {
    if (reasons_.size() < most_reasons)
        reason_ = std::string(part) + (name.empty() ? "" : quoted(name)) + ": " + reason_;
    return false;
}

void Intake::note_reason(std::string text) {
    if (reasons_.size() < most_reasons)
        reasons_.emplace_back(clipped(text, longest_reason));
}

// As the request is written, with JSON's names: resourceSpans[0].scopeSpans[1].spans[2].
std::string Intake::resource_place() const {
    return "resource" + std::string(plural_of(signal_)) + "[" + std::to_string(resource_number) + "]";
}

std::string Intake::scope_place() const {
    return resource_place() + ".scope" + plural_of(signal_) + "[" + std::to_string(scope_number) + "]";
}

std::string Intake::metric_place() const {
    return scope_place() + ".metrics[" + std::to_string(metric_number) + "]";
}

std::string Intake::item_place() const {
    const std::string number = "[" + std::to_string(item_number) + "]";
    switch (signal_) {
    case Signal::traces:
        return scope_place() + ".spans" + number;
    case Signal::metrics:
        return metric_place() + ".dataPoints" + number;
    case Signal::logs:
        return scope_place() + ".logRecords" + number;
    }
    return {};
}

std::string Intake::place() const {
    switch (under_way_) {
    case Part::request:
        return {};
    case Part::resource:
        return resource_place();
    case Part::scope:
        return scope_place();
    case Part::metric:
        return metric_place();
    case Part::item:
        return item_place();
    }
    return {};
}

void Intake::reject_item(std::string_view name) {
    ++rejected_;
    if (reasons_.size() < most_reasons)
        note_reason(item_place() + (name.empty() ? "" : quoted(name)) + ": " + reason_);
}

void Intake::reject_metric(std::string_view name, size_t points) {
    rejected_ += static_cast<int64_t>(points);
    if (reasons_.size() < most_reasons)
        note_reason(metric_place() + (name.empty() ? "" : quoted(name)) + ": " + reason_);
}

void Intake::refuse_owner(Owner &owner) {
    owner.is_refused = true;
    if (reasons_.size() < most_reasons)
        note_reason((&owner == &resource ? resource_place() + ".resource" : scope_place() + ".scope") + ": " + reason_);
}

Decoded Intake::result() {
    Decoded decoded;
    decoded.taken = items() - items_before_;
    decoded.rejected = rejected_;
    Request &taken = batch.requests[request];
    taken.items = static_cast<uint32_t>(decoded.taken);
    taken.rejected = rejected_;
    std::string &message = decoded.message;
    if (rejected_ > 0)
        message =
            std::to_string(rejected_) + " of " + counted(decoded.taken + rejected_, unit_of(signal_)) + " rejected. ";
    for (const std::string &reason : reasons_)
        message += reason + ". ";
    if (rejected_ > static_cast<int64_t>(reasons_.size()) && reasons_.size() == most_reasons)
        message += "More were rejected, for these or other reasons. ";
    if (faults.zeros > 0)
        message += counted(static_cast<int64_t>(faults.zeros), "string") +
                   " had U+0000, which PostgreSQL cannot keep: replaced by U+FFFD. ";
    if (faults.invalid > 0)
        message += counted(static_cast<int64_t>(faults.invalid), "string") +
                   " had bytes that are no valid Unicode: replaced by U+FFFD. ";
    if (lost_ids_ > 0)
        message += counted(static_cast<int64_t>(lost_ids_), "id") +
                   " of log records had another length or other digits: they were kept without. ";
    if (message.ends_with(' '))
        message.pop_back();
    return decoded;
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
